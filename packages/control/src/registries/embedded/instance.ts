/** An instance as an application registers it: its shape, and the reading of untrusted JSON into it. */
import { WeftError } from "@weft/core/error";
import { parseIPv4, parseIPv6 } from "@weft/core/ip";
import { type Protocol, parseProtocol, protocolOfPort } from "../../model/protocol.ts";
import { nowhereOf } from "../outside/instance-problem.ts";
import type { RegistryLimits } from "./limits.ts";

export interface InstanceRef {
  readonly namespace: string;
  readonly service: string;
  readonly id: string;
}

export interface InstancePort {
  readonly name: string;
  /** What the mesh dials. */
  readonly port: number;
  /** Where the application listens; the same unless a sidecar stands before it. */
  readonly appPort: number;
  readonly protocol: Protocol;
  /** What clients of the service call. */
  readonly servicePort: number;
}

export type InstanceHealth = "healthy" | "unhealthy" | "draining";

export interface Instance extends InstanceRef {
  readonly address: string;
  readonly ports: readonly InstancePort[];
  readonly labels: Readonly<Record<string, string>>;
  readonly metadata: Readonly<Record<string, string>>;
  readonly weight: number;
  readonly locality: string;
  readonly serviceAccount: string;
  readonly health: InstanceHealth;
  /** 0: stays until it is deleted. */
  readonly ttlSeconds: number;
  /** Wall clock, RFC 3339. */
  readonly registeredAt: string;
  readonly resourceVersion: number;
  /**
   * It was not renewed in time, as most of its service: until then (wall clock, RFC 3339) it is used where nothing else
   * is, unless it is renewed.
   */
  readonly heldUntil?: string;
}

/** What a registration says; versions and times are the registry's. */
export type InstanceSpec = Omit<Instance, "registeredAt" | "resourceVersion" | "ports" | "heldUntil"> & {
  readonly ports: readonly (Omit<InstancePort, "servicePort"> & { readonly servicePort: number | undefined })[];
};

const invalid = (field: string, problem: string): WeftError => new WeftError("WF8001", `${field} ${problem}`);
const tooMuch = (field: string, most: number): WeftError => new WeftError("WF8002", `${field} has more than ${most}`);

const dnsLabel = /^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/;
const idPattern = /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9])?$/;

/** Refuses names that cannot be part of a host name or a URL's path. */
export const checkRef = ({ namespace, service, id }: InstanceRef): void => {
  if (!dnsLabel.test(namespace)) throw invalid("namespace", `"${brief(namespace)}" is not a DNS label`);
  if (!dnsLabel.test(service)) throw invalid("service", `"${brief(service)}" is not a DNS label`);
  if (!idPattern.test(id)) throw invalid("id", `"${brief(id)}" is not 1 to 128 letters, digits, ".", "_" or "-"`);
};

const brief = (text: string): string => (text.length > 64 ? `${text.slice(0, 64)}…` : text);

const known = new Set([
  "namespace",
  "address",
  "port",
  "appPort",
  "portName",
  "protocol",
  "ports",
  "labels",
  "metadata",
  "weight",
  "locality",
  "serviceAccount",
  "health",
  "ttlSeconds",
  "servicePort",
  "service",
  "id",
]);

/** Reads a registration. Refuses unknown fields, wrong types and what exceeds the limits. */
export const parseInstance = (ref: InstanceRef, body: unknown, limits: RegistryLimits): InstanceSpec => {
  checkRef(ref);
  const fields = record(body, "body");
  for (const name of Object.keys(fields)) if (!known.has(name)) throw invalid(`field "${brief(name)}"`, "is not known");
  const ports = parsePorts(fields, limits);
  const health = text(fields, "health") ?? "healthy";
  if (health !== "healthy" && health !== "unhealthy" && health !== "draining") {
    throw invalid("health", `is "${brief(health)}", not healthy, unhealthy or draining`);
  }
  const serviceAccount = text(fields, "serviceAccount") ?? "";
  if (serviceAccount !== "" && !idPattern.test(serviceAccount)) throw invalid("serviceAccount", "is not a name");
  return {
    ...ref,
    address: parseIp(fields),
    ports,
    labels: parseTexts(fields, "labels", { entries: limits.labelsMax, length: limits.labelLengthMax }),
    metadata: parseMetadata(fields, limits),
    weight: integer(fields, "weight", { min: 0, max: limits.weightMax }) ?? 1,
    locality: parseLocality(fields),
    serviceAccount,
    health,
    ttlSeconds: integer(fields, "ttlSeconds", { min: 0, max: limits.ttlSecondsMax }) ?? 0,
  };
};

const record = (value: unknown, field: string): Readonly<Record<string, unknown>> => {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw invalid(field, "is not an object");
};

