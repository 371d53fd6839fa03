import assert from "node:assert/strict";
import { once } from "node:events";
import { request } from "node:http";
import { connect as connectHttp2, createSecureServer, type Http2SecureServer } from "node:http2";
import { createServer as createHttps } from "node:https";
import type { Socket } from "node:net";
import { test } from "node:test";
import { any } from "@weft/xds/resource";
import { createTestCa } from "../identity/testing/test-ca.ts";
import { cluster, hcm, listener, openPlane, openServer, routes, toCluster } from "../runtime/testing/test-plane.ts";

const now = Date.now();
const ca = createTestCa(now);
const { keyPem, chain } = ca.issue({ notBeforeMs: now - 3_600_000, notAfterMs: now + 3_600_000, uri: "spiffe://a/b" });
const material = { key: keyPem, cert: chain.join("") };

const optionsName = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
const http = (options: object) => ({ typedExtensionProtocolOptions: { [optionsName]: any(optionsName, options) } });
const overTls = {
  transportSocket: {
    name: "envoy.transport_sockets.tls",
    typedConfig: any("envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext", {
      commonTlsContext: { validationContext: { trustedCa: { inlineString: ca.rootPem } } },
    }),
  },
};
const auto = { ...http({ autoConfig: {} }), ...overTls };

type App = AsyncDisposable & { readonly port: number; readonly sockets: Set<Socket> };

const listening = async (server: ReturnType<typeof createHttps> | Http2SecureServer, port = 0): Promise<App> => {
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
  });
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  return {
    port: (server.address() as { port: number }).port,
    sockets,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
};

/** Answers with the version it was asked in. */
const openSecure = (allowHTTP1: boolean, port?: number): Promise<App> => {
  const server = createSecureServer({ ...material, allowHTTP1 }, (incoming, response) => {
    response.end(incoming.httpVersion);
  });
  server.on("session", (session) => session.on("error", () => {}));
  return listening(server, port);
};
const openHttps = (port?: number): Promise<App> =>
  listening(
    createHttps(material, (incoming, response) => void response.end(incoming.httpVersion)),
    port,
  );

const ask = (port: number): Promise<string> =>
  new Promise((resolve, reject) => {
    const asked = request({ host: "127.0.0.1", port, agent: false }, (response) => {
      let body = `${response.statusCode} `;
      response.setEncoding("utf8");
      response.on("data", (text: string) => {
        body += text;
      });
      response.on("end", () => resolve(body));
    });
    asked.on("error", reject);
    asked.end();
  });

const ask2 = async (port: number): Promise<string> => {
  const session = connectHttp2(`http://127.0.0.1:${port}`);
  try {
    const stream = session.request({ ":path": "/" });
    const [headers] = (await once(stream, "response")) as [{ ":status"?: number }];
    let body = `${headers[":status"]} `;
    for await (const chunk of stream) body += String(chunk);
    return body;
  } finally {
    session.destroy();
  }
};

const openAll = async (port: number, fields: object) => {
  const all = openPlane();
  await all.put(cluster("app", [port], fields), routes([toCluster("app")]), listener("in", [hcm()]));
  return all;
};
const upstreamOf = (all: Awaited<ReturnType<typeof openAll>>) => all.plane.clusters()[0] ?? assert.fail();

test("auto speaks HTTP/2 to a server that agrees on it, over one connection", async () => {
  await using app = await openSecure(true);
  await using all = await openAll(app.port, auto);
  const answers = await Promise.all(Array.from({ length: 8 }, () => ask(all.portOf("in"))));
  assert.deepEqual(new Set(answers), new Set(["200 2.0"]));
  assert.equal(upstreamOf(all).counters.upstreamCxTotal, 1);
  assert.equal(await ask2(all.portOf("in")), "200 2.0");
});

test("auto speaks HTTP/1 to a server that knows nothing else, and no request is lost on finding out", async () => {
  await using app = await openHttps();
  await using all = await openAll(app.port, auto);
  const answers = await Promise.all(Array.from({ length: 8 }, () => ask(all.portOf("in"))));
  assert.deepEqual(new Set(answers), new Set(["200 1.1"]));
  assert.equal(await ask2(all.portOf("in")), "200 1.1");
  const { load } = upstreamOf(all);
  assert.deepEqual([load.pendingRequests, load.requests], [0, 0]);
});

test("a host that changes its version is followed, either way", async () => {
  const first = await openHttps();
  const { port } = first;
  await using all = await openAll(port, auto);
  assert.equal(await ask(all.portOf("in")), "200 1.1");
  await first[Symbol.asyncDispose]();
  const second = await openSecure(false, port);
  assert.equal(await ask(all.portOf("in")), "200 2.0");
  await second[Symbol.asyncDispose]();
  await using _third = await openHttps(port);
  assert.equal(await ask(all.portOf("in")), "200 1.1");
});

