/**
 * An entry of Consul's `/v1/health/service/NAME` as an instance. What its parts become:
 *
 * - `Service.Address`, else `Node.Address`, and `Service.Port`: the address. No port: it cannot be called.
 * - `Service.Namespace` of Consul Enterprise, else the namespace that the URL names: the namespace.
 * - `Service.Meta`: labels. A tag `KEY=VALUE` is the label KEY, any other tag TAG the label TAG with the value "true".
 * - Meta `protocol`, else a tag that is one (http, http2, grpc, tcp): the protocol.
 * - Meta `locality` (REGION/ZONE/SUBZONE), else the `Locality` of the service or of its node, else `region` and `zone` of
 *   the node's Meta: the locality.
 * - Meta `service-port`: the port clients ask the service on. Meta `service-account`: a sidecar of that identity is before it.
 * - `Service.Weights`: the weight, the one for a warning where a check warns.
 * - a critical check of the service or of its node: unhealthy. Of maintenance, and no other: draining.
 *
 * Proxies of Consul's own mesh, and Consul's own service, are none of ours.
 */
import type { SourceInstance } from "../outside/source-events.ts";

export interface ConsulRules {
  /** Where Consul names no namespace. */
  readonly toNamespace: string;
  /** Only instances with all of these. */
  readonly tags: readonly string[];
  /** A check that warns counts as one that fails. */
  readonly passingOnly: boolean;
}

export type ConsulRecord =
  | { readonly kind: "instance"; readonly key: string; readonly node: string; readonly instance: SourceInstance }
  | { readonly kind: "unreadable"; readonly key: string; readonly problem: string }
  /** Well-formed, and not for us. */
  | { readonly kind: "other" };

/** Meta that is no label: what Consul has no place for. */
export const consulMeta = {
  namespace: "weft-namespace",
  servicePort: "service-port",
  serviceAccount: "service-account",
  /** On the record that holds a writer's time-to-live, which is no service. */
  writer: "weft-writer",
} as const;

/** What Consul's servers register of themselves. */
export const ownService = "consul";
const protocols: ReadonlySet<string> = new Set(["http", "http2", "grpc", "tcp"]);
const notLabels: ReadonlySet<string> = new Set([...Object.values(consulMeta), "protocol", "locality"]);

type Fields = Readonly<Record<string, unknown>>;

/** `service` is the name that was asked for. */
export const readConsulEntry = (service: string, entry: unknown, rules: ConsulRules): ConsulRecord => {
  const { Node, Service, Checks } = fieldsIn(entry) ?? {};
  const node = fieldsIn(Node);
  const own = fieldsIn(Service);
  const nodeName = textIn(node?.Node);
  const id = textIn(own?.ID);
  const key = [service, nodeName, id].map((part) => escaped(part || "?")).join("/");
  const unreadable = (problem: string): ConsulRecord => ({ kind: "unreadable", key, problem });
  if (!node || !own || nodeName === "" || id === "") return unreadable("it names no node or no id");
  const meta = textsIn(own.Meta);
  const tags = listIn(own.Tags).filter((tag): tag is string => typeof tag === "string");
  if (textIn(own.Kind) !== "" || service === ownService || meta.has(consulMeta.writer)) return { kind: "other" };
  if (rules.tags.some((tag) => !tags.includes(tag))) return { kind: "other" };
  const port = own.Port;
  if (typeof port !== "number" || port === 0) return unreadable("it has no port");
  const state = stateOf(listIn(Checks));
  if (typeof state === "string") return unreadable(state);
  const address = textIn(own.Address) || textIn(node.Address);
  const name = nameIn(service, textIn(own.Namespace), meta.get(consulMeta.namespace), rules);
  const servicePort = meta.get(consulMeta.servicePort);
  const weights = fieldsIn(own.Weights) ?? {};
  const weight = state.warns ? weights.Warning : weights.Passing;
  const failed = state.fails || (rules.passingOnly && state.warns);
  return {
    kind: "instance",
    key,
    node: nodeName,
    instance: {
      ...{ key, id, address, port, ...name },
      servicePort: servicePort === undefined ? undefined : Number(servicePort),
      protocol: meta.get("protocol") ?? tags.find((tag) => protocols.has(tag)),
      labels: labelsOf(meta, tags),
      serviceAccount: meta.get(consulMeta.serviceAccount) ?? "",
      locality: localityOf(meta, own, node),
      weight: typeof weight === "number" ? weight : 1,
      health: failed ? "unhealthy" : state.drains ? "draining" : "healthy",
    },
  };
};

/** A part of a key. */
export const escaped = (part: string): string => part.replaceAll("%", "%25").replaceAll("/", "%2F");

const fieldsIn = (value: unknown): Fields | undefined =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : undefined;
const textIn = (value: unknown): string => (typeof value === "string" ? value : "");
const listIn = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);
const textsIn = (value: unknown): ReadonlyMap<string, string> =>
  new Map(Object.entries(fieldsIn(value) ?? {}).filter((entry): entry is [string, string] => isText(entry[1])));
const isText = (value: unknown): value is string => typeof value === "string";

/**
 * A service that weft wrote from another namespace is named `SERVICE-NAMESPACE` there. Meta alone cannot make an
 * instance one of any service: who may register `x` in Consul may not thereby become a part of `payments`.
 */
const nameIn = (service: string, own: string, written: string | undefined, { toNamespace }: ConsulRules) => {
  const ending = `-${written ?? ""}`;
  if (written && service.endsWith(ending) && service.length > ending.length)
    return { namespace: written, service: service.slice(0, -ending.length) };
  return { namespace: own || toNamespace, service };
};

const stateOf = (checks: readonly unknown[]) => {
  const state = { fails: false, warns: false, drains: false };
  for (const check of checks) {
    const { CheckID, Status } = fieldsIn(check) ?? {};
    const id = textIn(CheckID);
    if (Status === "warning") state.warns = true;
    else if (Status === "critical") {
      if (id === "_node_maintenance" || id.startsWith("_service_maintenance")) state.drains = true;
      else state.fails = true;
    } else if (Status !== "passing") return `the check ${JSON.stringify(id.slice(0, 80))} is in no known state`;
  }
  return state;
};

const labelsOf = (meta: ReadonlyMap<string, string>, tags: readonly string[]): Readonly<Record<string, string>> => {
  const labels = new Map<string, string>();
  for (const tag of tags) {
    const at = tag.indexOf("=");
    if (at > 0) labels.set(tag.slice(0, at), tag.slice(at + 1));
    else if (tag !== "" && !protocols.has(tag)) labels.set(tag, "true");
  }
  for (const [name, value] of meta) if (!notLabels.has(name)) labels.set(name, value);
  return Object.fromEntries(labels);
};

const localityOf = (meta: ReadonlyMap<string, string>, service: Fields, node: Fields): string => {
  const said = meta.get("locality");
  if (said !== undefined) return said;
  const nodeMeta = textsIn(node.Meta);
  const all: readonly (Fields | undefined)[] = [
    fieldsIn(service.Locality),
    fieldsIn(node.Locality),
    { Region: nodeMeta.get("region"), Zone: nodeMeta.get("zone") },
  ];
  for (const one of all) {
    const region = textIn(one?.Region);
    const zone = textIn(one?.Zone);
    if (region !== "") return zone === "" ? region : `${region}/${zone}`;
  }
  return "";
};
