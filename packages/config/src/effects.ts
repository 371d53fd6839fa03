/**
 * Fields that are taken and checked but have no effect in weft so far. `analyze` reports each use, so that
 * nothing is dropped in silence. A field leaves this list with the change that gives it an effect.
 */
export interface FieldWithoutEffect {
  /** From the spec: `http[].delegate`; `[]` is any index and `*` any key. */
  readonly path: string;
  /** Only these values are without effect; absent means all. */
  readonly values?: readonly (string | number | boolean)[];
  /** What happens instead, or what to write. */
  readonly note: string;
}

const policyPlaces = [
  "trafficPolicy",
  "trafficPolicy.portLevelSettings[]",
  "subsets[].trafficPolicy",
  "subsets[].trafficPolicy.portLevelSettings[]",
];

const inPolicies = (path: string, note: string): FieldWithoutEffect[] =>
  policyPlaces.map((place) => ({ path: `${place}.${path}`, note }));

/** By kind. Kinds without any effect are not here: they are reported as a whole when they are read. */
export const fieldsWithoutEffect: ReadonlyMap<string, readonly FieldWithoutEffect[]> = new Map([
  [
    "VirtualService",
    [
      { path: "http[].delegate", note: "the rule is left out: write the delegate's routes here" },
      { path: "http[].match[].statPrefix", note: "no statistics are kept for the route" },
      { path: "tcp[].match[].sourceSubnet", note: "as in Istio; use an AuthorizationPolicy" },
    ],
  ],
  [
    "DestinationRule",
    [
      { path: "trafficPolicy.tunnel", note: "connections go to the service directly" },
      { path: "subsets[].trafficPolicy.tunnel", note: "connections go to the service directly" },
      { path: "trafficPolicy.proxyProtocol", note: "no PROXY header is sent" },
      { path: "subsets[].trafficPolicy.proxyProtocol", note: "no PROXY header is sent" },
      { path: "trafficPolicy.retryBudget.budgetInterval", note: "the budget counts requests in flight" },
      { path: "subsets[].trafficPolicy.retryBudget.budgetInterval", note: "the budget counts requests in flight" },
      ...inPolicies("loadBalancer.zoneAwareLbSetting", "zones are not considered: use localityLbSetting"),
      ...inPolicies("outlierDetection.consecutiveErrors", "as in Istio: use consecutive5xxErrors"),
      ...inPolicies("outlierDetection.outlierDetectionHttpErrorCodes", "as in Istio: 5xx answers count"),
      ...inPolicies("tls.credentialName", "name files with clientCertificate, privateKey and caCertificates"),
    ],
  ],
  ["ServiceEntry", [{ path: "resolution", values: ["DYNAMIC_DNS"], note: "use NONE, or DNS for each host" }]],
  ["WorkloadEntry", [{ path: "network", note: "endpoints are dialled directly, whatever their network" }]],
  [
    "Gateway",
    [
      { path: "servers[].defaultEndpoint", note: "as in Istio: attach a VirtualService" },
      { path: "servers[].port.targetPort", note: "the gateway listens at port.number" },
    ],
  ],
  ["PeerAuthentication", []],
  [
    "AuthorizationPolicy",
    [
      { path: "targetRef", note: "the policy applies to no workload: use selector" },
      { path: "targetRefs", note: "the policy applies to no workload: use selector" },
      { path: "action", values: ["CUSTOM"], note: "no provider is asked: what the policy selects is denied" },
      { path: "rules[].from[].source.requestPrincipals", note: "tokens are not read yet, so the rule does not match" },
      { path: "rules[].from[].source.notRequestPrincipals", note: "tokens are not read yet" },
    ],
  ],
  ["Service", [{ path: "trafficDistribution", note: "use a DestinationRule with localityLbSetting" }]],
  ["Endpoints", []],
  ["EndpointSlice", []],
]);
