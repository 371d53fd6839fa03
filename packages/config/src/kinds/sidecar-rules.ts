/** Rules of Sidecar that its schema cannot say. */
import { isIp } from "../schema/formats.ts";
import type { FieldPath } from "../schema/problem.ts";
import { checkPool } from "./destination-rule-rules.ts";
import type { RuleTools } from "./kind.ts";
import { checkUnique, isProtocol, type Reporter, reporter } from "./rules.ts";
import type { SidecarEgress, SidecarIngress, SidecarPort, SidecarSpec } from "./sidecar.ts";

export const validateSidecar = (spec: SidecarSpec, tools: RuleTools): void => {
  const report = reporter(tools);
  const { ingress = [], egress = [], workloadSelector, outboundTrafficPolicy } = spec;
  if (ingress.length + egress.length === 0 && !outboundTrafficPolicy && !spec.inboundConnectionPool) {
    const message = "a Sidecar without egress, ingress, inboundConnectionPool and outboundTrafficPolicy says nothing";
    report.missing([], `${message}: add egress with the hosts the workloads call`);
  }
  if (ingress.length > 0 && Object.keys(workloadSelector?.labels ?? {}).length === 0) {
    const message = "ingress belongs to chosen workloads: add workloadSelector.labels";
    report.missing(["ingress"], message);
  }
  for (const [index, listener] of ingress.entries()) checkIngress(listener, ["ingress", index], report);
  checkUnique(
    ingress.map(({ port }) => String(port.number)),
    (index, port) => report.bad(["ingress", index, "port"], `ingress has port ${port} twice: remove one`),
  );
  checkEgress(egress, report);
  if (outboundTrafficPolicy?.egressProxy && outboundTrafficPolicy.mode === "REGISTRY_ONLY") {
    const message = "egressProxy is only for mode ALLOW_ANY: REGISTRY_ONLY lets no such traffic out";
    report.both(["outboundTrafficPolicy", "egressProxy"], message);
  }
  if (spec.inboundConnectionPool) checkPool(spec.inboundConnectionPool, ["inboundConnectionPool"], report);
};

const checkPort = (port: SidecarPort, path: FieldPath, { bad, missing }: Reporter): void => {
  if (!port.number) missing(path, "a port needs its number");
  const { protocol = "" } = port;
  if (protocol === "" || isProtocol(protocol)) return;
  const accepted = "HTTP, HTTPS, GRPC, GRPC-WEB, HTTP2, MONGO, TCP, TLS";
  bad([...path, "protocol"], `protocol "${protocol}" is not known (accepted: ${accepted})`);
};

const checkIngress = (listener: SidecarIngress, path: FieldPath, report: Reporter): void => {
  const { port, bind, captureMode, defaultEndpoint, tls, connectionPool } = listener;
  checkPort(port, [...path, "port"], report);
  if (bind && !isIp(bind)) report.bad([...path, "bind"], `ingress.bind is "${bind}"; it must be an IP address`);
  if (defaultEndpoint && !isLocalEndpoint(defaultEndpoint)) {
    const accepted = "127.0.0.1:PORT, [::1]:PORT, 0.0.0.0:PORT, [::]:PORT or unix:///PATH";
    report.bad([...path, "defaultEndpoint"], `defaultEndpoint is "${defaultEndpoint}"; it must be ${accepted}`);
  }
  if (bind && captureMode === "IPTABLES") {
    report.warn([...path, "bind"], "captureMode IPTABLES takes every address of the workload: bind is not used");
  }
  if (connectionPool) checkPool(connectionPool, [...path, "connectionPool"], report);
  if (tls) checkServerTls(listener, [...path, "tls"], report);
};

const tlsProtocols = new Set(["HTTPS", "TLS"]);

const checkServerTls = ({ tls, port }: SidecarIngress, path: FieldPath, { bad, missing }: Reporter): void => {
  const { mode = "PASSTHROUGH", serverCertificate, privateKey, caCertificates } = tls ?? {};
  if (!tlsProtocols.has((port.protocol ?? "").toUpperCase())) {
    bad(path, `ingress.tls needs a port with protocol HTTPS or TLS, not "${port.protocol ?? ""}"`);
  }
  if (mode !== "SIMPLE" && mode !== "MUTUAL") {
    bad([...path, "mode"], `ingress.tls.mode is ${mode}; it must be SIMPLE or MUTUAL`);
    return;
  }
  if (!tls?.credentialName && (!serverCertificate || !privateKey)) {
    missing(path, `ingress.tls.mode ${mode} needs serverCertificate and privateKey`);
  }
  if (mode === "MUTUAL" && !tls?.credentialName && !caCertificates) {
    missing(path, "ingress.tls.mode MUTUAL needs caCertificates");
  }
};

const isLocalEndpoint = (text: string): boolean => {
  if (text.startsWith("unix://")) return /^unix:\/\/[/@]./.test(text);
  const port = /^(?:127\.0\.0\.1|\[::1\]|0\.0\.0\.0|\[::\]):(\d{1,5})$/.exec(text)?.[1];
  return port !== undefined && Number(port) >= 1 && Number(port) <= 65_535;
};

const checkEgress = (egress: readonly SidecarEgress[], report: Reporter): void => {
  const places = new Set<string>();
  for (const [index, listener] of egress.entries()) {
    const { port, bind, captureMode, hosts } = listener;
    const path = ["egress", index];
    if (port && !bind?.startsWith("unix://")) checkPort(port, [...path, "port"], report);
    if (!port && index < egress.length - 1) {
      const message = "an egress listener without a port takes all others' place: only the last one may be without";
      report.missing(path, message);
    }
    if (!port && bind) report.missing(path, "egress.bind needs a port beside it");
    if (bind?.startsWith("unix://")) checkSocket(listener, path, report);
    else if (bind && !isIp(bind)) {
      report.bad([...path, "bind"], `egress.bind is "${bind}"; it must be an IP address or a unix:// path`);
    }
    if (bind && captureMode === "IPTABLES") {
      report.bad([...path, "bind"], "captureMode IPTABLES takes every address: remove bind, or write captureMode NONE");
    }
    const place = `${bind ?? ""}:${port?.number ?? ""}`;
    if (port && places.has(place)) report.bad(path, `egress has ${bind ?? "port"} ${port.number} twice: merge the two`);
    places.add(place);
    checkUnique(hosts, (at, host) => report.bad([...path, "hosts", at], `host "${host}" is named twice: remove one`));
    if (hosts.every((host) => host.startsWith("~/")) && !hosts.includes("~/*")) {
      report.warn([...path, "hosts"], 'hosts only takes away: add what is left, such as "*/*"');
    }
  }
};

const checkSocket = ({ port, bind }: SidecarEgress, path: FieldPath, { bad }: Reporter): void => {
  if (!/^unix:\/\/[/@]./.test(bind ?? "")) bad([...path, "bind"], `"${bind}" needs an absolute path`);
  if (port?.number) bad([...path, "port", "number"], "a unix:// listener has no port number: write 0 or leave it out");
};