test("auto without TLS is HTTP/1", async () => {
  await using app = await openServer((socket) =>
    socket.on("data", () => socket.write("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n1.1")),
  );
  await using all = await openAll(app.port, http({ autoConfig: {} }));
  assert.equal(await ask2(all.portOf("in")), "200 1.1");
});

test("the client's own version goes on upstream where the cluster says so", async () => {
  await using app = await openSecure(true);
  const fields = {
    ...http({ useDownstreamProtocolConfig: { httpProtocolOptions: {}, http2ProtocolOptions: {} } }),
    ...overTls,
  };
  await using all = await openAll(app.port, fields);
  assert.equal(await ask(all.portOf("in")), "200 1.1");
  assert.equal(await ask2(all.portOf("in")), "200 2.0");
  assert.equal(await ask(all.portOf("in")), "200 1.1");
  assert.equal(upstreamOf(all).counters.upstreamCxTotal, 2, "one connection for each version");
});

const shortLived = { commonHttpProtocolOptions: { maxConnectionDuration: "0.05s" } };

test("an idle connection goes when its time is over, in both versions", async () => {
  for (const explicitHttpConfig of [{ httpProtocolOptions: {} }, { http2ProtocolOptions: {} }]) {
    await using app = await openSecure(true);
    await using all = await openAll(app.port, { ...http({ explicitHttpConfig, ...shortLived }), ...overTls });
    assert.match(await ask(all.portOf("in")), /^200/);
    const [socket] = app.sockets;
    await once(socket ?? assert.fail(), "close");
    assert.match(await ask(all.portOf("in")), /^200/);
    assert.equal(upstreamOf(all).counters.upstreamCxTotal, 2);
  }
});

test("a request that outlasts its connection's time is finished first", async () => {
  const asked = Promise.withResolvers<Socket>();
  const write = (socket: Socket, body: string): void =>
    void socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n\r\n${body}`);
  let connections = 0;
  await using app = await openServer((socket) => {
    const first = ++connections === 1;
    socket.once("data", () => (first ? asked.resolve(socket) : write(socket, "soon")));
  });
  await using all = await openAll(app.port, http({ explicitHttpConfig: { httpProtocolOptions: {} }, ...shortLived }));
  const port = all.portOf("in");
  const response = ask(port);
  const socket = await asked.promise;
  // When a younger connection's time is over, so is the first one's.
  assert.equal(await ask(port), "200 soon");
  const [, younger] = app.sockets;
  younger?.resume();
  await once(younger ?? assert.fail(), "end");
  const closed = once(socket, "end");
  write(socket, "late");
  assert.equal(await response, "200 late");
  await closed;
});

test("requests that wait for a connection of a host that goes are still served by it", async () => {
  await using app = await openServer((socket) =>
    socket.on("data", () => socket.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")),
  );
  await using all = await openAll(app.port, {});
  const upstream = upstreamOf(all);
  const host = upstream.hosts()[0] ?? assert.fail();
  const response = ask(all.portOf("in"));
  while (host.stats.cxTotal === 0) await new Promise(setImmediate);
  host.pool?.[Symbol.dispose]();
  assert.equal(await response, "200 ok");
  assert.equal(upstream.counters.upstreamCxTotal, 1);
});

test("a connection made ahead of need offers what requests offer, and the next request takes it", async () => {
  const spoken: (readonly [server: number, alpn: string | false | null])[] = [];
  const asked: number[] = [];
  const open = (index: number): Promise<App> => {
    const server = createHttps({ ...material, ALPNProtocols: ["istio", "http/1.1"] }, (_incoming, response) => {
      asked.push(index);
      response.end("ok");
    });
    server.on("secureConnection", ({ alpnProtocol }) => void spoken.push([index, alpnProtocol]));
    return listening(server);
  };
  await using first = await open(0);
  await using second = await open(1);
  await using third = await open(2);
  await using all = openPlane();
  const alpnOverride = [{ upstreamProtocol: "HTTP11", alpnOverride: ["istio"] }];
  await all.put(
    cluster("app", [first.port, second.port, third.port], {
      ...overTls,
      lbPolicy: "ROUND_ROBIN",
      preconnectPolicy: { predictivePreconnectRatio: 2 },
    }),
    routes([toCluster("app")]),
    listener("in", [
      hcm({
        httpFilters: [
          {
            name: "istio.alpn",
            typedConfig: any("istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig", { alpnOverride }),
          },
          {
            name: "envoy.filters.http.router",
            typedConfig: any("envoy.extensions.filters.http.router.v3.Router", {}),
          },
        ],
      }),
    ]),
  );
  assert.equal(await ask(all.portOf("in")), "200 ok");
  while (spoken.length < 2) await new Promise(setImmediate);
  const ahead = spoken.map(([server]) => server).find((server) => server !== asked[0]);
  assert.equal(await ask(all.portOf("in")), "200 ok");
  assert.equal(asked[1], ahead);
  assert.deepEqual(new Set(spoken.map(([, alpn]) => alpn)), new Set(["istio"]));
  assert.equal(spoken.filter(([server]) => server === ahead).length, 1);
});
