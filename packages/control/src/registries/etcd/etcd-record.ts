/** A key of etcd and its value as an instance: weft's own layout, and those that others write. */
import { parseAddress } from "@weft/core/address";
import { isObject, textsIn } from "../outside/record-fields.ts";
import type { SourceInstance } from "../outside/source-events.ts";
import { readFrameworkRecord } from "./framework-records.ts";

export const valueBytesMax = 64 * 1_024;
const defaultNamespace = "default";

export type EtcdRecord =
  | { readonly kind: "instance"; readonly instance: SourceInstance }
  | { readonly kind: "unreadable"; readonly problem: string };

/**
 * `PREFIX NAMESPACE/SERVICE/ID`, or `PREFIX SERVICE/ID` in the namespace `default`. The value is weft's JSON, the JSON of
 * etcd's own naming package (`{"Op":0,"Addr":"H:P","Metadata":…}`), that of a framework, or `H:P` alone.
 */
export const readEtcdRecord = (prefix: string, key: string, value: Uint8Array): EtcdRecord => {
  if (!key.startsWith(prefix)) return unreadable("the key is not below the prefix");
  const parts = key.slice(prefix.length).split("/");
  const [namespace, service, id] = parts.length === 2 ? [defaultNamespace, ...parts] : parts;
  if (parts.length > 3 || !namespace || !service || !id)
    return unreadable("the key is not PREFIX/NAMESPACE/SERVICE/ID or PREFIX/SERVICE/ID");
  if (value.length > valueBytesMax) return unreadable(`the value has ${value.length} bytes, over ${valueBytesMax}`);
  const text = textOf(value);
  if (text === undefined) return unreadable("the value is not UTF-8");
  const base = { ...defaults, key, namespace, service, id };
  if (!text.startsWith("{")) return plain(base, text);
  const fields = objectOf(text);
  if (!fields) return unreadable("the value begins as JSON and is none");
  if (typeof fields.Addr === "string") return named(base, fields.Addr, fields);
  const framework = fields.address === undefined ? readFrameworkRecord(fields) : undefined;
  if (framework === undefined) return own(base, fields);
  return typeof framework === "string"
    ? unreadable(framework)
    : { kind: "instance", instance: { ...base, ...framework } };
};

type Base = Omit<SourceInstance, "address" | "port">;

const defaults = {
  servicePort: undefined,
  protocol: undefined,
  labels: {},
  serviceAccount: "",
  locality: "",
  weight: 1,
  health: "healthy",
} as const;

const unreadable = (problem: string): EtcdRecord => ({ kind: "unreadable", problem });

const textOf = (value: Uint8Array): string | undefined => {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(value).trim();
  } catch {
    return undefined;
  }
};

const objectOf = (text: string): Record<string, unknown> | undefined => {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return undefined;
  }
};

const plain = (base: Base, text: string): EtcdRecord => {
  const at = parseAddress(text);
  if (!at) return unreadable("the value is neither JSON nor HOST:PORT");
  return { kind: "instance", instance: { ...base, address: at.host, port: at.port } };
};

const named = (base: Base, address: string, fields: Record<string, unknown>): EtcdRecord => {
  if (fields.Op !== undefined && fields.Op !== 0) return unreadable(`Op is ${JSON.stringify(fields.Op)}, not 0`);
  const at = parseAddress(address);
  if (!at) return unreadable("Addr is not HOST:PORT");
  const instance = { ...base, labels: textsIn(fields.Metadata), address: at.host, port: at.port };
  return { kind: "instance", instance };
};

/** A field that is there has its type, whatever else is there is not ours. */
const own = (base: Base, fields: Record<string, unknown>): EtcdRecord => {
  const { address, port, servicePort, labels = {}, health = "healthy" } = fields;
  if (typeof address !== "string") return unreadable("address is missing or no text");
  if (typeof port !== "number") return unreadable("port is missing or no number");
  if (servicePort !== undefined && typeof servicePort !== "number") return unreadable("servicePort is no number");
  if (health !== "healthy" && health !== "draining" && health !== "unhealthy")
    return unreadable("health is not healthy, draining or unhealthy");
  if (!isObject(labels) || Object.values(labels).some((value) => typeof value !== "string"))
    return unreadable("labels is not an object of texts");
  const { protocol, serviceAccount = "", locality = "", weight = 1 } = fields;
  if (protocol !== undefined && typeof protocol !== "string") return unreadable("protocol is no text");
  if (typeof serviceAccount !== "string") return unreadable("serviceAccount is no text");
  if (typeof locality !== "string") return unreadable("locality is no text");
  if (typeof weight !== "number") return unreadable("weight is no number");
  return {
    kind: "instance",
    instance: {
      ...base,
      ...{ address, port, servicePort, protocol, serviceAccount, locality, weight, health },
      labels: labels as Readonly<Record<string, string>>,
    },
  };
};
