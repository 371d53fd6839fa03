/** Where a management server is and how it is spoken to, read from a GrpcService or the cluster it names. */
import { ConfigError } from "@weft/core/config-error";
import type { ClusterJson } from "@weft/xds/gen/envoy/config/cluster/v3/cluster";
import type { DataSourceJson } from "@weft/xds/gen/envoy/config/core/v3/base";
import type { ApiConfigSourceJson, ConfigSourceJson } from "@weft/xds/gen/envoy/config/core/v3/config_source";
import type { GrpcServiceJson } from "@weft/xds/gen/envoy/config/core/v3/grpc_service";
import type { CertificateValidationContextJson } from "@weft/xds/gen/envoy/extensions/transport_sockets/tls/v3/common";
import type { CommonTlsContextJson } from "@weft/xds/gen/envoy/extensions/transport_sockets/tls/v3/tls";

export type Target =
  | { readonly kind: "tcp"; readonly host: string; readonly port: number }
  | { readonly kind: "pipe"; readonly path: string };

/** Text in place, in a file read again for every connection, or in a named secret. */
export type Material =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "file"; readonly path: string }
  | { readonly kind: "secret"; readonly name: string };

export interface ServerTls {
  readonly roots: Material;
  readonly certificate: Material | undefined;
  readonly key: Material | undefined;
  readonly serverName: string;
  /** Exact subject alternative names, one of which the server must have; empty leaves it to `serverName`. */
  readonly sans: readonly string[];
}

export interface XdsServer {
  /** The cluster's name, or the target of a google_grpc service. */
  readonly name: string;
  readonly targets: readonly Target[];
  readonly tls: ServerTls | undefined;
  readonly metadata: Readonly<Record<string, string>>;
  readonly form: "delta" | "sotw";
}

const deltaTypes: ReadonlySet<string> = new Set(["DELTA_GRPC", "AGGREGATED_DELTA_GRPC"]);
const sotwTypes: ReadonlySet<string> = new Set(["GRPC", "AGGREGATED_GRPC"]);

/** Reads an api_config_source. Throws ConfigError with the field that cannot be followed. */
export const readXdsServer = (
  source: ApiConfigSourceJson,
  clusters: ReadonlyMap<string, ClusterJson>,
  field: string,
): XdsServer => {
  const type = source.apiType ?? "DEPRECATED_AND_UNAVAILABLE_DO_NOT_USE";
  if (!deltaTypes.has(type) && !sotwTypes.has(type))
    throw new ConfigError(`${field}.api_type`, `${type} is not spoken here: use GRPC or DELTA_GRPC`);
  if (source.transportApiVersion !== "V3") throw new ConfigError(`${field}.transport_api_version`, "must be V3");
  const [service, ...others] = source.grpcServices ?? [];
  if (!service) throw new ConfigError(`${field}.grpc_services`, "needs one gRPC service");
  if (others.length > 0) throw new ConfigError(`${field}.grpc_services[1]`, "only one management server is used");
  const form = deltaTypes.has(type) ? "delta" : "sotw";
  return { ...readService(service, clusters, `${field}.grpc_services[0]`), metadata: metadataOf(service, field), form };
};

/** The server that a static cluster leads to. Throws ConfigError when it leads nowhere. */
export const serverOfCluster = (cluster: ClusterJson, form: "delta" | "sotw"): XdsServer => ({
  name: cluster.name ?? "",
  targets: targetsOf(cluster),
  tls: tlsOf(cluster),
  metadata: {},
  form,
});

/** The API type of an ADS source stands in `ads_config`; of others in themselves. */
export const isAds = (source: ConfigSourceJson | undefined): boolean =>
  source?.ads !== undefined || source?.self !== undefined;

const metadataOf = ({ initialMetadata }: GrpcServiceJson, field: string): Readonly<Record<string, string>> =>
  Object.fromEntries(
    (initialMetadata ?? []).map(({ key, value, rawValue }) => {
      const name = key?.toLowerCase() ?? "";
      if (rawValue || !/^[a-z0-9._-]+$/.test(name) || /[\r\n\0]/.test(value ?? ""))
        throw new ConfigError(`${field}.grpc_services[0].initial_metadata`, `${name || "an entry"} cannot be sent`);
      return [name, value ?? ""];
    }),
  );

type Service = Pick<XdsServer, "name" | "targets" | "tls">;

const readService = (service: GrpcServiceJson, clusters: ReadonlyMap<string, ClusterJson>, field: string): Service => {
  if (service.googleGrpc) return readGoogleGrpc(service.googleGrpc, `${field}.google_grpc`);
  const name = service.envoyGrpc?.clusterName ?? "";
  const cluster = clusters.get(name);
  if (!cluster) throw new ConfigError(`${field}.envoy_grpc.cluster_name`, `there is no static cluster "${name}"`);
  return { name, targets: targetsOf(cluster), tls: tlsOf(cluster) };
};

