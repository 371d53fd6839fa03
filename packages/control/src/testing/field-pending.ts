/** Fields of configuration that are not yet as the coverage test wants them. */

/** By kind: fields that neither have an effect nor are reported as without one. To be emptied. */
export const pendingFields: ReadonlyMap<string, readonly string[]> = new Map([
  [
    "LocalRateLimit",
    [
      "selector.matchLabels",
      "side",
      "match.hosts[]",
      "match.port",
      "match.path.exact",
      "match.path.prefix",
      "match.path.regex",
      "match.methods[]",
      "match.headers.*.exact",
      "match.headers.*.prefix",
      "match.headers.*.regex",
      "per",
      "key.header",
      "key.maxKeys",
      "status",
      "responseHeaders.*",
    ],
  ],
  ["AuthorizationPolicy", ["provider.name"]],
  [
    "WorkloadGroup",
    [
      "metadata.labels",
      "template.labels",
      "template.locality",
      "template.weight",
      "template.serviceAccount",
      "probe.initialDelaySeconds",
      "probe.timeoutSeconds",
      "probe.periodSeconds",
      "probe.successThreshold",
      "probe.failureThreshold",
      "probe.httpGet.path",
      "probe.httpGet.port",
      "probe.httpGet.host",
      "probe.httpGet.scheme",
      "probe.httpGet.httpHeaders[].name",
      "probe.httpGet.httpHeaders[].value",
      "probe.tcpSocket.host",
      "probe.tcpSocket.port",
      "probe.exec.command[]",
      "probe.grpc.port",
      "probe.grpc.service",
    ],
  ],
]);

/** By kind: fields of which reading refuses every value, as Istio does. */
export const refusedFields: ReadonlyMap<string, readonly string[]> = new Map([
  ["VirtualService", ["http[].fault.delay.exponentialDelay", "http[].fault.abort.http2Error"]],
  ["WorkloadGroup", ["template.address"]],
]);
