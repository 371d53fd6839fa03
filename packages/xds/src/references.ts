/** What a resource needs of other resources, read from its JSON: the source of every subscription. */
import type { ClusterJson } from "@weft/xds/gen/envoy/config/cluster/v3/cluster";
import type { ListenerJson } from "@weft/xds/gen/envoy/config/listener/v3/listener";

/** Where a referenced resource is to come from, as its `ConfigSource` says. */
export type ReferenceSource =
  | { readonly kind: "ads" }
  | { readonly kind: "path"; readonly path: string }
  /** A management server of its own, reached by that cluster: `sds-grpc`. */
  | { readonly kind: "api"; readonly cluster: string };

/** One text per source, for comparing and for `source` of what comes from it. */
export const sourceKey = (source: ReferenceSource): string => {
  switch (source.kind) {
    case "ads":
      return "ads";
    case "path":
      return `path:${source.path}`;
    case "api":
      return `api:${source.cluster}`;
    default:
      return source satisfies never;
  }
};

export interface Reference {
  readonly name: string;
  readonly source: ReferenceSource;
  /** From `initial_fetch_timeout`; 0 waits for ever, `undefined` is the client's default. */
  readonly fetchTimeout: string | undefined;
}

type Json = Readonly<Record<string, unknown>>;

const isObject = (json: unknown): json is Json => typeof json === "object" && json !== null && !Array.isArray(json);
const member = (json: unknown, ...path: readonly string[]): unknown =>
  path.reduce<unknown>((at, key) => (isObject(at) ? at[key] : undefined), json);
const text = (json: unknown): string | undefined => (typeof json === "string" && json !== "" ? json : undefined);

/** Where a `ConfigSource` says that something comes from; `undefined` where it says nothing that we know. */
export const sourceOf = (config: unknown): ReferenceSource | undefined => {
  if (!isObject(config)) return undefined;
  const path = text(member(config, "pathConfigSource", "path")) ?? text(config.path);
  if (path !== undefined) return { kind: "path", path };
  const services = member(config, "apiConfigSource", "grpcServices");
  const cluster = Array.isArray(services) ? text(member(services[0], "envoyGrpc", "clusterName")) : undefined;
  if (cluster !== undefined) return { kind: "api", cluster };
  // `self` asks the server the referring resource came from, which for us is the aggregated stream.
  return isObject(config.ads) || isObject(config.self) ? { kind: "ads" } : undefined;
};

const reference = (name: string, config: unknown): Reference | undefined => {
  const source = sourceOf(config);
  return source && { name, source, fetchTimeout: text(member(config, "initialFetchTimeout")) };
};

/** The endpoints an EDS cluster takes; `undefined` for other clusters. */
export const endpointsOfCluster = (cluster: ClusterJson): Reference | undefined => {
  if (cluster.type !== "EDS") return undefined;
  const config = cluster.edsClusterConfig;
  return reference(config?.serviceName || (cluster.name ?? ""), config?.edsConfig);
};

/** The route tables a listener's connection managers take by name. */
export const routesOfListener = (listener: ListenerJson): readonly Reference[] =>
  collect(listener, "rds", (rds) => {
    const name = text(rds.routeConfigName);
    return name === undefined ? undefined : reference(name, rds.configSource);
  });

const secretFields: ReadonlySet<string> = new Set([
  "tlsCertificateSdsSecretConfigs",
  "validationContextSdsSecretConfig",
  "sessionTicketKeysSdsSecretConfig",
]);

/** The secrets that TLS contexts of a listener or cluster take by name. A secret without a source is a static one. */
export const secretsOf = (resource: ListenerJson | ClusterJson): readonly Reference[] => {
  const found = new Map<string, Reference>();
  visit(resource, (key, value) => {
    if (!secretFields.has(key)) return;
    for (const config of Array.isArray(value) ? value : [value]) {
      const name = text(member(config, "name"));
      const one = name === undefined ? undefined : reference(name, member(config, "sdsConfig"));
      if (one) found.set(one.name, one);
    }
  });
  return [...found.values()];
};

const collect = (
  resource: unknown,
  field: string,
  read: (json: Json) => Reference | undefined,
): readonly Reference[] => {
  const found = new Map<string, Reference>();
  visit(resource, (key, value) => {
    const one = key === field && isObject(value) ? read(value) : undefined;
    if (one) found.set(one.name, one);
  });
  return [...found.values()];
};

const visit = (json: unknown, see: (key: string, value: unknown) => void): void => {
  if (Array.isArray(json)) for (const item of json) visit(item, see);
  if (!isObject(json)) return;
  for (const [key, value] of Object.entries(json)) {
    see(key, value);
    visit(value, see);
  }
};
