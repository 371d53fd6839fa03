import assert from "node:assert/strict";
import { test } from "node:test";
import { analyze } from "./analyze/analyze.ts";
import { parseConfig } from "./parse-config.ts";

const object = (apiVersion: string, kind: string, body: string) =>
  `apiVersion: ${apiVersion}\nkind: ${kind}\nmetadata: {name: sample}\n${body}\n`;
const envoy = (type: string, fields: string) =>
  `# made by hand\nresources:\n- "@type": type.googleapis.com/envoy.${type}\n${fields}`;

/** What lies beside Istio's objects in people's folders: text, what is told of it, and how many objects are kept. */
const files: readonly (readonly [string, string, string, number])[] = [
  ["a Deployment", object("apps/v1", "Deployment", "spec: {replicas: 2}"), "WF1011 info", 1],
  ["a ConfigMap of values", object("v1", "ConfigMap", "data: {values: 'global: {}'}"), "WF1011 info", 1],
  ["a ServiceMonitor", object("monitoring.coreos.com/v1", "ServiceMonitor", "spec: {endpoints: []}"), "WF1011 info", 1],
  ["a PrometheusRule", object("monitoring.coreos.com/v1", "PrometheusRule", "spec: {groups: []}"), "WF1011 info", 1],
  ["a Role", object("rbac.authorization.k8s.io/v1", "Role", "rules: [{verbs: [get]}]"), "WF1011 info", 1],
  ["an audit Policy", object("audit.k8s.io/v1", "Policy", "rules: [{level: Metadata}]"), "WF1011 info", 1],
  ["a kind of another system", object("argoproj.io/v1alpha1", "Rollout", "spec: {}"), "WF1011 info", 0],
  ["an Envoy listener", envoy("config.listener.v3.Listener", "  name: l\n"), "WF1013 info", 0],
  ["an Envoy cluster", envoy("config.cluster.v3.Cluster", "  name: outbound|80||a\n  type: EDS\n"), "WF1013 info", 0],
  ["Envoy endpoints", envoy("config.endpoint.v3.ClusterLoadAssignment", "  cluster_name: a\n"), "WF1013 info", 0],
  ["Envoy routes", envoy("config.route.v3.RouteConfiguration", "  name: 80\n"), "WF1013 info", 0],
  ["a container's resources", "resources: {requests: {cpu: 1}, limits: {memory: 1Gi}}\n", "WF1010 warning", 0],
  ["a part of a rule", "connectionPool: {tcp: {maxConnections: 1}}\n", "WF1010 warning", 0],
  [
    "a Telemetry",
    object("telemetry.istio.io/v1alpha1", "Telemetry", "spec: {metrics: [{providers: [{name: p}]}]}"),
    "WF1011 info",
    1,
  ],
];

for (const [what, text, told, kept] of files) {
  test(`${what} is recognised, told of and no error`, () => {
    const { objects, findings } = parseConfig(text, "folder/file.yaml");
    assert.deepEqual(
      findings.map(({ code, level }) => `${code} ${level}`),
      [told],
    );
    assert.ok((findings[0]?.line ?? 0) > 0);
    assert.equal(objects.length, kept);
    assert.deepEqual(analyze(objects), []);
  });
}

test("a part of a file says whose part it is", () => {
  const message = (text: string) => parseConfig(text, "f").findings[0]?.message ?? "";
  assert.match(message("resources: {limits: {cpu: 1}}\n"), /a part of a container of a Kubernetes workload/);
  assert.match(message("outlierDetection: {interval: 1s}\n"), /a part of DestinationRule\.spec\.trafficPolicy/);
  assert.match(message("configPatches: []\npriority: 1\n"), /a part of EnvoyFilter\.spec/);
});
