import assert from "node:assert/strict";
import { test } from "node:test";
import { unknownInListener, unknownInRouteTable } from "./validate-clusters.ts";

const known = (name: string): boolean => name === "known";
const table = (route: object, more: object = {}) => ({
  virtualHosts: [{ routes: [{ directResponse: { status: 200 } }, { route }] }],
  ...more,
});
const listener = (routeConfig: object) => ({
  filterChains: [{ filters: [{ typedConfig: { "@type": "x", routeConfig } }] }],
});
const at = "filterChains[0].filters[0].typedConfig.routeConfig.virtualHosts[0].routes[1].route";

test("a listener's own routes may only name clusters that are known", () => {
  assert.equal(unknownInListener(listener(table({ cluster: "known" })), known), undefined);
  assert.deepEqual(unknownInListener(listener(table({ cluster: "no" })), known), { at: `${at}.cluster`, name: "no" });
});

test("weighted and mirror clusters are looked at as well", () => {
  const weighted = table({ weightedClusters: { clusters: [{ name: "known" }, { name: "w" }] } });
  assert.deepEqual(unknownInListener(listener(weighted), known), {
    at: `${at}.weightedClusters.clusters[1].name`,
    name: "w",
  });
  const mirrored = table({ cluster: "known", requestMirrorPolicies: [{ cluster: "m" }] });
  assert.deepEqual(unknownInListener(listener(mirrored), known), {
    at: `${at}.requestMirrorPolicies[0].cluster`,
    name: "m",
  });
});

test("a route that names its cluster by a header cannot be looked at", () => {
  assert.equal(unknownInListener(listener(table({ clusterHeader: "x-cluster" })), known), undefined);
});

test("a listener's routes are let be where they ask for it", () => {
  assert.equal(unknownInListener(listener(table({ cluster: "no" }, { validateClusters: false })), known), undefined);
});

test("routes that come by themselves are looked at only where they ask for it", () => {
  assert.equal(unknownInRouteTable(table({ cluster: "no" }), known), undefined);
  assert.deepEqual(unknownInRouteTable(table({ cluster: "no" }, { validateClusters: true }), known), {
    at: "virtualHosts[0].routes[1].route.cluster",
    name: "no",
  });
});
