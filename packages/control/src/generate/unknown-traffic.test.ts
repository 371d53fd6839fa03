/** Where traffic goes that no service explains: MeshConfig's outbound and inbound policies. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { dynamicDnsCluster, inboundCluster } from "./names.ts";
import { testMesh, testProxy } from "./test-mesh.ts";

const meshConfig = (spec: string): string => `
---
apiVersion: mesh.istio.io/v1alpha1
kind: MeshConfig
metadata: {name: mesh, namespace: istio-system}
spec: ${spec}
`;
const own = `
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: own}
spec:
  hosts: [own.example]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}]
  endpoints: [{address: 10.0.0.9}]
`;
const sidecarOf = (policy: string): string => `
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: own}
spec: {outboundTrafficPolicy: ${policy}}
`;
const generate = (yaml: string, mode = "NONE") =>
  testMesh({ yaml: own + yaml }).generator.generate(testProxy({ INTERCEPTION_MODE: mode })).resources;
const dynamic = meshConfig("{outboundTrafficPolicy: {mode: ALLOW_ANY_DYNAMIC_DNS}}");

test("ALLOW_ANY_DYNAMIC_DNS sends requests for unknown hosts where they are looked up, in either mode", () => {
  for (const mode of ["NONE", "REDIRECT"]) {
    const { cluster, route } = generate(dynamic, mode);
    assert.equal(cluster.get(dynamicDnsCluster)?.clusterType?.name, "envoy.clusters.dynamic_forward_proxy", mode);
    const hosts = [...route.values()].flatMap(({ virtualHosts }) => virtualHosts ?? []);
    const unknown = hosts.filter(({ name }) => name === "allow_any");
    assert.ok(unknown.length > 0);
    for (const { routes = [] } of unknown)
      assert.deepEqual(
        routes.map(({ route: to }) => to?.cluster),
        [dynamicDnsCluster],
        mode,
      );
  }
});

test("connections without a readable name go where they were dialled all the same", () => {
  const { listener } = generate(dynamic, "REDIRECT");
  const text = JSON.stringify([...listener.values()]);
  assert.ok(text.includes('"PassthroughCluster"'));
  assert.ok(!text.includes(dynamicDnsCluster));
});

test("other modes, and a Sidecar's own policy, look nothing up", () => {
  for (const yaml of [
    "",
    meshConfig("{outboundTrafficPolicy: {mode: REGISTRY_ONLY}}"),
    dynamic + sidecarOf("{mode: REGISTRY_ONLY}"),
    dynamic + sidecarOf("{mode: ALLOW_ANY}"),
  ]) {
    const resources = generate(yaml);
    assert.equal(resources.cluster.has(dynamicDnsCluster), false);
    assert.ok(!JSON.stringify([...resources.route]).includes(dynamicDnsCluster));
  }
});

test("an application is reached on localhost unless the mesh asks for the address that was dialled", () => {
  const clusterOf = (yaml: string, mode = "REDIRECT") => generate(yaml, mode).cluster.get(inboundCluster(8080));
  const address = (yaml: string) => {
    const [group] = clusterOf(yaml)?.loadAssignment?.endpoints ?? [];
    return group?.lbEndpoints?.[0]?.endpoint?.address?.socketAddress?.address;
  };
  assert.equal(address(""), "127.0.0.1");
  assert.equal(address(meshConfig("{inboundTrafficPolicy: {mode: LOCALHOST}}")), "127.0.0.1");
  const dialled = clusterOf(meshConfig("{inboundTrafficPolicy: {mode: PASSTHROUGH}}"));
  assert.deepEqual([dialled?.type, dialled?.lbPolicy], ["ORIGINAL_DST", "CLUSTER_PROVIDED"]);
  assert.equal(dialled?.loadAssignment, undefined);
  assert.equal(dialled?.upstreamBindConfig?.sourceAddress?.address, "127.0.0.6");
});
