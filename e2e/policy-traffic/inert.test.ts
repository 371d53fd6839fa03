/** What lies beside Istio's objects in people's folders is taken by `weft apply`, and told to have no effect. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { startControlPlane, type TestControlPlane } from "@weft/testkit/control-plane";
import { type ProgramResult, runWeft } from "@weft/testkit/processes";

const stack = new AsyncDisposableStack();
let cp: TestControlPlane;
let folder: string;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "weft-inert-test-"));
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  cp = stack.use(await startControlPlane());
});
after(() => stack.disposeAsync());

const apply = (name: string, yaml: string): Promise<ProgramResult> => {
  const file = join(folder, name);
  writeFileSync(file, yaml);
  const env = { WEFT_STATE_DIR: join(folder, "none"), WEFT_CP: cp.http, WEFT_TOKEN_FILE: cp.adminTokenFile };
  return runWeft(["apply", "-f", file], { env });
};
const object = (apiVersion: string, kind: string, body: string): string =>
  `apiVersion: ${apiVersion}\nkind: ${kind}\nmetadata: {name: sample}\n${body}\n`;
const envoy = (type: string, fields: string): string =>
  `resources:\n- "@type": type.googleapis.com/envoy.config.${type}\n${fields}\n`;

/** All in one file each: what it is, its text, and what is told of it. */
const files: readonly (readonly [string, string, RegExp])[] = [
  [
    "workloads.yaml",
    [
      object(
        "apps/v1",
        "Deployment",
        "spec: {replicas: 1, selector: {matchLabels: {app: a}}, template: {metadata: {labels: {app: a}}, spec: {containers: []}}}",
      ),
      object("v1", "ConfigMap", "data:\n  values: |\n    global: {proxy: {image: a}}"),
      object("rbac.authorization.k8s.io/v1", "Role", 'rules: [{apiGroups: [""], resources: [services], verbs: [get]}]'),
    ].join("---\n"),
    /Deployment.*ConfigMap.*Role/s,
  ],
  [
    "watching.yaml",
    [
      object(
        "telemetry.istio.io/v1alpha1",
        "Telemetry",
        "spec:\n  metrics:\n  - overrides:\n    - tagOverrides:\n        destination_service:\n          value: \"node.metadata['SERVICE_NAME']\"\n    providers: [{name: prometheus}]",
      ),
      object(
        "monitoring.coreos.com/v1",
        "ServiceMonitor",
        "spec: {selector: {matchLabels: {app: a}}, endpoints: [{port: http, path: /metrics, interval: 30s}]}",
      ),
      object(
        "monitoring.coreos.com/v1",
        "PrometheusRule",
        "spec: {groups: [{name: g, rules: [{alert: A, expr: up == 0, for: 1m, labels: {severity: warning}}]}]}",
      ),
      object("audit.k8s.io/v1", "Policy", "rules: [{level: Metadata, resources: [{group: networking.istio.io}]}]"),
    ].join("---\n"),
    /Telemetry.*ServiceMonitor.*PrometheusRule.*Policy/s,
  ],
  ["listener.yaml", envoy("listener.v3.Listener", "  name: listener_0"), /Envoy resources have no effect/],
  ["cluster.yaml", envoy("cluster.v3.Cluster", "  name: a\n  type: EDS"), /Envoy resources have no effect/],
  ["resources.yaml", "resources:\n  requests: {cpu: 100m}\n  limits: {memory: 512Mi}\n", /part of a container/],
  [
    "pool.yaml",
    "connectionPool:\n  tcp: {maxConnections: 1000, connectTimeout: 10ms}\n  http: {http1MaxPendingRequests: 10000}\n",
    /part of DestinationRule\.spec\.trafficPolicy/,
  ],
];

for (const [name, yaml, told] of files) {
  test(`${name} is taken, and told to have no effect`, async () => {
    const { code, stdout, stderr } = await apply(name, yaml);
    const said = stdout + stderr;
    assert.equal(code, 0, said);
    assert.match(said, told);
    assert.match(said, /no effect|ignored|does not act|reads workloads|scrapes|not weft's to give|notes its own/);
    assert.doesNotMatch(said, /\berror\b/i);
  });
}