const text = (fields: Readonly<Record<string, unknown>>, name: string): string | undefined => {
  const value = fields[name];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "string") throw invalid(name, "is not text");
  if (value.length > 1024) throw invalid(name, "is longer than 1024 characters");
  return value;
};

const integer = (
  fields: Readonly<Record<string, unknown>>,
  name: string,
  { min, max }: { readonly min: number; readonly max: number },
): number | undefined => {
  const value = fields[name];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "number" || !Number.isInteger(value) || value < min || value > max) {
    throw invalid(name, `is not a whole number from ${min} to ${max}`);
  }
  return value;
};

const portRange = { min: 1, max: 65_535 };

/** IPv4 in dotted decimals or any IPv6 notation. */
export const isIpAddress = (address: string): boolean => {
  const v4 = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(address);
  if (v4) return v4.slice(1).every((part) => Number(part) <= 255 && (part === "0" || !part.startsWith("0")));
  return /^[0-9a-fA-F:.]{2,45}$/.test(address) && address.includes(":") && URL.canParse(`http://[${address}]/`);
};

const parseIp = (fields: Readonly<Record<string, unknown>>): string => {
  const address = text(fields, "address");
  if (address === undefined) throw invalid("address", "is missing");
  if (!isIpAddress(address)) throw invalid("address", `"${brief(address)}" is not an IP address`);
  const nowhere = nowhereOf(parseIPv4(address) ?? parseIPv6(address));
  if (nowhere !== undefined) throw invalid("address", `"${address}" is ${nowhere}`);
  return address;
};

const parseLocality = (fields: Readonly<Record<string, unknown>>): string => {
  const locality = text(fields, "locality") ?? "";
  if (locality.split("/").length > 3) throw invalid("locality", "is not REGION/ZONE/SUBZONE");
  return locality;
};

const parsePort = (
  entry: Readonly<Record<string, unknown>>,
  at: string,
  nameField: string,
): InstanceSpec["ports"][number] => {
  const port = integer(entry, "port", portRange);
  if (port === undefined) throw invalid(`${at}port`, "is missing");
  const protocolText = text(entry, "protocol");
  const name = text(entry, nameField) ?? protocolText?.toLowerCase() ?? "";
  const protocol = protocolText === undefined ? protocolOfPort({ name }) : parseProtocol(protocolText);
  if (protocolText !== undefined && protocol === "auto" && protocolText.toLowerCase() !== "auto") {
    throw invalid(`${at}protocol`, `"${brief(protocolText)}" is not known`);
  }
  const appPort = integer(entry, "appPort", portRange) ?? port;
  return { name, port, appPort, protocol, servicePort: integer(entry, "servicePort", portRange) };
};

const parsePorts = (fields: Readonly<Record<string, unknown>>, limits: RegistryLimits): InstanceSpec["ports"] => {
  const list = fields.ports ?? [];
  if (!Array.isArray(list)) throw invalid("ports", "is not a list");
  if (list.length > limits.portsMax) throw tooMuch("ports", limits.portsMax);
  const first = fields.port === undefined ? [] : [parsePort(fields, "", "portName")];
  const more = list.map((entry, i) => parsePort(record(entry, `ports[${i}]`), `ports[${i}].`, "name"));
  const ports = [...first, ...more.filter(({ port }) => port !== first[0]?.port)];
  if (ports.length === 0) throw invalid("port", "is missing");
  const seen = new Set(ports.map(({ port }) => port));
  if (seen.size < ports.length) throw invalid("ports", "has a port twice");
  return ports;
};

const parseTexts = (
  fields: Readonly<Record<string, unknown>>,
  name: string,
  most: { readonly entries: number; readonly length: number },
): Readonly<Record<string, string>> => {
  if (fields[name] === undefined || fields[name] === null) return {};
  const entries = Object.entries(record(fields[name], name));
  if (entries.length > most.entries) throw tooMuch(name, most.entries);
  const kept: [string, string][] = [];
  for (const [key, value] of entries) {
    if (typeof value !== "string") throw invalid(`${name}.${brief(key)}`, "is not text");
    if (key.length > 253 || key === "" || value.length > most.length)
      throw invalid(`${name}.${brief(key)}`, "is too long");
    kept.push([key, value]);
  }
  return Object.fromEntries(kept);
};

const parseMetadata = (
  fields: Readonly<Record<string, unknown>>,
  limits: RegistryLimits,
): Readonly<Record<string, string>> => {
  const most = { entries: limits.metadataEntriesMax, length: limits.metadataBytesMax };
  const metadata = parseTexts(fields, "metadata", most);
  const bytes = Object.entries(metadata).reduce((sum, [key, value]) => sum + key.length + value.length, 0);
  if (bytes > limits.metadataBytesMax) throw tooMuch("metadata (in characters)", limits.metadataBytesMax);
  return metadata;
};
