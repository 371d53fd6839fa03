/** Rules of DestinationRule that its schema cannot say. */
import type { FieldPath } from "../schema/problem.ts";
import type {
  ClientTlsSettings,
  ConnectionPoolSettings,
  DestinationRuleSpec,
  LoadBalancerSettings,
  OutlierDetection,
  TrafficPolicy,
} from "./destination-rule.ts";
import type { RuleTools } from "./kind.ts";
import { checkExportTo, checkUnique, type Reporter, reporter } from "./rules.ts";

export const validateDestinationRule = (spec: DestinationRuleSpec, tools: RuleTools): void => {
  const report = reporter(tools);
  checkExportTo(spec.exportTo, report);
  if (spec.trafficPolicy) checkTrafficPolicy(spec.trafficPolicy, ["trafficPolicy"], report);
  const subsets = spec.subsets ?? [];
  for (const [index, { trafficPolicy }] of subsets.entries()) {
    if (trafficPolicy) checkTrafficPolicy(trafficPolicy, ["subsets", index, "trafficPolicy"], report);
  }
  checkUnique(
    subsets.map(({ name }) => name),
    (index, name) => report.warn(["subsets", index, "name"], `subset "${name}" stands twice; only the first counts`),
  );
};

const checkTrafficPolicy = (policy: TrafficPolicy, path: FieldPath, report: Reporter): void => {
  checkBlocks(policy, path, report);
  const ports = policy.portLevelSettings ?? [];
  for (const [index, settings] of ports.entries()) {
    const at = [...path, "portLevelSettings", index];
    if (settings.port?.number === undefined) report.missing(at, "portLevelSettings needs port.number");
    checkBlocks(settings, at, report);
  }
  checkUnique(
    ports.map(({ port }) => String(port?.number)),
    (index, port) => report.bad([...path, "portLevelSettings", index], `port ${port} has settings twice: merge them`),
  );
};

const checkBlocks = (policy: Omit<TrafficPolicy, "portLevelSettings">, path: FieldPath, report: Reporter): void => {
  if (policy.loadBalancer) checkLoadBalancer(policy.loadBalancer, [...path, "loadBalancer"], report);
  if (policy.connectionPool) checkPool(policy.connectionPool, [...path, "connectionPool"], report);
  if (policy.outlierDetection) checkOutliers(policy.outlierDetection, [...path, "outlierDetection"], report);
  if (policy.tls) checkTls(policy.tls, [...path, "tls"], report);
};

/** Also for the pools of Sidecar and MeshConfig. */
export const checkPool = ({ tcp, http }: ConnectionPoolSettings, path: FieldPath, { warn }: Reporter): void => {
  const zeros = [
    [["tcp", "maxConnections"], tcp?.maxConnections],
    [["http", "http1MaxPendingRequests"], http?.http1MaxPendingRequests],
    [["http", "http2MaxRequests"], http?.http2MaxRequests],
    [["http", "maxRetries"], http?.maxRetries],
    [["http", "maxConcurrentStreams"], http?.maxConcurrentStreams],
  ] as const;
  for (const [at, value] of zeros) {
    if (value !== 0) continue;
    warn([...path, ...at], `${at.join(".")} 0 is read as not given, so there is no limit: write 1 or more`);
  }
  if (http?.h2UpgradePolicy === "UPGRADE" && http.useClientProtocol) {
    warn([...path, "http", "useClientProtocol"], "useClientProtocol goes before h2UpgradePolicy: remove one of them");
  }
};

const checkLoadBalancer = (settings: LoadBalancerSettings, path: FieldPath, report: Reporter): void => {
  const { simple, consistentHash, warmup, warmupDurationSecs } = settings;
  if (simple === "LEAST_CONN") {
    report.deprecated([...path, "simple"], "loadBalancer.simple LEAST_CONN is deprecated: write LEAST_REQUEST");
  }
  if (consistentHash) checkHash(consistentHash, [...path, "consistentHash"], report);
  const warms = simple === undefined ? !consistentHash : simple !== "RANDOM" && simple !== "PASSTHROUGH";
  if ((warmup || warmupDurationSecs !== undefined) && !warms) {
    report.warn(path, "warm-up works only with ROUND_ROBIN and LEAST_REQUEST: change simple, or remove the warm-up");
  }
  checkLocality(settings, path, report);
};

