/** Clusters that are checked before they serve: store, plane and applications are real. */
import assert from "node:assert/strict";
import { get } from "node:http";
import { test } from "node:test";
import { silentLogger } from "@weft/core/world";
import { realClock } from "@weft/net/clock";
import type { ClusterJson } from "@weft/xds/gen/envoy/config/cluster/v3/cluster";
import type { ResourceKind } from "@weft/xds/resource";
import { createResourceStore } from "../discovery/resource-store.ts";
import type { DataPlaneTools } from "./create-data-plane.ts";
import type { ResourceChange } from "./data-plane.ts";
import { cluster, hcm, listener, openPlane, openServer, routes, toCluster } from "./testing/test-plane.ts";

const within = { timeout: 20_000 };

/** Answers requests at once, and a check when the test says so. */
const openApp = async (name: string) => {
  const asked = Promise.withResolvers<void>();
  const allowed = Promise.withResolvers<string>();
  const answer = (status: string): string =>
    `HTTP/1.1 ${status}\r\nconnection: close\r\nx-app: ${name}\r\ncontent-length: 0\r\n\r\n`;
  let checks = 0;
  const server = await openServer((socket) => {
    socket.on("end", () => socket.end());
    socket.on("data", (bytes) => {
      if (!bytes.toString("latin1").startsWith("GET /ready")) {
        socket.end(answer("200 OK"));
        return;
      }
      checks++;
      asked.resolve();
      void allowed.promise.then((status) => socket.end(answer(status)));
    });
  });
  return { ...server, asked: asked.promise, say: allowed.resolve, checks: () => checks };
};

const checks: Partial<ClusterJson> = {
  // Nobody is sent to hosts that are not known to be well.
  commonLbConfig: { healthyPanicThreshold: {} },
  healthChecks: [
    {
      ...{ timeout: "10s", interval: "600s", noTrafficInterval: "600s", unhealthyThreshold: 1, healthyThreshold: 1 },
      httpHealthCheck: { path: "/ready" },
    },
  ],
};

const open = (resolve?: DataPlaneTools["resolve"]) => {
  const all = openPlane(resolve ? { resolve } : {});
  const store = createResourceStore({ dataPlane: all.plane, clock: realClock, log: silentLogger });
  const give = ({ kind, name, json }: ResourceChange): void =>
    assert.deepEqual(store.offer("ads", kind as ResourceKind, [{ name, version: "1", json }]), []);
  const isActive = (name: string): boolean => store.entries("cluster").get(name)?.active !== undefined;
  const serve = async (): Promise<void> => {
    give(listener("in", [hcm()]));
    give(routes([toCluster("app")]));
    await all.plane.settled();
  };
  const ask = (): Promise<string> =>
    new Promise((resolve, reject) => {
      get({ port: all.portOf("in"), host: "127.0.0.1", path: "/", agent: false }, (response) => {
        response.resume();
        resolve(String(response.headers["x-app"] ?? response.statusCode));
      }).once("error", reject);
    });
  const until = async (holds: () => boolean): Promise<void> => {
    while (!holds()) await new Promise((resolve) => setImmediate(resolve));
  };
  return { ...all, store, give, isActive, serve, ask, until, [Symbol.asyncDispose]: () => all[Symbol.asyncDispose]() };
};

test("the first request finds a host that was checked", within, async () => {
  await using app = await openApp("a");
  await using all = open();
  all.give(cluster("app", [app.port], checks));
  await all.serve();
  await app.asked;
  assert.deepEqual([all.isActive("app"), all.plane.listeners(), all.plane.clusters()], [false, [], []]);
  app.say("200 OK");
  await all.until(() => all.isActive("app"));
  await all.plane.settled();
  assert.equal(await all.ask(), "a");
});

test(
  "a cluster with checks takes over from the one before when it knows its hosts, and no request fails",
  within,
  async () => {
    await using before = await openApp("before");
    await using after = await openApp("after");
    await using all = open();
    all.give(cluster("app", [before.port]));
    await all.serve();
    all.give(cluster("app", [after.port], checks));
    await after.asked;
    assert.equal(await all.ask(), "before");
    after.say("200 OK");
    const hosts = () =>
      all.plane
        .clusters()[0]
        ?.hosts()
        .map(({ address }) => address) ?? [];
    await all.until(() => hosts().includes(`127.0.0.1:${after.port}`));
    assert.deepEqual(hosts(), [`127.0.0.1:${after.port}`]);
    assert.equal(await all.ask(), "after");
  },
);

