import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { test } from "node:test";
import type { ResourceChange } from "./data-plane.ts";
import { cluster, hcm, listener, openPlane, openServer, routes, tcpProxy, toCluster } from "./testing/test-plane.ts";

const openNamed = (name: string) =>
  openServer((socket) => {
    socket.on("data", () => socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${name.length}\r\n\r\n${name}`));
    socket.on("end", () => socket.end());
  });

/** One keep-alive connection that is asked again and again. */
const openClient = async (port: number) => {
  const socket = connect({ host: "127.0.0.1", port });
  socket.on("error", () => {});
  await once(socket, "connect");
  return {
    socket,
    ask: async (): Promise<string> => {
      socket.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
      const [bytes] = await once(socket, "data");
      return String(bytes);
    },
  };
};
const closed = (socket: Socket): Promise<unknown> => new Promise((resolve) => socket.once("close", resolve));

test("routes, clusters and endpoints change under a connection that stays", async () => {
  await using one = await openNamed("one");
  await using two = await openNamed("two");
  await using all = openPlane();
  await all.put(
    cluster("one", [one.port]),
    cluster("two", [two.port]),
    routes([toCluster("one")]),
    listener("in", [hcm()]),
  );
  const client = await openClient(all.portOf("in"));
  assert.match(await client.ask(), /one$/);
  await all.put(routes([toCluster("two")]));
  assert.match(await client.ask(), /two$/);
  await all.put(cluster("two", [one.port]));
  assert.match(await client.ask(), /one$/);
  await all.put({ kind: "cluster", name: "two", json: undefined });
  assert.match(await client.ask(), /^HTTP\/1\.1 503/);
  client.socket.destroy();
});

test("EDS gives and takes endpoints, and a removed endpoint's connections go", async () => {
  await using one = await openNamed("one");
  await using two = await openNamed("two");
  await using all = openPlane();
  const eds = (...ports: number[]): ResourceChange => ({
    kind: "endpoints",
    name: "svc",
    json: {
      clusterName: "svc",
      endpoints: [
        {
          lbEndpoints: ports.map((portValue) => ({
            endpoint: { address: { socketAddress: { address: "127.0.0.1", portValue } } },
          })),
        },
      ],
    },
  });
  await all.put(
    {
      kind: "cluster",
      name: "app",
      json: { name: "app", type: "EDS", edsClusterConfig: { serviceName: "svc", edsConfig: { ads: {} } } },
    },
    routes([toCluster("app")]),
    listener("in", [hcm()]),
  );
  const client = await openClient(all.portOf("in"));
  assert.match(await client.ask(), /^HTTP\/1\.1 503/);
  await all.put(eds(one.port));
  assert.match(await client.ask(), /one$/);
  const [upstream] = one.sockets;
  assert.ok(upstream);
  const gone = closed(upstream);
  await all.put(eds(two.port));
  await gone;
  assert.match(await client.ask(), /two$/);
  client.socket.destroy();
});

test("a changed listener keeps its socket and connections, which take its new settings with their next request", async () => {
  await using one = await openNamed("one");
  await using all = openPlane();
  await all.put(cluster("one", [one.port]), routes([toCluster("one")]), listener("in", [hcm({ serverName: "first" })]));
  const port = all.portOf("in");
  const old = await openClient(port);
  assert.match(await old.ask(), /server: first/);
  await all.put(listener("in", [hcm({ serverName: "second" })]));
  assert.equal(all.portOf("in"), port);
  assert.match(await old.ask(), /server: second/);
  const fresh = await openClient(port);
  assert.match(await fresh.ask(), /server: second/);
  old.socket.destroy();
  fresh.socket.destroy();
});

test("a policy that comes or goes holds for connections that are open already", async () => {
  await using one = await openNamed("one");
  await using all = openPlane();
  const deny = {
    name: "envoy.filters.http.rbac",
    typedConfig: {
      "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
      rules: { action: "DENY", policies: { all: { permissions: [{ any: true }], principals: [{ any: true }] } } },
    },
  };
  const router = {
    name: "envoy.filters.http.router",
    typedConfig: { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" },
  };
  await all.put(cluster("one", [one.port]), routes([toCluster("one")]), listener("in", [hcm()]));
  const client = await openClient(all.portOf("in"));
  assert.match(await client.ask(), /^HTTP\/1\.1 200/);
  await all.put(listener("in", [hcm({ httpFilters: [deny, router] })]));
  assert.match(await client.ask(), /^HTTP\/1\.1 403/);
  await all.put(listener("in", [hcm({ httpFilters: [router] })]));
  assert.match(await client.ask(), /^HTTP\/1\.1 200/);
  client.socket.destroy();
});

test("connections of a chain that is gone, or that now wants something else of a connection, are told to leave", async () => {
  await using one = await openNamed("one");
  await using all = openPlane();
  const chain = (sourcePorts: number[]) => [{ filterChainMatch: { sourcePorts }, filters: [hcm()] }];
  await all.put(cluster("one", [one.port]), routes([toCluster("one")]), listener("in", [hcm()]));
  const client = await openClient(all.portOf("in"));
  await client.ask();
  await all.put(listener("in", [], { filterChains: chain([1]), defaultFilterChain: { filters: [hcm()] } }));
  assert.match(await client.ask(), /connection: close/);
  await closed(client.socket);
});

test("a removed listener stops accepting and lets its connections finish", async () => {
  await using one = await openNamed("one");
  await using all = openPlane();
  await all.put(cluster("one", [one.port]), routes([toCluster("one")]), listener("in", [hcm()]));
  const port = all.portOf("in");
  const client = await openClient(port);
  await client.ask();
  const gone = closed(client.socket);
  await all.put({ kind: "listener", name: "in", json: undefined });
  await gone;
  const refused = connect({ host: "127.0.0.1", port });
  const [error] = (await once(refused, "error")) as [NodeJS.ErrnoException];
  assert.equal(error.code, "ECONNREFUSED");
});

test("what cannot be taken is refused with its reason, and the rest of the batch takes effect", async () => {
  await using one = await openNamed("one");
  await using all = openPlane();
  await all.put(cluster("one", [one.port]), routes([toCluster("one")]), listener("in", [hcm()]));
  const rejections = all.plane.apply([
    listener("in", [{ name: "some.filter", typedConfig: { "@type": "type.googleapis.com/some.Filter" } }]),
    { kind: "cluster", name: "bad", json: { name: "bad", type: "STATIC", lbPolicy: "NO_SUCH" as "RANDOM" } },
    routes([toCluster("one"), { name: "v", domains: ["*"], routes: [] }]),
    cluster("good", [one.port]),
  ]);
  const reasons = new Map(rejections.map(({ name, reason }) => [name, reason]));
  assert.match(reasons.get("in") ?? "", /filterChains\[0\]\.filters\[0\].*"some\.filter" \(some\.Filter\)/);
  assert.ok(reasons.has("bad"));
  assert.ok(reasons.has("routes"));
  assert.ok(!reasons.has("good"));
  const client = await openClient(all.portOf("in"));
  assert.match(await client.ask(), /one$/);
  client.socket.destroy();
});

test("a port that is taken makes the listener failed with a coded error, and nothing else", async () => {
  await using taken = await openServer(() => {});
  await using all = openPlane();
  await all.put(
    cluster("one", [1]),
    listener("in", [tcpProxy({ cluster: "one" })], {
      address: { socketAddress: { address: "127.0.0.1", portValue: taken.port } },
    }),
    listener("other", [tcpProxy({ cluster: "one" })]),
  );
  const state = (name: string) => all.plane.listeners().find((each) => each.name === name);
  assert.equal(state("in")?.state, "failed");
  assert.match(state("in")?.error ?? "", /^WF5001 /);
  assert.equal(state("other")?.state, "active");
});

test("draining answers the request in flight with Connection: close, and takes no new connection", async () => {
  const asked = Promise.withResolvers<Socket>();
  await using slow = await openServer((socket) => socket.once("data", () => asked.resolve(socket)));
  await using all = openPlane();
  await all.put(cluster("one", [slow.port]), routes([toCluster("one")]), listener("in", [hcm()]));
  const port = all.portOf("in");
  const busy = await openClient(port);
  const idle = await openClient(port);
  const answer = busy.ask();
  const upstream = await asked.promise;
  const idleGone = closed(idle.socket);
  const drained = all.plane.drain(5000);
  await idleGone;
  upstream.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
  assert.match(await answer, /connection: close[\s\S]*ok$/);
  await drained;
  assert.equal(all.plane.listeners()[0]?.connections, 0);
});

test("draining gives up after its time", async () => {
  await using mute = await openServer((socket) => socket.resume());
  await using all = openPlane();
  await all.put(cluster("one", [mute.port]), listener("in", [tcpProxy({ cluster: "one" })]));
  const client = await openClient(all.portOf("in"));
  client.socket.write("x");
  await once(mute.server, "connection");
  await all.plane.drain(20);
  client.socket.destroy();
});

test("names are resolved, and followed when they move", async () => {
  await using one = await openNamed("one");
  const answers: (readonly string[])[] = [["127.0.0.1"], []];
  await using all = openPlane({
    resolve: async () => (answers.shift() ?? ["127.0.0.1"]).map((address) => ({ address, ttl: 0 })),
  });
  await all.put(routes([toCluster("dns")]), listener("in", [hcm()]), {
    kind: "cluster",
    name: "dns",
    json: {
      name: "dns",
      type: "STRICT_DNS",
      dnsRefreshRate: "0.02s",
      loadAssignment: {
        clusterName: "dns",
        endpoints: [
          {
            lbEndpoints: [{ endpoint: { address: { socketAddress: { address: "app.test", portValue: one.port } } } }],
          },
        ],
      },
    },
  });
  const client = await openClient(all.portOf("in"));
  const seen = new Set<string>();
  while (seen.size < 2) seen.add((await client.ask()).slice(0, 12));
  assert.deepEqual([...seen].sort(), ["HTTP/1.1 200", "HTTP/1.1 503"]);
  client.socket.destroy();
});
