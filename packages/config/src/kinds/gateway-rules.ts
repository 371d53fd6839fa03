/** Rules of Gateway that its schema cannot say. */
import { isIp } from "../schema/formats.ts";
import type { FieldPath } from "../schema/problem.ts";
import type { GatewayServer, GatewaySpec, ServerTlsSettings } from "./gateway.ts";
import type { RuleTools } from "./kind.ts";
import { checkUnique, isProtocol, type Reporter, reporter } from "./rules.ts";

export const validateGateway = (spec: GatewaySpec, tools: RuleTools): void => {
  const report = reporter(tools);
  const servers = spec.servers ?? [];
  if (servers.length === 0) report.missing([], "a Gateway needs at least one entry under servers");
  for (const [index, server] of servers.entries()) checkServer(server, ["servers", index], report);
  checkUnique(
    servers.map(({ port }) => port.name),
    (index, name) =>
      report.bad(["servers", index, "port", "name"], `port name "${name}" is used twice: names must differ`),
  );
};

const checkServer = (server: GatewayServer, path: FieldPath, report: Reporter): void => {
  const { port, tls, bind, hosts } = server;
  const protocol = port.protocol.toUpperCase();
  if (!isProtocol(protocol)) {
    const accepted = "HTTP, HTTPS, GRPC, GRPC-WEB, HTTP2, MONGO, TCP, TLS";
    report.bad([...path, "port", "protocol"], `protocol "${port.protocol}" is not known (accepted: ${accepted})`);
  }
  const secure = protocol === "HTTPS" || protocol === "TLS";
  if (secure && !tls) report.missing(path, `a server with protocol ${protocol} needs tls`);
  if (!secure && tls && !isRedirectOnly(tls)) {
    const message = `a server with protocol ${protocol} takes only tls.httpsRedirect: use HTTPS or TLS for the rest`;
    report.bad([...path, "tls"], message);
  }
  if (tls) {
    if (secure) checkTls(tls, [...path, "tls"], report);
    if (secure && tls.httpsRedirect) {
      report.bad([...path, "tls", "httpsRedirect"], "httpsRedirect belongs to the plain HTTP server: move it there");
    }
  }
  checkUnique(hosts, (index, host) =>
    report.bad([...path, "hosts", index], `host "${host}" is named twice: remove one`),
  );
  if (bind && !isIp(bind) && !bind.startsWith("unix://")) {
    report.bad([...path, "bind"], `bind is "${bind}"; it must be an IP address or a unix:// path`);
  }
  if (server.defaultEndpoint !== undefined) {
    report.warn([...path, "defaultEndpoint"], "defaultEndpoint does nothing, as in Istio: attach a VirtualService");
  }
};

const isRedirectOnly = (tls: ServerTlsSettings): boolean =>
  Object.keys(tls).every((name) => name === "httpsRedirect" || name === "mode");

const needsCertificate = new Set(["SIMPLE", "MUTUAL", "OPTIONAL_MUTUAL"]);

const checkTls = (tls: ServerTlsSettings, path: FieldPath, { bad, both, missing }: Reporter): void => {
  const { mode = "PASSTHROUGH", serverCertificate, privateKey, caCertificates } = tls;
  const secret = tls.credentialName ?? tls.credentialNames?.[0];
  const files = tls.tlsCertificates ?? (serverCertificate || privateKey ? [tls] : []);
  if (needsCertificate.has(mode) && !secret) {
    if (files.length === 0) missing(path, `tls.mode ${mode} needs credentialName, or serverCertificate and privateKey`);
    for (const file of files) {
      if (!file.serverCertificate) missing(path, `tls.mode ${mode} needs serverCertificate beside privateKey`);
      if (!file.privateKey) missing(path, `tls.mode ${mode} needs privateKey beside serverCertificate`);
    }
    const authorities = caCertificates || tls.caCertCredentialName || files.some((file) => file.caCertificates);
    if (mode !== "SIMPLE" && !authorities) missing(path, `tls.mode ${mode} needs caCertificates (or credentialName)`);
  }
  if (!needsCertificate.has(mode) && (secret || files.length > 0)) {
    const own = mode === "ISTIO_MUTUAL" ? "uses the mesh's own certificates" : "does not end TLS";
    both(path, `tls.mode ${mode} ${own}: remove the certificates, or write mode: SIMPLE`);
  }
  if (tls.caCrl && secret) both([...path, "caCrl"], "caCrl goes with certificate files, not with credentialName");
  const order = ["TLS_AUTO", "TLSV1_0", "TLSV1_1", "TLSV1_2", "TLSV1_3"];
  const { minProtocolVersion: min = "TLS_AUTO", maxProtocolVersion: max = "TLS_AUTO" } = tls;
  if (min !== "TLS_AUTO" && max !== "TLS_AUTO" && order.indexOf(min) > order.indexOf(max)) {
    bad([...path, "minProtocolVersion"], `minProtocolVersion ${min} is above maxProtocolVersion ${max}`);
  }
};