const readGoogleGrpc = (google: NonNullable<GrpcServiceJson["googleGrpc"]>, field: string): Service => {
  const uri = google.targetUri ?? "";
  if ((google.callCredentials ?? []).length > 0)
    throw new ConfigError(`${field}.call_credentials`, "are not supported; use initial_metadata");
  const target = parseTarget(uri);
  if (!target) throw new ConfigError(`${field}.target_uri`, `"${uri}" is not HOST:PORT or unix:PATH`);
  const ssl = google.channelCredentials?.sslCredentials;
  if (!ssl) return { name: uri, targets: [target], tls: undefined };
  const roots = materialOf(ssl.rootCerts);
  if (!roots) throw new ConfigError(`${field}.channel_credentials.ssl_credentials.root_certs`, "must be given");
  const [certificate, key] = [materialOf(ssl.certChain), materialOf(ssl.privateKey)];
  const serverName = target.kind === "tcp" ? target.host : "localhost";
  return { name: uri, targets: [target], tls: { roots, certificate, key, serverName, sans: [] } };
};

const parseTarget = (uri: string): Target | undefined => {
  if (uri.startsWith("unix:")) return { kind: "pipe", path: uri.slice("unix:".length) };
  const match = /^(?:dns:(?:\/\/[^/]*\/)?)?(?:\[([^\]]+)\]|([^:/]+)):(\d{1,5})$/.exec(uri);
  const host = match?.[1] ?? match?.[2];
  return host === undefined ? undefined : { kind: "tcp", host, port: Number(match?.[3]) };
};

const discoveredTypes: ReadonlySet<string> = new Set(["EDS", "ORIGINAL_DST"]);

const targetsOf = (cluster: ClusterJson): readonly Target[] => {
  const field = `static_resources.clusters[${cluster.name ?? ""}]`;
  if (discoveredTypes.has(cluster.type ?? ""))
    throw new ConfigError(`${field}.type`, "a management server's cluster must say its addresses itself");
  const endpoints = (cluster.loadAssignment?.endpoints ?? []).flatMap(({ lbEndpoints }) => lbEndpoints ?? []);
  const targets = endpoints.flatMap(({ endpoint }): Target[] => {
    const { socketAddress, pipe } = endpoint?.address ?? {};
    if (pipe?.path) return [{ kind: "pipe", path: pipe.path }];
    const host = socketAddress?.address;
    return host ? [{ kind: "tcp", host, port: socketAddress?.portValue ?? 0 }] : [];
  });
  if (targets.length === 0) throw new ConfigError(`${field}.load_assignment`, "has no endpoint");
  return targets;
};

const tlsOf = (cluster: ClusterJson): ServerTls | undefined => {
  const field = `static_resources.clusters[${cluster.name ?? ""}].transport_socket`;
  const config = cluster.transportSocket?.typedConfig as (Record<string, unknown> & { "@type"?: string }) | undefined;
  const type = config?.["@type"] ?? "";
  if (!config || type.endsWith(".RawBuffer")) return undefined;
  if (!type.endsWith(".UpstreamTlsContext")) throw new ConfigError(field, `${type} is not supported for discovery`);
  const common = (config.commonTlsContext ?? {}) as CommonTlsContextJson;
  const context = common.validationContext ?? common.combinedValidationContext?.defaultValidationContext;
  const secret =
    common.validationContextSdsSecretConfig?.name ??
    common.combinedValidationContext?.validationContextSdsSecretConfig?.name;
  const roots: Material | undefined = secret ? { kind: "secret", name: secret } : materialOf(context?.trustedCa);
  if (!roots)
    throw new ConfigError(`${field}.common_tls_context`, "needs trusted_ca: an unverified server is no server");
  const [pair] = common.tlsCertificates ?? [];
  const named = common.tlsCertificateSdsSecretConfigs?.[0]?.name;
  const own: Material | undefined = named ? { kind: "secret", name: named } : undefined;
  const [first] = targetsOf(cluster);
  return {
    roots,
    certificate: own ?? materialOf(pair?.certificateChain),
    key: own ?? materialOf(pair?.privateKey),
    serverName: (config.sni as string | undefined) ?? (first?.kind === "tcp" ? first.host : "localhost"),
    sans: sansOf(context, field),
  };
};

const sansOf = (context: CertificateValidationContextJson | undefined, field: string): readonly string[] => {
  const typed = (context?.matchTypedSubjectAltNames ?? []).map(({ matcher }) => matcher);
  return [...typed, ...(context?.matchSubjectAltNames ?? [])].map((matcher) => {
    if (matcher?.exact === undefined)
      throw new ConfigError(`${field}.match_typed_subject_alt_names`, "only exact names are supported for discovery");
    return matcher.exact;
  });
};

const materialOf = (source: DataSourceJson | undefined): Material | undefined => {
  if (source?.filename) return { kind: "file", path: source.filename };
  if (source?.inlineString) return { kind: "text", text: source.inlineString };
  if (source?.inlineBytes) return { kind: "text", text: Buffer.from(source.inlineBytes, "base64").toString("utf8") };
  return undefined;
};
