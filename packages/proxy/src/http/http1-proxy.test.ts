import assert from "node:assert/strict";
import { once } from "node:events";
import { Agent, createServer, type IncomingMessage, type RequestOptions, request } from "node:http";
import { connect } from "node:net";
import { test } from "node:test";
import { cluster, hcm, listener, openPlane, openServer, routes, toCluster } from "../runtime/testing/test-plane.ts";

/** An application that says what it was asked. */
const openApp = async () => {
  const server = createServer((incoming, response) => {
    const chunks: Buffer[] = [];
    incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
    incoming.on("end", () => {
      const { method, url, headers } = incoming;
      response.setHeader("x-app", "yes");
      if (url === "/empty") {
        response.writeHead(204).end();
        return;
      }
      const body = Buffer.concat(chunks);
      response.end(url === "/echo" ? body : JSON.stringify({ method, url, headers, length: body.length }));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : 0,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
};

interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
  readonly trailers: IncomingMessage["trailers"];
}

const ask = (port: number, options: RequestOptions = {}, body?: Buffer | string): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const outgoing = request({ host: "127.0.0.1", port, path: "/", ...options }, (incoming) => {
      const chunks: Buffer[] = [];
      incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
      incoming.on("error", reject);
      incoming.on("end", () =>
        resolve({
          status: incoming.statusCode ?? 0,
          headers: incoming.headers,
          body: Buffer.concat(chunks).toString(),
          trailers: incoming.trailers,
        }),
      );
    });
    outgoing.on("error", reject);
    outgoing.end(body);
  });

/** Writes raw bytes and gives back all that comes until the proxy closes. */
const raw = async (port: number, text: string): Promise<string> => {
  const socket = connect({ host: "127.0.0.1", port });
  socket.write(text, "latin1");
  let got = "";
  socket.on("data", (bytes) => {
    got += bytes.toString("latin1");
  });
  socket.on("error", () => {});
  await once(socket, "close");
  return got;
};

const accessLog = (format: string) => ({
  accessLog: [
    {
      name: "log",
      typedConfig: {
        "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
        path: "/dev/stdout",
        logFormat: { textFormatSource: { inlineString: format } },
      },
    },
  ],
});

const openAll = async (ports: readonly number[], hcmFields: object = {}, action: object = {}) => {
  const all = openPlane();
  await all.put(
    cluster("app", ports),
    routes([toCluster("app", action)]),
    listener("in", [hcm({ ...accessLog("%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%\n"), ...hcmFields })]),
  );
  return all;
};

test("a request reaches the application and its answer comes back, with what a proxy adds", async () => {
  await using app = await openApp();
  await using all = await openAll([app.port]);
  const answer = await ask(all.portOf("in"), { path: "/hello?x=1", headers: { host: "shop", "x-mine": "1" } });
  assert.equal(answer.status, 200);
  const seen = JSON.parse(answer.body);
  assert.equal(seen.url, "/hello?x=1");
  assert.equal(seen.headers.host, "shop");
  assert.equal(seen.headers["x-mine"], "1");
  assert.equal(seen.headers["x-forwarded-proto"], "http");
  assert.match(seen.headers["x-request-id"], /^[0-9a-f-]{36}$/);
  assert.equal(seen.headers["x-envoy-expected-rq-timeout-ms"], "15000");
  assert.equal(answer.headers.server, "envoy");
  assert.match(String(answer.headers["x-envoy-upstream-service-time"]), /^\d+$/);
  assert.equal(all.logLines[0], "200 - via_upstream\n");
});

test("one client connection carries many requests over one upstream connection", async () => {
  await using app = await openApp();
  await using all = await openAll([app.port]);
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  for (let i = 0; i < 20; i++) {
    const answer = await ask(all.portOf("in"), { agent, path: "/echo", method: "POST" }, `body ${i}`);
    assert.equal(answer.body, `body ${i}`);
  }
  agent.destroy();
  const upstream = all.plane.clusters()[0];
  assert.equal(upstream?.counters.upstreamCxTotal, 1);
  assert.equal(upstream?.counters.upstreamRqTotal, 20);
  assert.equal(upstream?.load.requests, 0);
  assert.equal(upstream?.hosts()[0]?.activeRequests, 0);
});

test("requests are spread over the endpoints in turn", async () => {
  await using one = await openApp();
  await using two = await openApp();
  await using all = await openAll([one.port, two.port]);
  for (let i = 0; i < 10; i++) await ask(all.portOf("in"));
  assert.deepEqual(
    all.plane
      .clusters()[0]
      ?.hosts()
      .map(({ stats }) => stats.rqTotal),
    [5, 5],
  );
});

test("large bodies pass both ways unharmed, with and without a length", async () => {
  await using app = await openApp();
  await using all = await openAll([app.port]);
  const body = Buffer.alloc(3_000_000, "abcdefghij");
  const measured = await ask(
    all.portOf("in"),
    { path: "/echo", method: "POST", headers: { "content-length": body.length } },
    body,
  );
  assert.ok(Buffer.from(measured.body).equals(body));
  const chunked = await ask(
    all.portOf("in"),
    { path: "/echo", method: "POST", headers: { "transfer-encoding": "chunked" } },
    body,
  );
  assert.ok(Buffer.from(chunked.body).equals(body));
});

test("pipelined requests are answered in order", async () => {
  await using app = await openApp();
  await using all = await openAll([app.port]);
  const one = (n: number, close: boolean): string =>
    `POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n${close ? "connection: close\r\n" : ""}\r\n#${n}`;
  const got = await raw(all.portOf("in"), one(1, false) + one(2, false) + one(3, true));
  assert.deepEqual(got.match(/#\d/g), ["#1", "#2", "#3"]);
});

test("HEAD, 204 and an expected 100 are framed right", async () => {
  await using app = await openApp();
  await using all = await openAll([app.port]);
  const head = await ask(all.portOf("in"), { method: "HEAD" });
  assert.equal(head.status, 200);
  assert.equal(head.body, "");
  assert.equal((await ask(all.portOf("in"), { path: "/empty" })).status, 204);
  const got = await raw(
    all.portOf("in"),
    "POST /echo HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi",
  );
  assert.match(got, /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 OK\r\n/);
  assert.match(got, /hi$/);
});

test("what cannot be answered upstream is answered as Envoy does", async () => {
  await using app = await openApp();
  await using dead = await openServer((socket) => socket.destroy());
  await using all = await openAll([app.port]);
  const refused = await openServer(() => {});
  const { port: refusedPort } = refused;
  await refused[Symbol.asyncDispose]();
  await all.put(
    cluster("none", []),
    cluster("refused", [refusedPort]),
    cluster("dead", [dead.port]),
    routes([
      {
        name: "v",
        domains: ["known"],
        routes: [
          { match: { prefix: "/missing" }, route: { cluster: "missing" } },
          { match: { prefix: "/none" }, route: { cluster: "none" } },
          { match: { prefix: "/refused" }, route: { cluster: "refused" } },
          { match: { prefix: "/dead" }, route: { cluster: "dead" } },
          { match: { prefix: "/direct" }, directResponse: { status: 418, body: { inlineString: "short" } } },
          { match: { prefix: "/away" }, redirect: { hostRedirect: "else.where", responseCode: "FOUND" } },
        ],
      },
    ]),
  );
  const get = (path: string, host = "known") => ask(all.portOf("in"), { path, headers: { host } });
  const cases: [string, number, RegExp, string][] = [
    ["/nothing", 404, /^$/, "404 NR route_not_found"],
    ["/missing", 503, /^$/, "503 NC cluster_not_found"],
    ["/none", 503, /^no healthy upstream$/, "503 UH no_healthy_upstream"],
    ["/refused", 503, /^upstream connect error .* reset reason: remote connection failure/, "503 UF upstream_reset"],
    ["/dead", 503, /reset reason: connection termination$/, "503 UC upstream_reset_before_response_started"],
    ["/direct", 418, /^short$/, "418 - direct_response"],
    ["/away", 302, /^$/, "302 - direct_response"],
  ];
  for (const [path, status, body, log] of cases) {
    const answer = await get(path);
    assert.equal(answer.status, status, path);
    assert.match(answer.body, body, path);
    assert.ok(all.logLines.at(-1)?.startsWith(log), `${path}: ${all.logLines.at(-1)}`);
  }
  assert.equal((await get("/away")).headers.location, "http://else.where/away");
  assert.equal((await get("/", "unknown")).status, 404);
});

test("a request that is none is refused with a status, and the connection closes", async () => {
  await using app = await openApp();
  await using all = await openAll([app.port]);
  const port = all.portOf("in");
  assert.match(await raw(port, "this is no request\r\n\r\n"), /^HTTP\/1\.1 400 Bad Request\r\n/);
  assert.match(await raw(port, "GET / HTTP/1.0\r\n\r\n"), /^HTTP\/1\.1 426 /);
  assert.match(await raw(port, `GET / HTTP/1.1\r\nhost: a\r\nx: ${"y".repeat(70_000)}\r\n\r\n`), /^HTTP\/1\.1 431 /);
  assert.match(await raw(port, `GET / HTTP/1.1\r\nhost: a\r\n${"x: y\r\n".repeat(101)}\r\n`), /^HTTP\/1\.1 431 /);
  assert.match(all.logLines[0] ?? "", /^400 DPE http1\./);
  assert.equal((await ask(port)).status, 200);
});

test("a client that sends nothing, or half a head, does not stay", async () => {
  await using app = await openApp();
  await using all = await openAll([app.port], {
    requestHeadersTimeout: "0.05s",
    commonHttpProtocolOptions: { idleTimeout: "0.05s" },
  });
  assert.equal(await raw(all.portOf("in"), ""), "");
  assert.match(await raw(all.portOf("in"), "GET / HTTP/1.1\r\nho"), /^HTTP\/1\.1 408 /);
});

test("a route's timeout answers 504 and frees the upstream", async () => {
  await using silent = await openServer((socket) => socket.resume());
  await using all = await openAll([silent.port], {}, { timeout: "0.05s" });
  const answer = await ask(all.portOf("in"));
  assert.equal(answer.status, 504);
  assert.equal(answer.body, "upstream request timeout");
  assert.equal(all.logLines[0], "504 UT response_timeout\n");
  assert.equal(all.plane.clusters()[0]?.load.requests, 0);
});

test("only a client at an internal address may steer the proxy by headers", async () => {
  await using app = await openApp();
  const internalAddressConfig = { cidrRanges: [{ addressPrefix: "127.0.0.0", prefixLen: 8 }] };
  await using outside = await openAll([app.port]);
  await using inside = await openAll([app.port], { internalAddressConfig, useRemoteAddress: true });
  const headers = { "x-envoy-upstream-rq-timeout-ms": "777", "x-envoy-internal": "true" };
  const refused = JSON.parse((await ask(outside.portOf("in"), { headers })).body).headers;
  assert.equal(refused["x-envoy-expected-rq-timeout-ms"], "15000");
  assert.equal(refused["x-envoy-internal"], undefined);
  const taken = JSON.parse((await ask(inside.portOf("in"), { headers })).body).headers;
  assert.equal(taken["x-envoy-expected-rq-timeout-ms"], "777");
  assert.equal(taken["x-envoy-internal"], "true");
  assert.equal(taken["x-forwarded-for"], "127.0.0.1");
});
