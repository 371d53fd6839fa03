/**
 * The messages that can stand inside a google.protobuf.Any in the configuration we make or take.
 * A type that is not listed is kept as bytes by codec.ts, so one new filter is one import and one line here.
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
import { ClusterSchema } from "@weft/xds/gen/envoy/config/cluster/v3/cluster";
import { TypedExtensionConfigSchema } from "@weft/xds/gen/envoy/config/core/v3/extension";
import { ClusterLoadAssignmentSchema } from "@weft/xds/gen/envoy/config/endpoint/v3/endpoint";
import { ListenerSchema } from "@weft/xds/gen/envoy/config/listener/v3/listener";
import { RouteConfigurationSchema } from "@weft/xds/gen/envoy/config/route/v3/route";
import { FilterConfigSchema, VirtualHostSchema } from "@weft/xds/gen/envoy/config/route/v3/route_components";
import { ScopedRouteConfigurationSchema } from "@weft/xds/gen/envoy/config/route/v3/scoped_route";
import { file_envoy_extensions_access_loggers_file_v3_file } from "@weft/xds/gen/envoy/extensions/access_loggers/file/v3/file";
import { file_envoy_extensions_access_loggers_stream_v3_stream } from "@weft/xds/gen/envoy/extensions/access_loggers/stream/v3/stream";
import { file_envoy_extensions_clusters_aggregate_v3_cluster } from "@weft/xds/gen/envoy/extensions/clusters/aggregate/v3/cluster";
import { file_envoy_extensions_filters_common_fault_v3_fault } from "@weft/xds/gen/envoy/extensions/filters/common/fault/v3/fault";
import { file_envoy_extensions_filters_http_cors_v3_cors } from "@weft/xds/gen/envoy/extensions/filters/http/cors/v3/cors";
import { file_envoy_extensions_filters_http_fault_v3_fault } from "@weft/xds/gen/envoy/extensions/filters/http/fault/v3/fault";
import { file_envoy_extensions_filters_http_grpc_stats_v3_config } from "@weft/xds/gen/envoy/extensions/filters/http/grpc_stats/v3/config";
import { file_envoy_extensions_filters_http_grpc_web_v3_grpc_web } from "@weft/xds/gen/envoy/extensions/filters/http/grpc_web/v3/grpc_web";
import { file_envoy_extensions_filters_http_header_mutation_v3_header_mutation } from "@weft/xds/gen/envoy/extensions/filters/http/header_mutation/v3/header_mutation";
import { file_envoy_extensions_filters_http_health_check_v3_health_check } from "@weft/xds/gen/envoy/extensions/filters/http/health_check/v3/health_check";
import { file_envoy_extensions_filters_http_rbac_v3_rbac } from "@weft/xds/gen/envoy/extensions/filters/http/rbac/v3/rbac";
import { file_envoy_extensions_filters_http_router_v3_router } from "@weft/xds/gen/envoy/extensions/filters/http/router/v3/router";
import { file_envoy_extensions_filters_http_set_filter_state_v3_set_filter_state } from "@weft/xds/gen/envoy/extensions/filters/http/set_filter_state/v3/set_filter_state";
import { file_envoy_extensions_filters_listener_http_inspector_v3_http_inspector } from "@weft/xds/gen/envoy/extensions/filters/listener/http_inspector/v3/http_inspector";
import { file_envoy_extensions_filters_listener_original_dst_v3_original_dst } from "@weft/xds/gen/envoy/extensions/filters/listener/original_dst/v3/original_dst";
import { file_envoy_extensions_filters_listener_original_src_v3_original_src } from "@weft/xds/gen/envoy/extensions/filters/listener/original_src/v3/original_src";
import { file_envoy_extensions_filters_listener_proxy_protocol_v3_proxy_protocol } from "@weft/xds/gen/envoy/extensions/filters/listener/proxy_protocol/v3/proxy_protocol";
import { file_envoy_extensions_filters_listener_tls_inspector_v3_tls_inspector } from "@weft/xds/gen/envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector";
import { file_envoy_extensions_filters_network_direct_response_v3_config } from "@weft/xds/gen/envoy/extensions/filters/network/direct_response/v3/config";
import { file_envoy_extensions_filters_network_echo_v3_echo } from "@weft/xds/gen/envoy/extensions/filters/network/echo/v3/echo";
import { file_envoy_extensions_filters_network_http_connection_manager_v3_http_connection_manager } from "@weft/xds/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager";
import { file_envoy_extensions_filters_network_rbac_v3_rbac } from "@weft/xds/gen/envoy/extensions/filters/network/rbac/v3/rbac";
import { file_envoy_extensions_filters_network_sni_cluster_v3_sni_cluster } from "@weft/xds/gen/envoy/extensions/filters/network/sni_cluster/v3/sni_cluster";
import { file_envoy_extensions_filters_network_tcp_proxy_v3_tcp_proxy } from "@weft/xds/gen/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy";
import { file_envoy_extensions_formatter_metadata_v3_metadata } from "@weft/xds/gen/envoy/extensions/formatter/metadata/v3/metadata";
import { file_envoy_extensions_formatter_req_without_query_v3_req_without_query } from "@weft/xds/gen/envoy/extensions/formatter/req_without_query/v3/req_without_query";
import { file_envoy_extensions_http_header_formatters_preserve_case_v3_preserve_case } from "@weft/xds/gen/envoy/extensions/http/header_formatters/preserve_case/v3/preserve_case";
import { file_envoy_extensions_http_original_ip_detection_xff_v3_xff } from "@weft/xds/gen/envoy/extensions/http/original_ip_detection/xff/v3/xff";
import { file_envoy_extensions_load_balancing_policies_client_side_weighted_round_robin_v3_client_side_weighted_round_robin } from "@weft/xds/gen/envoy/extensions/load_balancing_policies/client_side_weighted_round_robin/v3/client_side_weighted_round_robin";
import { file_envoy_extensions_load_balancing_policies_cluster_provided_v3_cluster_provided } from "@weft/xds/gen/envoy/extensions/load_balancing_policies/cluster_provided/v3/cluster_provided";
import { file_envoy_extensions_load_balancing_policies_least_request_v3_least_request } from "@weft/xds/gen/envoy/extensions/load_balancing_policies/least_request/v3/least_request";
import { file_envoy_extensions_load_balancing_policies_maglev_v3_maglev } from "@weft/xds/gen/envoy/extensions/load_balancing_policies/maglev/v3/maglev";
import { file_envoy_extensions_load_balancing_policies_pick_first_v3_pick_first } from "@weft/xds/gen/envoy/extensions/load_balancing_policies/pick_first/v3/pick_first";
import { file_envoy_extensions_load_balancing_policies_random_v3_random } from "@weft/xds/gen/envoy/extensions/load_balancing_policies/random/v3/random";
import { file_envoy_extensions_load_balancing_policies_ring_hash_v3_ring_hash } from "@weft/xds/gen/envoy/extensions/load_balancing_policies/ring_hash/v3/ring_hash";
import { file_envoy_extensions_load_balancing_policies_round_robin_v3_round_robin } from "@weft/xds/gen/envoy/extensions/load_balancing_policies/round_robin/v3/round_robin";
import { file_envoy_extensions_load_balancing_policies_subset_v3_subset } from "@weft/xds/gen/envoy/extensions/load_balancing_policies/subset/v3/subset";
import { file_envoy_extensions_load_balancing_policies_wrr_locality_v3_wrr_locality } from "@weft/xds/gen/envoy/extensions/load_balancing_policies/wrr_locality/v3/wrr_locality";
import { file_envoy_extensions_matching_common_inputs_network_v3_network_inputs } from "@weft/xds/gen/envoy/extensions/matching/common_inputs/network/v3/network_inputs";
import { file_envoy_extensions_network_dns_resolver_cares_v3_cares_dns_resolver } from "@weft/xds/gen/envoy/extensions/network/dns_resolver/cares/v3/cares_dns_resolver";
import { file_envoy_extensions_network_dns_resolver_getaddrinfo_v3_getaddrinfo_dns_resolver } from "@weft/xds/gen/envoy/extensions/network/dns_resolver/getaddrinfo/v3/getaddrinfo_dns_resolver";
import { file_envoy_extensions_path_match_uri_template_v3_uri_template_match } from "@weft/xds/gen/envoy/extensions/path/match/uri_template/v3/uri_template_match";
import { file_envoy_extensions_path_rewrite_uri_template_v3_uri_template_rewrite } from "@weft/xds/gen/envoy/extensions/path/rewrite/uri_template/v3/uri_template_rewrite";
import { file_envoy_extensions_regex_engines_v3_google_re2 } from "@weft/xds/gen/envoy/extensions/regex_engines/v3/google_re2";
import { file_envoy_extensions_request_id_uuid_v3_uuid } from "@weft/xds/gen/envoy/extensions/request_id/uuid/v3/uuid";
import { file_envoy_extensions_retry_host_omit_canary_hosts_v3_omit_canary_hosts } from "@weft/xds/gen/envoy/extensions/retry/host/omit_canary_hosts/v3/omit_canary_hosts";
import { file_envoy_extensions_retry_host_previous_hosts_v3_previous_hosts } from "@weft/xds/gen/envoy/extensions/retry/host/previous_hosts/v3/previous_hosts";
import { file_envoy_extensions_retry_priority_previous_priorities_v3_previous_priorities_config } from "@weft/xds/gen/envoy/extensions/retry/priority/previous_priorities/v3/previous_priorities_config";
import { file_envoy_extensions_transport_sockets_internal_upstream_v3_internal_upstream } from "@weft/xds/gen/envoy/extensions/transport_sockets/internal_upstream/v3/internal_upstream";
import { file_envoy_extensions_transport_sockets_proxy_protocol_v3_upstream_proxy_protocol } from "@weft/xds/gen/envoy/extensions/transport_sockets/proxy_protocol/v3/upstream_proxy_protocol";
import { file_envoy_extensions_transport_sockets_raw_buffer_v3_raw_buffer } from "@weft/xds/gen/envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer";
import { file_envoy_extensions_transport_sockets_tls_v3_secret } from "@weft/xds/gen/envoy/extensions/transport_sockets/tls/v3/secret";
import { file_envoy_extensions_transport_sockets_tls_v3_tls } from "@weft/xds/gen/envoy/extensions/transport_sockets/tls/v3/tls";
import { file_envoy_extensions_upstreams_http_v3_http_protocol_options } from "@weft/xds/gen/envoy/extensions/upstreams/http/v3/http_protocol_options";
import { file_envoy_extensions_upstreams_tcp_v3_tcp_protocol_options } from "@weft/xds/gen/envoy/extensions/upstreams/tcp/v3/tcp_protocol_options";
import { ResourceSchema } from "@weft/xds/gen/envoy/service/discovery/v3/discovery";
import { file_istio_alpn } from "@weft/xds/gen/istio/alpn";
import { file_istio_metadata_exchange } from "@weft/xds/gen/istio/metadata_exchange";
import { file_istio_peer_metadata } from "@weft/xds/gen/istio/peer_metadata";
import { file_istio_stats } from "@weft/xds/gen/istio/stats";
import { file_udpa_type_v1_typed_struct } from "@weft/xds/gen/udpa/type/v1/typed_struct";
import { file_xds_type_v3_typed_struct } from "@weft/xds/gen/xds/type/v3/typed_struct";

const extensionFiles: readonly DescFile[] = [
  file_envoy_extensions_access_loggers_file_v3_file,
  file_envoy_extensions_access_loggers_stream_v3_stream,
  file_envoy_extensions_clusters_aggregate_v3_cluster,
  file_envoy_extensions_filters_common_fault_v3_fault,
  file_envoy_extensions_filters_http_cors_v3_cors,
  file_envoy_extensions_filters_http_fault_v3_fault,
  file_envoy_extensions_filters_http_grpc_stats_v3_config,
  file_envoy_extensions_filters_http_grpc_web_v3_grpc_web,
  file_envoy_extensions_filters_http_header_mutation_v3_header_mutation,
  file_envoy_extensions_filters_http_health_check_v3_health_check,
  file_envoy_extensions_filters_http_rbac_v3_rbac,
  file_envoy_extensions_filters_http_router_v3_router,
  file_envoy_extensions_filters_http_set_filter_state_v3_set_filter_state,
  file_envoy_extensions_filters_listener_http_inspector_v3_http_inspector,
  file_envoy_extensions_filters_listener_original_dst_v3_original_dst,
  file_envoy_extensions_filters_listener_original_src_v3_original_src,
  file_envoy_extensions_filters_listener_proxy_protocol_v3_proxy_protocol,
  file_envoy_extensions_filters_listener_tls_inspector_v3_tls_inspector,
  file_envoy_extensions_filters_network_direct_response_v3_config,
  file_envoy_extensions_filters_network_echo_v3_echo,
  file_envoy_extensions_filters_network_http_connection_manager_v3_http_connection_manager,
  file_envoy_extensions_filters_network_rbac_v3_rbac,
  file_envoy_extensions_filters_network_sni_cluster_v3_sni_cluster,
  file_envoy_extensions_filters_network_tcp_proxy_v3_tcp_proxy,
  file_envoy_extensions_formatter_metadata_v3_metadata,
  file_envoy_extensions_formatter_req_without_query_v3_req_without_query,
  file_envoy_extensions_http_header_formatters_preserve_case_v3_preserve_case,
  file_envoy_extensions_http_original_ip_detection_xff_v3_xff,
  file_envoy_extensions_load_balancing_policies_client_side_weighted_round_robin_v3_client_side_weighted_round_robin,
  file_envoy_extensions_load_balancing_policies_cluster_provided_v3_cluster_provided,
  file_envoy_extensions_load_balancing_policies_least_request_v3_least_request,
  file_envoy_extensions_load_balancing_policies_maglev_v3_maglev,
  file_envoy_extensions_load_balancing_policies_pick_first_v3_pick_first,
  file_envoy_extensions_load_balancing_policies_random_v3_random,
  file_envoy_extensions_load_balancing_policies_ring_hash_v3_ring_hash,
  file_envoy_extensions_load_balancing_policies_round_robin_v3_round_robin,
  file_envoy_extensions_load_balancing_policies_subset_v3_subset,
  file_envoy_extensions_load_balancing_policies_wrr_locality_v3_wrr_locality,
  file_envoy_extensions_matching_common_inputs_network_v3_network_inputs,
  file_envoy_extensions_network_dns_resolver_cares_v3_cares_dns_resolver,
  file_envoy_extensions_network_dns_resolver_getaddrinfo_v3_getaddrinfo_dns_resolver,
  file_envoy_extensions_path_match_uri_template_v3_uri_template_match,
  file_envoy_extensions_path_rewrite_uri_template_v3_uri_template_rewrite,
  file_envoy_extensions_regex_engines_v3_google_re2,
  file_envoy_extensions_request_id_uuid_v3_uuid,
  file_envoy_extensions_retry_host_omit_canary_hosts_v3_omit_canary_hosts,
  file_envoy_extensions_retry_host_previous_hosts_v3_previous_hosts,
  file_envoy_extensions_retry_priority_previous_priorities_v3_previous_priorities_config,
  file_envoy_extensions_transport_sockets_internal_upstream_v3_internal_upstream,
  file_envoy_extensions_transport_sockets_proxy_protocol_v3_upstream_proxy_protocol,
  file_envoy_extensions_transport_sockets_raw_buffer_v3_raw_buffer,
  file_envoy_extensions_transport_sockets_tls_v3_secret,
  file_envoy_extensions_transport_sockets_tls_v3_tls,
  file_envoy_extensions_upstreams_http_v3_http_protocol_options,
  file_envoy_extensions_upstreams_tcp_v3_tcp_protocol_options,
  file_istio_alpn,
  file_istio_metadata_exchange,
  file_istio_peer_metadata,
  file_istio_stats,
  file_udpa_type_v1_typed_struct,
  file_xds_type_v3_typed_struct,
];

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
