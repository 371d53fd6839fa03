/** Checks of a host whose endpoint is said anew: the next one is far away, so what comes soon is of a check begun anew. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Server } from "node:net";
import { test } from "node:test";
import { any } from "@weft/xds/resource";
import { upstreamProxyProtocolType } from "../proxy-protocol/upstream-header.ts";
import { openPlane } from "../runtime/testing/test-plane.ts";

/** Says what the next connection begins with, and answers it. */
const openApp = async () => {
  const server: Server = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.on("data", (bytes: Buffer) => {
      socket.end("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
      server.emit("asked", bytes.toString("latin1"));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as { port: number }).port,
    next: async (): Promise<string> => String((await once(server, "asked"))[0]),
    [Symbol.asyncDispose]: () => new Promise<void>((resolve) => void server.close(() => resolve())),
  };
};

const open = async (port: number) => {
  const all = openPlane();
  const transportSocket = {
    name: "proxied",
    typedConfig: any(upstreamProxyProtocolType, {
      config: { version: "V1" },
      transportSocket: { name: "envoy.transport_sockets.raw_buffer" },
    }),
  };
  await all.put({
    kind: "cluster",
    name: "app",
    json: {
      name: "app",
      type: "EDS",
      edsClusterConfig: { serviceName: "svc", edsConfig: { ads: {} } },
      transportSocketMatches: [{ name: "proxied", match: { proxied: "yes" }, transportSocket }],
      healthChecks: [
        {
          ...{ timeout: "5s", interval: "600s", noTrafficInterval: "600s", unhealthyThreshold: 1, healthyThreshold: 1 },
          httpHealthCheck: { path: "/ready" },
        },
      ],
    },
  });
  /** The host stays the same; how it is checked and what is said of it do not. */
  const say = (healthCheckConfig: object, match: object = {}, weight = 1): Promise<void> =>
    all.put({
      kind: "endpoints",
      name: "svc",
      json: {
        clusterName: "svc",
        endpoints: [
          {
            lbEndpoints: [
              {
                endpoint: { address: { socketAddress: { address: "127.0.0.1", portValue: port } }, healthCheckConfig },
                metadata: { filterMetadata: { "envoy.transport_socket_match": { ...match } } },
                loadBalancingWeight: weight,
              },
            ],
          },
        ],
      },
    });
  const { counters } = all.plane.clusters()[0] ?? assert.fail();
  return { ...all, say, counters, [Symbol.asyncDispose]: () => all[Symbol.asyncDispose]() };
};

const within = { timeout: 20_000 };

test("a host is checked anew when the place, the name or the transport of its checks is another", within, async () => {
  await using app = await openApp();
  await using other = await openApp();
  await using all = await open(app.port);
  const asked = async (from: typeof app, ...how: Parameters<typeof all.say>): Promise<string> => {
    const next = from.next();
    await all.say(...how);
    return await next;
  };
  assert.match(await asked(app, { hostname: "one.test" }), /^GET \/ready HTTP\/1.1\r\nhost: one\.test\r\n/);
  assert.match(await asked(app, { hostname: "two.test" }), /^GET .*\r\nhost: two\.test\r\n/);
  assert.match(await asked(other, { hostname: "two.test", portValue: other.port }), /^GET .*\r\nhost: two\.test\r\n/);
  assert.match(await asked(app, { hostname: "two.test" }, { proxied: "yes" }), /^PROXY /);
});

test("a host of which something else is said is not checked anew", within, async () => {
  await using app = await openApp();
  await using all = await open(app.port);
  const first = app.next();
  await all.say({ hostname: "one.test" });
  await first;
  await all.say({ hostname: "one.test" }, { other: "x" }, 7);
  assert.equal(all.counters.healthCheckAttempt, 1);
});
