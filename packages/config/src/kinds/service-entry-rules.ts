/** Rules of ServiceEntry and WorkloadEntry that their schemas cannot say. */
import { formatProblem, isIp } from "../schema/formats.ts";
import type { FieldPath } from "../schema/problem.ts";
import type { RuleTools } from "./kind.ts";
import { checkExportTo, checkUnique, isProtocol, type Reporter, reporter } from "./rules.ts";
import type { ServiceEntryEndpoint, ServiceEntrySpec } from "./service-entry.ts";
import type { WorkloadEntrySpec } from "./workload-entry.ts";

export const validateServiceEntry = (spec: ServiceEntrySpec, tools: RuleTools): void => {
  const report = reporter(tools);
  checkExportTo(spec.exportTo, report);
  checkHosts(spec, report);
  checkPorts(spec, report);
  checkEndpoints(spec, report);
};

const checkHosts = ({ hosts, resolution = "NONE", endpoints = [] }: ServiceEntrySpec, report: Reporter): void => {
  checkUnique(hosts, (index, host) => report.bad(["hosts", index], `host "${host}" is named twice: remove one`));
  for (const [index, host] of hosts.entries()) {
    const wildcard = host.includes("*");
    const dns = resolution === "DNS" || resolution === "DNS_ROUND_ROBIN";
    if (host === "*") report.bad(["hosts", index], 'host "*" is not allowed: name a domain, such as *.example.com');
    else if (dns && endpoints.length === 0 && (wildcard || isIp(host))) {
      const cure = "give endpoints, or use resolution NONE or DYNAMIC_DNS";
      const message = `host "${host}" cannot be looked up in DNS: ${cure}`;
      report.bad(["hosts", index], message);
    } else if (resolution === "DYNAMIC_DNS" && !wildcard) {
      report.bad(["hosts", index], `host "${host}" is no wildcard, which DYNAMIC_DNS is for: use resolution DNS`);
    }
  }
};

const checkPorts = ({ ports = [], resolution = "NONE" }: ServiceEntrySpec, report: Reporter): void => {
  if (ports.length === 0) report.warn([], "a ServiceEntry without ports serves nothing: add ports");
  checkUnique(
    ports.map(({ name }) => name),
    (index, name) => report.bad(["ports", index, "name"], `port name "${name}" is used twice: names must differ`),
  );
  checkUnique(
    ports.map(({ number }) => String(number)),
    (index, port) => report.bad(["ports", index, "number"], `port ${port} is listed twice: remove one`),
  );
  for (const [index, { protocol = "", targetPort }] of ports.entries()) {
    if (protocol !== "" && !isProtocol(protocol)) {
      const accepted = "HTTP, HTTPS, GRPC, GRPC-WEB, HTTP2, MONGO, TCP, TLS";
      report.bad(["ports", index, "protocol"], `protocol "${protocol}" is not known (accepted: ${accepted})`);
    }
    if (targetPort !== undefined && resolution === "NONE") {
      const message = "targetPort has no meaning with resolution NONE, which keeps the dialled port: remove it";
      report.bad(["ports", index, "targetPort"], message);
    }
  }
};

const checkEndpoints = (spec: ServiceEntrySpec, report: Reporter): void => {
  const { resolution = "NONE", endpoints = [], ports = [] } = spec;
  if (endpoints.length > 0 && (resolution === "NONE" || resolution === "DYNAMIC_DNS")) {
    report.bad(["endpoints"], `resolution ${resolution} takes no endpoints: use STATIC or DNS, or remove them`);
  }
  if (resolution === "DNS_ROUND_ROBIN" && endpoints.length > 1) {
    report.bad(["endpoints"], "resolution DNS_ROUND_ROBIN takes at most one endpoint: use DNS for several");
  }
  const names = new Set(ports.map(({ name }) => name));
  for (const [index, endpoint] of endpoints.entries()) {
    const path = ["endpoints", index];
    checkAddress(endpoint, path, report);
    if (resolution === "STATIC" && isDnsAddress(endpoint.address)) {
      const message = `resolution STATIC needs IP addresses, not "${endpoint.address}": use resolution DNS`;
      report.bad([...path, "address"], message);
    }
    if (endpoint.address?.startsWith("unix://") && resolution !== "STATIC") {
      report.bad([...path, "address"], "a unix:// address needs resolution STATIC");
    }
    for (const name of Object.keys(endpoint.ports ?? {})) {
      if (names.has(name)) continue;
      const known = [...names].join(", ");
      report.bad([...path, "ports", name], `port "${name}" is not one of the ServiceEntry's ports (${known})`);
    }
  }
};

export const validateWorkloadEntry = (spec: WorkloadEntrySpec, tools: RuleTools): void =>
  checkAddress(spec, [], reporter(tools));

const checkAddress = (endpoint: ServiceEntryEndpoint, path: FieldPath, { bad, missing }: Reporter): void => {
  const { address, network, ports = {} } = endpoint;
  if (address === undefined || address === "") {
    if (!network) missing(path, "an endpoint needs an address (or a network, to be reached by its gateway)");
    return;
  }
  if (address.startsWith("unix://")) {
    const file = address.slice("unix://".length);
    if (!file.startsWith("/") && !file.startsWith("@"))
      bad([...path, "address"], `"${address}" needs an absolute path`);
    if (Object.keys(ports).length > 0) bad([...path, "ports"], "a unix:// address has no ports: remove them");
  } else if (!isIp(address)) {
    const problem = formatProblem("serviceHost", address);
    if (problem !== undefined) bad([...path, "address"], `"${address}" is neither an IP address nor a DNS name`);
  }
};

const isDnsAddress = (address: string | undefined): boolean =>
  address !== undefined && address !== "" && !address.startsWith("unix://") && !isIp(address);