test("a host that fails its first check ends the wait as well, and is not used", within, async () => {
  await using app = await openApp("a");
  await using all = open();
  all.give(cluster("app", [app.port], checks));
  await all.serve();
  app.say("503 Service Unavailable");
  await all.until(() => all.isActive("app"));
  await all.plane.settled();
  assert.equal(await all.ask(), "503");
});

test("endpoints that come for a cluster by EDS are checked before it serves", within, async () => {
  await using well = await openApp("well");
  await using sick = await openApp("sick");
  await using all = open();
  all.give({
    kind: "cluster",
    name: "app",
    json: { name: "app", type: "EDS", edsClusterConfig: { serviceName: "svc", edsConfig: { ads: {} } }, ...checks },
  });
  await all.serve();
  const endpoints = [well, sick].map(({ port }) => ({
    endpoint: { address: { socketAddress: { address: "127.0.0.1", portValue: port } } },
  }));
  all.give({ kind: "endpoints", name: "svc", json: { clusterName: "svc", endpoints: [{ lbEndpoints: endpoints }] } });
  well.say("200 OK");
  await Promise.all([well.asked, sick.asked]);
  assert.equal(all.isActive("app"), false);
  sick.say("503 Service Unavailable");
  await all.until(() => all.isActive("app"));
  await all.plane.settled();
  for (let i = 0; i < 4; i++) assert.equal(await all.ask(), "well");
});

test("a cluster of no hosts has nobody to wait for", within, async () => {
  await using all = open();
  all.give(cluster("app", [], checks));
  assert.equal(all.isActive("app"), true);
});

test("checks of a cluster that was taken back end", within, async () => {
  await using app = await openApp("a");
  await using all = open();
  all.give(cluster("app", [app.port], checks));
  await app.asked;
  all.give({ kind: "cluster", name: "app", json: undefined });
  await all.until(() => app.sockets.size === 0);
  assert.deepEqual([all.plane.clusters(), app.checks()], [[], 1]);
});

const named = (port: number, rest: object = { type: "STRICT_DNS" }, name = "a.test"): ResourceChange => {
  const endpoint = { address: { socketAddress: { address: name, portValue: port } } };
  const loadAssignment = { clusterName: "app", endpoints: [{ lbEndpoints: [{ endpoint }] }] };
  return {
    kind: "cluster",
    name: "app",
    json: { name: "app", connectTimeout: "1s", loadAssignment, ...checks, ...rest },
  };
};
const typed = { "@type": "type.googleapis.com/envoy.extensions.clusters.dns.v3.DnsCluster" };

for (const rest of [
  { type: "STRICT_DNS" },
  { type: "LOGICAL_DNS" },
  { clusterType: { name: "envoy.clusters.dns", typedConfig: typed } },
] as const)
  test(
    `hosts of names are found out and checked before the cluster serves: ${JSON.stringify(rest)}`,
    within,
    async () => {
      await using app = await openApp("a");
      const asked = Promise.withResolvers<void>();
      const answer = Promise.withResolvers<void>();
      let questions = 0;
      await using all = open(async () => {
        questions++;
        // What is asked when it serves is never answered: what was found out before is enough.
        if (questions > 1) await new Promise(() => undefined);
        asked.resolve();
        await answer.promise;
        return [{ address: "127.0.0.1", ttl: 60 }];
      });
      all.give(named(app.port, rest));
      await all.serve();
      await asked.promise;
      assert.equal(all.isActive("app"), false, "no address is known");
      answer.resolve();
      await app.asked;
      assert.equal(all.isActive("app"), false, "no host is checked");
      app.say("200 OK");
      await all.until(() => all.isActive("app"));
      await all.plane.settled();
      assert.equal(await all.ask(), "a");
    },
  );

test("a name that nobody knows ends the wait", within, async () => {
  await using all = open(async () => {
    throw new Error("no such name");
  });
  all.give(named(1));
  await all.until(() => all.isActive("app"));
});

test("a name without addresses ends the wait, and so does one that is an address", within, async () => {
  await using app = await openApp("a");
  await using all = open(async () => []);
  all.give(named(1));
  await all.until(() => all.isActive("app"));
  all.give({ kind: "cluster", name: "app", json: undefined });
  all.give(named(app.port, { type: "STRICT_DNS" }, "127.0.0.1"));
  await app.asked;
  assert.equal(all.isActive("app"), false);
  app.say("200 OK");
  await all.until(() => all.isActive("app"));
});
