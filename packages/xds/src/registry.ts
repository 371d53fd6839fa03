/**
 * The messages that can stand inside a google.protobuf.Any in the configuration we make or take.
 * A type that is not listed is kept as bytes by codec.ts, so one new filter is one line here.
 */
import { createRegistry, type DescFile, type DescMessage, type Registry } from "@bufbuild/protobuf";
import { nestedTypes } from "@bufbuild/protobuf/reflect";
import {
  BoolValueSchema,
  BytesValueSchema,
  DurationSchema,
  EmptySchema,
  ListValueSchema,
  StringValueSchema,
  StructSchema,
  UInt32ValueSchema,
  ValueSchema,
} from "@bufbuild/protobuf/wkt";
import { fileOf } from "@weft/xds/gen/descriptors";
import { ClusterSchema } from "@weft/xds/gen/envoy/config/cluster/v3/cluster";
import { TypedExtensionConfigSchema } from "@weft/xds/gen/envoy/config/core/v3/extension";
import { ClusterLoadAssignmentSchema } from "@weft/xds/gen/envoy/config/endpoint/v3/endpoint";
import { ListenerSchema } from "@weft/xds/gen/envoy/config/listener/v3/listener";
import { RouteConfigurationSchema } from "@weft/xds/gen/envoy/config/route/v3/route";
import { FilterConfigSchema, VirtualHostSchema } from "@weft/xds/gen/envoy/config/route/v3/route_components";
import { ScopedRouteConfigurationSchema } from "@weft/xds/gen/envoy/config/route/v3/scoped_route";
import { ResourceSchema } from "@weft/xds/gen/envoy/service/discovery/v3/discovery";
import { dnsClusterFile } from "./dns-cluster.ts";

