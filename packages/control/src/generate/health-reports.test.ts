import assert from "node:assert/strict";
import { test } from "node:test";
import { withHealthReports } from "./health-reports.ts";
import { createMemo } from "./memo.ts";
import { testMesh, testProxy } from "./test-mesh.ts";

const yaml = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: app}
spec: {hosts: [app.example], resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}], endpoints: [{address: 10.0.0.1}]}
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: checks}
spec:
  configPatches:
  - applyTo: CLUSTER
    match: {cluster: {service: app.example}}
    patch: {operation: MERGE, value: {health_checks: [{timeout: 1s, interval: 1s, tcp_health_check: {}}]}}
`;
const name = "outbound|80||app.example";

test("a cluster that a patch gives checks is told to report, and no other", () => {
  const mesh = testMesh({ yaml });
  const { cluster } = mesh.generator.generate(testProxy()).resources;
  assert.deepEqual(cluster.get(name)?.lrsServer, { self: {} });
  for (const [other, { lrsServer }] of cluster) if (other !== name) assert.equal(lrsServer, undefined, other);
  const envoy = mesh.generator.generate(testProxy({ WEFT_VERSION: undefined, WEFT_SDS: "sds" })).resources;
  assert.equal(envoy.cluster.get(name)?.lrsServer, undefined);
});

test("it stays the same object while it is the same, and a server that a patch names stays", () => {
  const memo = createMemo();
  const { generator } = testMesh({ yaml });
  const generated = generator.generate(testProxy({ WEFT_VERSION: undefined, WEFT_SDS: "sds" }));
  const once = withHealthReports(memo, "key", generated).resources.cluster.get(name);
  assert.deepEqual(once?.lrsServer, { self: {} });
  assert.equal(withHealthReports(memo, "key", generated).resources.cluster.get(name), once);
  const named = new Map([[name, { ...once, lrsServer: { ads: {} } }]]);
  const kept = { ...generated, resources: { ...generated.resources, cluster: named } };
  assert.equal(withHealthReports(memo, "other", kept), kept);
});
