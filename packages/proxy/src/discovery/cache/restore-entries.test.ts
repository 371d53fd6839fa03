import assert from "node:assert/strict";
import { test } from "node:test";
import { any, type ResourceKind } from "@weft/xds/resource";
import type { ResourceOffer } from "../resource-store.ts";
import { restoreEntries, standInVersion } from "./restore-entries.ts";

const ads = { ads: {}, initialFetchTimeout: "0s" };
const eds = (name: string) => ({ name, type: "EDS", edsClusterConfig: { edsConfig: ads } });
const tlsContext = (side: string, secret: string) => ({
  name: "tls",
  typedConfig: any(`envoy.extensions.transport_sockets.tls.v3.${side}TlsContext`, {
    commonTlsContext: { tlsCertificateSdsSecretConfigs: [{ name: secret, sdsConfig: ads }] },
  }),
});
const manager = (config: object) => ({
  name: "hcm",
  typedConfig: any("envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", config),
});
const listener = (name: string, config: object, transportSocket?: object) => ({
  name,
  filterChains: [{ filters: [manager(config)], ...(transportSocket ? { transportSocket } : {}) }],
});
const rds = (routeConfigName: string) => ({ rds: { routeConfigName, configSource: ads } });
const inline = (cluster: string) => ({
  routeConfig: { name: "i", virtualHosts: [{ name: "v", domains: ["*"], routes: [{ route: { cluster } }] }] },
});
const restore = (saved: Partial<Record<ResourceKind, readonly object[]>>, known: readonly string[] = []) => {
  const offers = Object.entries(saved).map(([of, jsons]): [ResourceKind, readonly ResourceOffer[]] => [
    of as ResourceKind,
    jsons.map((json) => {
      const { name, clusterName } = json as { name?: string; clusterName?: string };
      return { name: name ?? clusterName ?? "", version: "v1", json: json as never };
    }),
  ]);
  const restored = restoreEntries(new Map(offers), {
    source: "ads",
    isKnown: (of, name) => known.includes(`${of} ${name}`),
  });
  const all = restored.offers.flatMap(({ of, changes }) => changes.map((change) => ({ of, ...change })));
  return { ...restored, all, keys: all.map(({ of, name, version }) => `${of} ${name} ${version}`) };
};

test("what is whole is offered as it is, what others refer to after its referrer", () => {
  const { keys, count, standIns } = restore({
    route: [{ name: "r" }],
    endpoints: [{ clusterName: "c" }],
    listener: [listener("l", rds("r"))],
    cluster: [eds("c")],
  });
  assert.deepEqual(keys, ["cluster c v1", "endpoints c v1", "listener l v1", "route r v1"]);
  assert.deepEqual([count, standIns], [4, []]);
});

test("a cluster whose endpoints are lost has none, by a version that no server gives", () => {
  const { keys, all, standIns } = restore({ cluster: [eds("c"), eds("d")], endpoints: [{ clusterName: "d" }] });
  assert.deepEqual(keys, ["cluster c v1", "cluster d v1", "endpoints d v1", `endpoints c ${standInVersion}`]);
  assert.deepEqual(all.at(-1)?.json, { clusterName: "c" });
  assert.deepEqual(standIns, ["endpoints c"]);
});

test("a lost route table answers 503 to everything", () => {
  const { all, standIns } = restore({ listener: [listener("l", rds("r"))] });
  assert.deepEqual(standIns, ["route r"]);
  assert.match(JSON.stringify(all.at(-1)?.json), /"domains":\["\*"\].*"directResponse":\{"status":503/);
});

test("a cluster that is lost is stood in for where a listener or table would be refused without it", () => {
  const { standIns } = restore(
    {
      listener: [listener("l", inline("c")), listener("m", inline("c")), listener("k", inline("static"))],
      route: [
        {
          name: "r",
          validateClusters: true,
          virtualHosts: [{ name: "v", domains: ["*"], routes: [{ route: { cluster: "d" } }] }],
        },
      ],
    },
    ["cluster static"],
  );
  assert.deepEqual(standIns, ["cluster c", "cluster d"]);
});

test("nothing goes without its keys: a cluster that lost them has no hosts, a listener is left out", () => {
  const { all, standIns, leftOut } = restore({
    cluster: [{ ...eds("c"), transportSocket: tlsContext("Upstream", "lost") }],
    endpoints: [{ clusterName: "c" }],
    listener: [listener("l", inline("c"), tlsContext("Downstream", "lost")), listener("m", inline("c"))],
  });
  assert.deepEqual([standIns, leftOut], [["cluster c"], ["listener l"]]);
  assert.equal(JSON.stringify(all[0]?.json).includes("lost"), false);
  assert.deepEqual(
    all.filter(({ of }) => of === "listener").map(({ name }) => name),
    ["m"],
  );
});

test("keys of the identity and what another source gives are not missed", () => {
  const api = { apiConfigSource: { apiType: "GRPC", grpcServices: [{ envoyGrpc: { clusterName: "x" } }] } };
  const { standIns } = restore(
    {
      cluster: [
        { ...eds("c"), transportSocket: tlsContext("Upstream", "default") },
        { name: "other", type: "EDS", edsClusterConfig: { edsConfig: api } },
      ],
      endpoints: [{ clusterName: "c" }],
    },
    ["secret default"],
  );
  assert.deepEqual(standIns, []);
});
