import assert from "node:assert/strict";
import { connect, type Socket } from "node:net";
import { test } from "node:test";
import { cluster, hcm, listener, openPlane, openServer, routes, toCluster } from "../runtime/testing/test-plane.ts";

/** Hears each request whole, and answers what the function says; `undefined` says nothing. */
const openTold = async (answer: (request: string, index: number) => string | undefined) => {
  const requests: string[] = [];
  const server = await openServer((socket) => {
    let held = "";
    socket.on("data", (bytes) => {
      held += bytes.toString();
      const head = held.indexOf("\r\n\r\n");
      if (head < 0) return;
      const length = Number(/content-length: (\d+)/.exec(held)?.[1] ?? 0);
      if (held.length < head + 4 + length) return;
      requests.push(held);
      const said = answer(held, requests.length - 1);
      held = "";
      if (said !== undefined) socket.write(said);
    });
    socket.on("error", () => {});
    socket.on("end", () => socket.end());
  });
  return Object.assign(server, { requests });
};

const ok = (body: string): string => `HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n\r\n${body}`;

const ask = async (
  port: number,
  head = "GET / HTTP/1.1",
  body = "",
  ...headers: readonly string[]
): Promise<string> => {
  const socket = connect({ host: "127.0.0.1", port });
  socket.on("error", () => {});
  const lines = [head, "host: a", "connection: close", ...headers];
  if (body !== "") lines.push(`content-length: ${body.length}`);
  socket.write(`${lines.join("\r\n")}\r\n\r\n${body}`);
  let got = "";
  socket.on("data", (bytes) => {
    got += bytes.toString();
  });
  await new Promise((resolve) => socket.once("close", resolve));
  return got;
};

const quick = { baseInterval: "0.001s" };

test("a slow try runs on beside the next one, and the first good answer counts", async () => {
  await using app = await openTold((_, index) => (index === 0 ? undefined : ok("second")));
  await using all = openPlane();
  const retryPolicy = { retryOn: "5xx", perTryTimeout: "0.05s", retryBackOff: quick };
  await all.put(
    cluster("app", [app.port]),
    routes([toCluster("app", { retryPolicy, hedgePolicy: { hedgeOnPerTryTimeout: true } })]),
    listener("in", [hcm()]),
  );
  assert.match(await ask(all.portOf("in")), /200 OK[\s\S]*second$/);
  assert.equal(app.requests.length, 2);
  const { load } = all.plane.clusters()[0] ?? assert.fail();
  assert.equal(load.requests, 0);
  assert.equal(load.retries, 0);
});

test("a try that rests too long is given up, also when its answer had begun", async () => {
  await using app = await openTold((request) =>
    request.startsWith("GET /begun") ? "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nbeg" : undefined,
  );
  await using all = openPlane();
  const retryPolicy = { retryOn: "retriable-4xx", perTryIdleTimeout: "0.05s" };
  await all.put(
    cluster("app", [app.port]),
    routes([toCluster("app", { retryPolicy, timeout: "20s" })]),
    listener("in", [hcm()]),
  );
  assert.match(await ask(all.portOf("in")), /^HTTP\/1\.1 504/);
  assert.match(await ask(all.portOf("in"), "GET /begun HTTP/1.1"), /200 OK[\s\S]*beg$/);
  assert.equal(all.plane.clusters()[0]?.load.requests, 0);
});

test("a redirect is followed with the body, and no further than the policy lets it", async () => {
  await using app = await openTold(() => "HTTP/1.1 307 X\r\nlocation: http://b.test/on\r\ncontent-length: 0\r\n\r\n");
  await using all = openPlane();
  await all.put(
    cluster("app", [app.port]),
    routes([toCluster("app", { internalRedirectPolicy: { maxInternalRedirects: 3, redirectResponseCodes: [307] } })]),
    listener("in", [hcm()]),
  );
  assert.match(
    await ask(all.portOf("in"), "POST /from HTTP/1.1", "hello"),
    /^HTTP\/1\.1 307[\s\S]*location: http:\/\/b/,
  );
  assert.equal(app.requests.length, 4);
  for (const request of app.requests.slice(1))
    assert.match(request, /^POST \/on HTTP\/1\.1\r\nhost: b\.test[\s\S]*hello$/);
});

