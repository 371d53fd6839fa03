import assert from "node:assert/strict";
import { test } from "node:test";
import { mergeExtension, mergeFragment, readFragment } from "./merge-json.ts";

const hcm = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";

test("a fragment may have the names of the .proto files, and comes out canonical", () => {
  const { json, unknown } = readFragment("cluster", { connect_timeout: "1.5s", lb_policy: "RANDOM" });
  assert.deepEqual(json, { connectTimeout: "1.500s", lbPolicy: "RANDOM" });
  assert.deepEqual(unknown, []);
});

test("what does not fit its message is refused by name", () => {
  assert.throws(() => readFragment("cluster", { conect_timeout: "1s" }), /conect_timeout/);
  assert.throws(() => readFragment("route", { match: { prefix: 7 } }), /prefix/);
  assert.throws(
    () => readFragment("httpFilter", { typed_config: { "@type": hcm, no_such_field: 1 } }),
    /no_such_field/,
  );
  let deep: Record<string, unknown> = {};
  for (let i = 0; i < 100; i++) deep = { metadata: deep };
  assert.throws(() => readFragment("route", deep), /nested deeper/);
});

test("an extension nobody here knows is carried for Envoy to read", () => {
  const { json, unknown } = readFragment("httpFilter", {
    name: "x",
    typed_config: { "@type": "type.googleapis.com/acme.filter.v1.Config", some_field: 1 },
  });
  assert.deepEqual(unknown, ["acme.filter.v1.Config"]);
  assert.deepEqual(json.typedConfig, {
    "@type": "type.googleapis.com/xds.type.v3.TypedStruct",
    typeUrl: "type.googleapis.com/acme.filter.v1.Config",
    value: { some_field: 1 },
  });
});

test("messages merge, lists append or are replaced, maps take entries, one of several fields takes the others' place", () => {
  const base = {
    name: "a",
    type: "EDS",
    loadAssignment: { clusterName: "a" },
    circuitBreakers: { thresholds: [{ maxRequests: 1 }] },
    metadata: { filterMetadata: { one: { a: 1, b: 2 }, two: {} } },
    commonLbConfig: { healthyPanicThreshold: { value: 0 }, localityWeightedLbConfig: {} },
  };
  const patch = {
    clusterType: { name: "x" },
    circuitBreakers: { thresholds: [{ maxRequests: 2 }] },
    metadata: { filterMetadata: { one: { a: 3 } } },
    commonLbConfig: { zoneAwareLbConfig: {} },
  };
  const merged = mergeFragment("cluster", base, patch);
  assert.deepEqual(merged, {
    name: "a",
    clusterType: { name: "x" },
    loadAssignment: { clusterName: "a" },
    circuitBreakers: { thresholds: [{ maxRequests: 1 }, { maxRequests: 2 }] },
    metadata: { filterMetadata: { one: { a: 3 }, two: {} } },
    commonLbConfig: { healthyPanicThreshold: { value: 0 }, zoneAwareLbConfig: {} },
  });
  const replaced = mergeFragment("cluster", base, patch, { replaceLists: true });
  assert.deepEqual(replaced.circuitBreakers, { thresholds: [{ maxRequests: 2 }] });
  assert.equal(base.type, "EDS", "the base stays as it was");
});

test("extensions merge only into their own type", () => {
  const base = { "@type": hcm, statPrefix: "a", httpFilters: [{ name: "router" }], idleTimeout: "1s" };
  assert.deepEqual(mergeExtension(base, { "@type": hcm, statPrefix: "b", httpFilters: [{ name: "x" }] }), {
    "@type": hcm,
    statPrefix: "b",
    httpFilters: [{ name: "router" }, { name: "x" }],
    idleTimeout: "1s",
  });
  assert.equal(mergeExtension(base, { "@type": "type.googleapis.com/google.protobuf.Struct" }), undefined);
});