const generatedFiles: readonly DescFile[] = [
  "envoy/extensions/access_loggers/file/v3/file",
  "envoy/extensions/access_loggers/stream/v3/stream",
  "envoy/extensions/clusters/aggregate/v3/cluster",
  "envoy/extensions/clusters/dynamic_forward_proxy/v3/cluster",
  "envoy/extensions/filters/common/fault/v3/fault",
  "envoy/extensions/filters/http/adaptive_concurrency/v3/adaptive_concurrency",
  "envoy/extensions/filters/http/buffer/v3/buffer",
  "envoy/extensions/filters/http/cors/v3/cors",
  "envoy/extensions/filters/http/dynamic_forward_proxy/v3/dynamic_forward_proxy",
  "envoy/extensions/filters/http/fault/v3/fault",
  "envoy/extensions/filters/http/grpc_stats/v3/config",
  "envoy/extensions/filters/http/grpc_web/v3/grpc_web",
  "envoy/extensions/filters/http/header_mutation/v3/header_mutation",
  "envoy/extensions/filters/http/health_check/v3/health_check",
  "envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit",
  "envoy/extensions/filters/http/on_demand/v3/on_demand",
  "envoy/extensions/filters/http/rbac/v3/rbac",
  "envoy/extensions/filters/http/router/v3/router",
  "envoy/extensions/filters/http/set_filter_state/v3/set_filter_state",
  "envoy/extensions/filters/http/set_metadata/v3/set_metadata",
  "envoy/extensions/filters/listener/http_inspector/v3/http_inspector",
  "envoy/extensions/filters/listener/original_dst/v3/original_dst",
  "envoy/extensions/filters/listener/original_src/v3/original_src",
  "envoy/extensions/filters/listener/proxy_protocol/v3/proxy_protocol",
  "envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector",
  "envoy/extensions/filters/network/connection_limit/v3/connection_limit",
  "envoy/extensions/filters/network/direct_response/v3/config",
  "envoy/extensions/filters/network/echo/v3/echo",
  "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager",
  "envoy/extensions/filters/network/local_ratelimit/v3/local_rate_limit",
  "envoy/extensions/filters/network/rbac/v3/rbac",
  "envoy/extensions/filters/network/set_filter_state/v3/set_filter_state",
  "envoy/extensions/filters/network/sni_cluster/v3/sni_cluster",
  "envoy/extensions/filters/network/sni_dynamic_forward_proxy/v3/sni_dynamic_forward_proxy",
  "envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy",
  "envoy/extensions/filters/udp/dns_filter/v3/dns_filter",
  "envoy/extensions/formatter/metadata/v3/metadata",
  "envoy/extensions/formatter/req_without_query/v3/req_without_query",
  "envoy/extensions/http/header_formatters/preserve_case/v3/preserve_case",
  "envoy/extensions/http/original_ip_detection/xff/v3/xff",
  "envoy/extensions/load_balancing_policies/client_side_weighted_round_robin/v3/client_side_weighted_round_robin",
  "envoy/extensions/load_balancing_policies/cluster_provided/v3/cluster_provided",
  "envoy/extensions/load_balancing_policies/least_request/v3/least_request",
  "envoy/extensions/load_balancing_policies/maglev/v3/maglev",
  "envoy/extensions/load_balancing_policies/pick_first/v3/pick_first",
  "envoy/extensions/load_balancing_policies/random/v3/random",
  "envoy/extensions/load_balancing_policies/ring_hash/v3/ring_hash",
  "envoy/extensions/load_balancing_policies/round_robin/v3/round_robin",
  "envoy/extensions/load_balancing_policies/subset/v3/subset",
  "envoy/extensions/load_balancing_policies/wrr_locality/v3/wrr_locality",
  "envoy/extensions/matching/common_inputs/network/v3/network_inputs",
  "envoy/extensions/network/dns_resolver/cares/v3/cares_dns_resolver",
  "envoy/extensions/network/dns_resolver/getaddrinfo/v3/getaddrinfo_dns_resolver",
  "envoy/extensions/path/match/uri_template/v3/uri_template_match",
  "envoy/extensions/path/rewrite/uri_template/v3/uri_template_rewrite",
  "envoy/extensions/regex_engines/v3/google_re2",
  "envoy/extensions/request_id/uuid/v3/uuid",
  "envoy/extensions/retry/host/omit_canary_hosts/v3/omit_canary_hosts",
  "envoy/extensions/retry/host/omit_host_metadata/v3/omit_host_metadata_config",
  "envoy/extensions/retry/host/previous_hosts/v3/previous_hosts",
  "envoy/extensions/retry/priority/previous_priorities/v3/previous_priorities_config",
  "envoy/extensions/transport_sockets/internal_upstream/v3/internal_upstream",
  "envoy/extensions/transport_sockets/proxy_protocol/v3/upstream_proxy_protocol",
  "envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer",
  "envoy/extensions/transport_sockets/tls/v3/secret",
  "envoy/extensions/transport_sockets/tls/v3/tls",
  "envoy/extensions/upstreams/http/v3/http_protocol_options",
  "envoy/extensions/upstreams/tcp/v3/tcp_protocol_options",
  "istio/alpn",
  "istio/metadata_exchange",
  "istio/peer_metadata",
  "istio/stats",
  "udpa/type/v1/typed_struct",
  "xds/type/v3/typed_struct",
].map((path) => fileOf(`${path}.proto`));

const extensionFiles: readonly DescFile[] = [...generatedFiles, dnsClusterFile];

const messages: readonly DescMessage[] = [
  ListenerSchema,
  RouteConfigurationSchema,
  ScopedRouteConfigurationSchema,
  VirtualHostSchema,
  FilterConfigSchema,
  ClusterSchema,
  ClusterLoadAssignmentSchema,
  TypedExtensionConfigSchema,
  ResourceSchema,
  BoolValueSchema,
  BytesValueSchema,
  DurationSchema,
  EmptySchema,
  ListValueSchema,
  StringValueSchema,
  StructSchema,
  UInt32ValueSchema,
  ValueSchema,
];

/** Looks up the messages above by full name. */
export const registry: Registry = createRegistry(...extensionFiles, ...messages);

/** Every message and file the registry knows, for what must look at all their fields. */
export const knownMessages = (): readonly DescMessage[] => {
  const seen = new Map<string, DescMessage>();
  const visit = (message: DescMessage): void => {
    if (seen.has(message.typeName)) return;
    seen.set(message.typeName, message);
    for (const field of message.fields) if (field.message) visit(field.message);
  };
  for (const file of extensionFiles) for (const type of nestedTypes(file)) if (type.kind === "message") visit(type);
  messages.forEach(visit);
  return [...seen.values()];
};