test("a buffered request reaches the upstream whole, with its length", async () => {
  await using app = await openTold(() => ok("done"));
  await using all = openPlane();
  const buffer = {
    name: "envoy.filters.http.buffer",
    typedConfig: { "@type": "type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer", maxRequestBytes: 8 },
  };
  const router = {
    name: "envoy.filters.http.router",
    typedConfig: { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" },
  };
  await all.put(
    cluster("app", [app.port]),
    routes([toCluster("app")]),
    listener("in", [hcm({ httpFilters: [buffer, router] })]),
  );
  const chunked = "transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0";
  assert.match(await ask(all.portOf("in"), "POST / HTTP/1.1", "", chunked), /200 OK/);
  assert.match(app.requests[0] ?? "", /content-length: 5[\s\S]*abcde$/);
  assert.match(await ask(all.portOf("in"), "POST / HTTP/1.1", "too long a body"), /^HTTP\/1\.1 413/);
  assert.equal(app.requests.length, 1);
});

test("a pause between tries is nobody's time to rest: it ends no try and costs none", async () => {
  const failed = "HTTP/1.1 503 X\r\ncontent-length: 0\r\n\r\n";
  await using app = await openTold((_, index) => (index === 0 ? failed : ok("second")));
  await using all = openPlane({ random: () => 0.99 });
  const retryPolicy = {
    retryOn: "5xx",
    numRetries: 5,
    perTryIdleTimeout: "0.05s",
    retryBackOff: { baseInterval: "0.3s" },
  };
  await all.put(cluster("app", [app.port]), routes([toCluster("app", { retryPolicy })]), listener("in", [hcm()]));
  assert.match(await ask(all.portOf("in")), /200 OK[\s\S]*second$/);
  const { counters } = all.plane.clusters()[0] ?? assert.fail();
  assert.equal(counters.upstreamRqPerTryTimeout, 0);
  assert.equal(counters.upstreamRqRetry, 1);
});

const hedged = (retryPolicy: object, more: object = {}) =>
  routes([
    toCluster("app", {
      retryPolicy: { retryOn: "5xx", numRetries: 20, retryBackOff: quick, ...retryPolicy },
      hedgePolicy: { hedgeOnPerTryTimeout: true },
      ...more,
    }),
  ]);

const turns = async (condition: () => boolean): Promise<void> => {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
};

test("no other try begins beside a slow one while the request is not whole", async () => {
  await using app = await openTold(() => ok("done"));
  await using all = openPlane();
  await all.put(cluster("app", [app.port]), hedged({ perTryIdleTimeout: "0.05s" }), listener("in", [hcm()]));
  const { counters } = all.plane.clusters()[0] ?? assert.fail();
  const socket = connect({ host: "127.0.0.1", port: all.portOf("in") });
  socket.write("POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 10\r\n\r\nhello");
  await turns(() => counters.upstreamRqPerTryTimeout > 0);
  socket.write("world");
  let got = "";
  socket.on("data", (bytes) => {
    got += bytes.toString();
  });
  await new Promise((resolve) => socket.once("close", resolve));
  assert.match(got, /200 OK[\s\S]*done$/);
  assert.equal(counters.upstreamCxTotal, 1);
  assert.match(app.requests[0] ?? "", /helloworld$/);
});

test("the time of a slow try does not count for the one begun beside it", async () => {
  await using app = await openTold(() => undefined);
  await using all = openPlane();
  await all.put(
    // The other try waits for the only connection.
    cluster("app", [app.port], { circuitBreakers: { thresholds: [{ maxConnections: 1 }] } }),
    hedged({ perTryIdleTimeout: "0.04s", perTryTimeout: "0.12s" }, { timeout: "0.4s" }),
    listener("in", [hcm()]),
  );
  assert.match(await ask(all.portOf("in")), /^HTTP\/1\.1 504/);
  const { counters, load } = all.plane.clusters()[0] ?? assert.fail();
  assert.equal(counters.upstreamRqPerTryTimeout, 1);
  assert.deepEqual([load.requests, load.pendingRequests, load.retries], [0, 0, 0]);
});

test("slow tries beside one another are bounded, however many the policy lets there be", async () => {
  await using app = await openTold(() => undefined);
  await using all = openPlane();
  await all.put(
    cluster("app", [app.port]),
    hedged({ perTryTimeout: "0.02s" }, { timeout: "1s" }),
    listener("in", [hcm()]),
  );
  assert.match(await ask(all.portOf("in")), /^HTTP\/1\.1 504/);
  assert.equal(app.requests.length, 9);
  const { load } = all.plane.clusters()[0] ?? assert.fail();
  assert.deepEqual([load.requests, load.retries], [0, 0]);
});

test("a buffered request that another filter held up until its body was stopped still comes whole", async () => {
  await using app = await openTold(() => ok("done"));
  await using all = openPlane();
  const of = (name: string, message: string, json: object) => ({
    name: `envoy.filters.http.${name}`,
    typedConfig: { "@type": `type.googleapis.com/envoy.extensions.filters.http.${message}`, ...json },
  });
  const httpFilters = [
    of("fault", "fault.v3.HTTPFault", { delay: { fixedDelay: "0.05s", percentage: { numerator: 100 } } }),
    of("buffer", "buffer.v3.Buffer", { maxRequestBytes: 1_000_000 }),
    of("router", "router.v3.Router", {}),
  ];
  await all.put(
    cluster("app", [app.port]),
    routes([toCluster("app")]),
    listener("in", [hcm({ httpFilters, requestTimeout: "2s" })]),
  );
  const body = "x".repeat(300_000);
  assert.match(await ask(all.portOf("in"), "POST / HTTP/1.1", body), /200 OK/);
  assert.ok(app.requests[0]?.endsWith(body));
});

test("when the slow try answers first, the log and the client are told of that one", async () => {
  const sockets: Socket[] = [];
  await using app = await openServer((socket) => {
    socket.on("data", () => sockets.push(socket));
  });
  await using all = openPlane();
  const accessLog = [
    {
      name: "log",
      typedConfig: {
        "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
        path: "/dev/stdout",
        logFormat: { textFormatSource: { inlineString: "%UPSTREAM_LOCAL_ADDRESS%\n" } },
      },
    },
  ];
  await all.put(
    cluster("app", [app.port]),
    hedged({ perTryTimeout: "0.2s", numRetries: 1 }),
    listener("in", [hcm({ accessLog })]),
  );
  const answer = ask(all.portOf("in"));
  await turns(() => sockets.length === 2);
  sockets[0]?.write(ok("first"));
  const tookMs = Number(/x-envoy-upstream-service-time: (\d+)[\s\S]*first$/.exec(await answer)?.[1]);
  assert.ok(tookMs >= 190, String(tookMs));
  assert.equal(all.logLines[0], `127.0.0.1:${sockets[0]?.remotePort}\n`);
});