const maglevSizeMax = 5_000_011;

const checkHash = (
  hash: NonNullable<LoadBalancerSettings["consistentHash"]>,
  path: FieldPath,
  { bad, missing }: Reporter,
): void => {
  const keys = ["httpHeaderName", "httpCookie", "useSourceIp", "httpQueryParameterName"] as const;
  if (!keys.some((key) => hash[key] !== undefined)) missing(path, `consistentHash needs one of ${keys.join(", ")}`);
  const size = hash.maglev?.tableSize;
  if (size !== undefined && (size >= maglevSizeMax || !isPrime(size))) {
    bad([...path, "maglev", "tableSize"], `maglev.tableSize is ${size}; it must be a prime below ${maglevSizeMax}`);
  }
};

const isPrime = (value: number): boolean => {
  for (let divisor = 2; divisor * divisor <= value; divisor++) if (value % divisor === 0) return false;
  return value > 1;
};

const checkLocality = ({ localityLbSetting }: LoadBalancerSettings, path: FieldPath, { bad }: Reporter): void => {
  const at = [...path, "localityLbSetting"];
  for (const [index, { from, to }] of (localityLbSetting?.distribute ?? []).entries()) {
    const shares = Object.entries(to);
    const sum = shares.reduce((total, [, share]) => total + share, 0);
    if (sum !== 100)
      bad([...at, "distribute", index, "to"], `the shares for "${from}" sum to ${sum}; they must sum to 100`);
    for (const [place, share] of [[from, 1] as const, ...shares]) {
      if (share === 0) bad([...at, "distribute", index, "to", place], `"${place}" has share 0: leave it out`);
      if (!isLocality(place))
        bad([...at, "distribute", index], `"${place}" is not REGION[/ZONE[/SUBZONE]] with * only last`);
    }
  }
  for (const [index, { from = "", to = "" }] of (localityLbSetting?.failover ?? []).entries()) {
    if (from === to) bad([...at, "failover", index], `failover goes from "${from}" to itself: name another region`);
    for (const region of [from, to]) {
      if (!/[/*]/.test(region)) continue;
      bad([...at, "failover", index], `failover is between regions; "${region}" must not have "/" or "*"`);
    }
  }
};

const isLocality = (text: string): boolean =>
  /^(\*|[^/*]+(\/[^/*]+){0,2}(\/\*)?)$/.test(text) && text.split("/").length <= 3;

const checkOutliers = (outliers: OutlierDetection, path: FieldPath, { bad }: Reporter): void => {
  const { splitExternalLocalOriginErrors, consecutiveLocalOriginFailures } = outliers;
  if (consecutiveLocalOriginFailures !== undefined && !splitExternalLocalOriginErrors) {
    const message = "outlierDetection.consecutiveLocalOriginFailures needs splitExternalLocalOriginErrors: true";
    bad([...path, "consecutiveLocalOriginFailures"], message);
  }
};

const checkTls = (tls: ClientTlsSettings, path: FieldPath, { bad, both, missing }: Reporter): void => {
  const { mode = "DISABLE", credentialName, clientCertificate, privateKey, caCertificates, caCrl } = tls;
  const files = { clientCertificate, privateKey, caCertificates, caCrl };
  const named = Object.entries(files).filter(([, file]) => file !== undefined && file !== "");
  if (mode === "ISTIO_MUTUAL" && named.length > 0) {
    both([...path, named[0]![0]], "tls.mode ISTIO_MUTUAL uses the mesh's own certificates: remove the files");
  } else if (credentialName && named.length > 0) {
    both([...path, named[0]![0]], `tls has credentialName and ${named[0]![0]}: keep one of them`);
  }
  if (mode === "MUTUAL" && !credentialName) {
    if (!clientCertificate) missing(path, "tls.mode MUTUAL needs clientCertificate (or credentialName)");
    if (!privateKey) missing(path, "tls.mode MUTUAL needs privateKey (or credentialName)");
  }
  if (mode === "ISTIO_MUTUAL" && credentialName) {
    bad([...path, "credentialName"], "tls.mode ISTIO_MUTUAL uses the mesh's own certificates: remove credentialName");
  }
};
