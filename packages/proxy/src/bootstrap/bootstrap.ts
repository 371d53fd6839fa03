/** Envoy's bootstrap as the sidecar uses it. What it says and we do not do is a warning or an error, never silence. */
import { ConfigError } from "@weft/core/config-error";
import { type SourcePosition, WeftError } from "@weft/core/error";
import { decodeMessage, encodeMessage } from "@weft/xds/codec";
import { type BootstrapJson, BootstrapSchema } from "@weft/xds/gen/envoy/config/bootstrap/v3/bootstrap";
import type { ClusterJson } from "@weft/xds/gen/envoy/config/cluster/v3/cluster";
import type { NodeJson } from "@weft/xds/gen/envoy/config/core/v3/base";
import type { ConfigSourceJson } from "@weft/xds/gen/envoy/config/core/v3/config_source";
import type { ListenerJson } from "@weft/xds/gen/envoy/config/listener/v3/listener";
import type { SecretJson } from "@weft/xds/gen/envoy/extensions/transport_sockets/tls/v3/secret";
import { integersAsText } from "@weft/xds/integers-as-text";
import { checkJson, formatPath, type JsonPath } from "@weft/xds/json-check";
import { compileOverload } from "../overload/compile-overload.ts";
import type { ConfiguredOverload } from "../overload/overload-settings.ts";
import { isAds, readXdsServer, type XdsServer } from "./xds-server.ts";
import { parseYamlText } from "./yaml-text.ts";

export type DiscoverySource =
  | { readonly kind: "ads" }
  | { readonly kind: "path"; readonly path: string }
  | { readonly kind: "api"; readonly server: XdsServer };

export interface BootstrapWarning {
  readonly code: string;
  readonly message: string;
  readonly where: SourcePosition | undefined;
}

export interface Bootstrap {
  readonly node: NodeJson;
  readonly listeners: readonly ListenerJson[];
  readonly clusters: readonly ClusterJson[];
  readonly secrets: readonly SecretJson[];
  readonly lds: DiscoverySource | undefined;
  readonly cds: DiscoverySource | undefined;
  readonly ads: XdsServer | undefined;
  /** Who is told the load of the clusters it asks for. */
  readonly loadStats: XdsServer | undefined;
  /** The cluster that this proxy is itself of, by which its zone's part of the traffic is known. */
  readonly localCluster: string | undefined;
  /** No admin interface where the bootstrap names none. */
  readonly admin: { readonly host: string; readonly port: number } | undefined;
  /** What its overload manager says; the defaults hold where it says nothing. */
  readonly overload: ConfiguredOverload | undefined;
  readonly warnings: readonly BootstrapWarning[];
  /** The whole of it, for `/config_dump`. */
  readonly json: BootstrapJson;
}

/** What the sidecar does without. They are dropped before types are checked: their extensions need not be known. */
const ignoredSections: ReadonlyMap<string, string> = new Map([
  ["stats_sinks", "statistics are not pushed: scrape /stats/prometheus"],
  ["stats_config", "statistics have the names Envoy gives them by default"],
  ["stats_flush_interval", "statistics are read, not flushed"],
  ["stats_flush_on_admin", "statistics are read, not flushed"],
  ["tracing", "spans are not reported; trace headers pass through"],
  ["layered_runtime", "there is no runtime: fractions and flags keep their defaults"],
  ["hds_config", "health discovery is not spoken"],
  ["watchdog", "there is no watchdog"],
  ["watchdogs", "there is no watchdog"],
  ["bootstrap_extensions", "extensions of the bootstrap are not loaded"],
  ["fatal_actions", "they are not run"],
  ["flags_path", "there are no runtime flags"],
  ["dns_resolution_config", "the system's resolver is used"],
  ["typed_dns_resolver_config", "the system's resolver is used"],
  ["use_tcp_for_dns_lookups", "the system's resolver is used"],
  ["certificate_provider_instances", "certificate providers are not supported"],
  ["inline_headers", "every header is treated alike"],
  ["perf_tracing_file_path", "there is no performance trace"],
  ["default_regex_engine", "regular expressions are RE2 always"],
  ["xds_delegate_extension", "it is not loaded"],
  ["xds_config_tracker_extension", "it is not loaded"],
  ["listener_manager", "it is not loaded"],
  ["application_log_config", "use --log-format"],
  ["grpc_async_client_manager_config", "it has no effect"],
  ["memory_allocator_manager", "it has no effect"],
  ["config_sources", "federated sources are not used"],
  ["default_config_source", "federated sources are not used"],
]);

const snake = (key: string): string => key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** Parses a bootstrap file. Throws WF3100 (not YAML) or WF3101 (not a bootstrap we can follow), with the place. */
export const parseBootstrap = (text: string, file: string): Bootstrap => {
  const yaml = parseYamlText(text, file);
  return readBootstrap(yaml.json, yaml.position);
};

