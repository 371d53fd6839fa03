import assert from "node:assert/strict";
import { test } from "node:test";
import { matchesProxy, proxyName } from "./proxies.ts";

const proxy = { id: "sidecar~127.0.0.1~reviews-v1.shop~shop.svc.cluster.local" };

test("a proxy is named by its workload and namespace", () => {
  assert.equal(proxyName(proxy), "reviews-v1.shop");
  assert.equal(proxyName({ id: "grpc-client" }), "grpc-client");
});

test("a proxy is found by workload, by workload and namespace, and by id", () => {
  for (const name of ["reviews-v1", "reviews-v1.shop", proxy.id]) assert.ok(matchesProxy(proxy, name), name);
  for (const name of ["reviews", "reviews-v1.other", "shop", ""]) assert.ok(!matchesProxy(proxy, name), name);
});
