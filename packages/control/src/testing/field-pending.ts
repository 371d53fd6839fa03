/** Fields of configuration that the coverage test would not find an effect of in resources. */

/** By kind: fields of which reading refuses every value, as Istio does. */
export const refusedFields: ReadonlyMap<string, readonly string[]> = new Map([
  ["VirtualService", ["http[].fault.delay.exponentialDelay", "http[].fault.abort.http2Error"]],
  ["WorkloadGroup", ["template.address"]],
]);

const groupTest = "packages/cli/src/workload/workload-group.test.ts";
const probeTest = "packages/cli/src/workload/probe.test.ts";
const secretTest = "packages/control/src/generate/gateway.test.ts";
const startTest = "packages/control/src/model/proxy-start.test.ts";
const namespaceTest = "packages/control/src/registries/kubernetes/cluster-objects.test.ts";

/** By kind: fields that act where programs and sidecars are started, with the test that shows it. */
export const actsElsewhere: ReadonlyMap<string, ReadonlyMap<string, string>> = new Map([
  [
    "WorkloadGroup",
    new Map([
      ["metadata.labels", groupTest],
      ["template.labels", groupTest],
      ["template.locality", groupTest],
      ["template.weight", groupTest],
      ["template.serviceAccount", groupTest],
      ["template.ports", groupTest],
      ["probe.initialDelaySeconds", probeTest],
      ["probe.timeoutSeconds", probeTest],
      ["probe.periodSeconds", probeTest],
      ["probe.successThreshold", probeTest],
      ["probe.failureThreshold", probeTest],
      ["probe.httpGet", probeTest],
      ["probe.tcpSocket", probeTest],
      ["probe.exec", probeTest],
      ["probe.grpc", probeTest],
    ]),
  ],
  [
    "ProxyConfig",
    new Map([
      ["selector", startTest],
      ["concurrency", startTest],
      ["environmentVariables", startTest],
    ]),
  ],
  [
    "Secret",
    new Map([
      ["data", secretTest],
      ["stringData", secretTest],
    ]),
  ],
  [
    "MeshConfig",
    new Map([
      ["defaultConfig.concurrency", startTest],
      ["discoverySelectors", namespaceTest],
    ]),
  ],
]);