/** The same for a bootstrap already in memory. */
export const readBootstrap = (json: unknown, position: (path: JsonPath) => SourcePosition | undefined): Bootstrap => {
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new WeftError("WF3101", "the bootstrap is not a mapping", whereOf(position([])));
  }
  const warnings: BootstrapWarning[] = [];
  const kept: Record<string, unknown> = {};
  let overload: readonly [key: string, value: unknown] | undefined;
  for (const [key, value] of Object.entries(json)) {
    if (snake(key) === "overload_manager") {
      // Its monitors are extensions that need not be known: what is not is remarked on.
      overload = [key, value];
      continue;
    }
    const why = ignoredSections.get(snake(key));
    if (snake(key) === "cluster_manager")
      kept[key] = keepLoadStats(value, (path) => position([key, ...path]), warnings);
    else if (why === undefined) kept[key] = value;
    else warnings.push({ code: "WF3110", message: `${key} is ignored: ${why}`, where: position([key]) });
  }
  const meant = integersAsText(BootstrapSchema, kept);
  const problems = checkJson(BootstrapSchema, meant);
  const [first] = problems;
  if (first) {
    const lines = problems.slice(0, 10).map(({ path, message }) => `${formatPath(path)}: ${message}`);
    throw new WeftError("WF3101", lines.join("\n"), whereOf(position(first.path)));
  }
  const canonical = decodeMessage(BootstrapSchema, encodeMessage(BootstrapSchema, meant as never)) as BootstrapJson;
  try {
    const configured = overload && readOverload(overload, position, warnings);
    return { ...interpret(canonical, warnings), overload: configured };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new WeftError("WF3101", error.message, { ...whereOf(position(pathOf(error.field))), cause: error });
  }
};

/** Of the cluster manager's settings load reporting and the name of the own cluster are followed. */
const keepLoadStats = (
  value: unknown,
  position: (path: JsonPath) => SourcePosition | undefined,
  warnings: BootstrapWarning[],
): unknown => {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(
    Object.entries(value).filter(([key]) => {
      if (snake(key) === "load_stats_config" || snake(key) === "local_cluster_name") return true;
      const message = `cluster_manager.${key} is ignored: it has no effect`;
      warnings.push({ code: "WF3110", message, where: position([key]) });
      return false;
    }),
  );
};

const readOverload = (
  [key, value]: readonly [key: string, value: unknown],
  position: (path: JsonPath) => SourcePosition | undefined,
  warnings: BootstrapWarning[],
): ConfiguredOverload => {
  const { overload, remarks } = compileOverload(value, key);
  for (const { field, why } of remarks) {
    warnings.push({ code: "WF3110", message: `${field} has no effect: ${why}`, where: position(pathOf(field)) });
  }
  return overload;
};

const whereOf = (where: SourcePosition | undefined): { where?: SourcePosition } => (where ? { where } : {});

const pathOf = (field: string): JsonPath =>
  field.split(/[.[\]]+/).flatMap((step) => (step === "" ? [] : [/^\d+$/.test(step) ? Number(step) : step]));

const interpret = (json: BootstrapJson, warnings: readonly BootstrapWarning[]): Omit<Bootstrap, "overload"> => {
  const { listeners = [], clusters = [], secrets = [] } = json.staticResources ?? {};
  unique(listeners, "static_resources.listeners");
  unique(clusters, "static_resources.clusters");
  const byName = new Map(clusters.map((cluster) => [cluster.name ?? "", cluster]));
  const dynamic = json.dynamicResources ?? {};
  const ads = dynamic.adsConfig ? readXdsServer(dynamic.adsConfig, byName, "dynamic_resources.ads_config") : undefined;
  const source = (config: ConfigSourceJson | undefined, name: string): DiscoverySource | undefined =>
    readSource(config, { field: `dynamic_resources.${name}`, hasAds: ads !== undefined, clusters: byName });
  return {
    node: json.node ?? {},
    listeners,
    clusters,
    secrets,
    lds: source(dynamic.ldsConfig, "lds_config"),
    cds: source(dynamic.cdsConfig, "cds_config"),
    ads,
    loadStats: json.clusterManager?.loadStatsConfig
      ? readXdsServer(json.clusterManager.loadStatsConfig, byName, "cluster_manager.load_stats_config")
      : undefined,
    localCluster: json.clusterManager?.localClusterName || undefined,
    admin: readAdmin(json),
    warnings,
    json,
  };
};

const unique = (resources: readonly { readonly name?: string }[], field: string): void => {
  const seen = new Set<string>();
  for (const [index, { name = "" }] of resources.entries()) {
    if (seen.has(name) && name !== "") throw new ConfigError(`${field}[${index}].name`, `"${name}" is there twice`);
    seen.add(name);
  }
};

interface SourceContext {
  readonly field: string;
  readonly hasAds: boolean;
  readonly clusters: ReadonlyMap<string, ClusterJson>;
}

const readSource = (config: ConfigSourceJson | undefined, context: SourceContext): DiscoverySource | undefined => {
  if (!config) return undefined;
  const { field, hasAds, clusters } = context;
  const path = config.pathConfigSource?.path ?? config.path;
  if (path) return { kind: "path", path };
  if (isAds(config)) {
    if (!hasAds) throw new ConfigError(`${field}.ads`, "needs dynamic_resources.ads_config");
    return { kind: "ads" };
  }
  const api = config.apiConfigSource;
  if (!api) throw new ConfigError(field, "must be ads, path_config_source or api_config_source");
  return { kind: "api", server: readXdsServer(api, clusters, `${field}.api_config_source`) };
};

const readAdmin = ({ admin }: BootstrapJson): Bootstrap["admin"] => {
  if (!admin?.address) return undefined;
  const address = admin.address.socketAddress;
  if (!address?.address) throw new ConfigError("admin.address", "must be a socket_address");
  return { host: address.address, port: address.portValue ?? 0 };
};
