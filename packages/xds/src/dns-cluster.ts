/**
 * `envoy.extensions.clusters.dns.v3.DnsCluster`, which the API files we generate from do not have yet: its fields as
 * they are on the wire, and its JSON.
 */
import { create, createFileRegistry, type DescFile } from "@bufbuild/protobuf";
import {
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  FileDescriptorProtoSchema,
  file_google_protobuf_duration,
} from "@bufbuild/protobuf/wkt";
import { fileOf } from "@weft/xds/gen/descriptors";
import type { TypedExtensionConfigJson } from "@weft/xds/gen/envoy/config/core/v3/extension";

export interface DnsClusterJson {
  readonly dnsRefreshRate?: string;
  readonly dnsFailureRefreshRate?: { readonly baseInterval?: string; readonly maxInterval?: string };
  readonly respectDnsTtl?: boolean;
  readonly dnsJitter?: string;
  readonly typedDnsResolverConfig?: TypedExtensionConfigJson;
  readonly dnsLookupFamily?: string;
  readonly allAddressesInSingleEndpoint?: boolean;
  readonly dnsMinRefreshRate?: string;
}

const camel = (name: string): string => name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());

const field = (name: string, number: number, type: FieldDescriptorProto_Type, typeName = "") => ({
  ...{ name, number, type, typeName, jsonName: camel(name) },
  label: FieldDescriptorProto_Label.OPTIONAL,
});

const { MESSAGE, ENUM, BOOL } = FieldDescriptorProto_Type;
const duration = ".google.protobuf.Duration";
const scope = ".envoy.extensions.clusters.dns.v3.DnsCluster";

const file = create(FileDescriptorProtoSchema, {
  name: "envoy/extensions/clusters/dns/v3/dns_cluster.proto",
  package: "envoy.extensions.clusters.dns.v3",
  syntax: "proto3",
  dependency: ["google/protobuf/duration.proto", "envoy/config/core/v3/extension.proto"],
  messageType: [
    {
      name: "DnsCluster",
      field: [
        field("dns_refresh_rate", 3, MESSAGE, duration),
        field("dns_failure_refresh_rate", 4, MESSAGE, `${scope}.RefreshRate`),
        field("respect_dns_ttl", 5, BOOL),
        field("dns_jitter", 6, MESSAGE, duration),
        field("typed_dns_resolver_config", 7, MESSAGE, ".envoy.config.core.v3.TypedExtensionConfig"),
        field("dns_lookup_family", 8, ENUM, `${scope}.DnsLookupFamily`),
        field("all_addresses_in_single_endpoint", 9, BOOL),
        field("dns_min_refresh_rate", 10, MESSAGE, duration),
      ],
      nestedType: [
        {
          name: "RefreshRate",
          field: [field("base_interval", 1, MESSAGE, duration), field("max_interval", 2, MESSAGE, duration)],
        },
      ],
      // It stands in a file of its own in the API; neither bytes nor JSON tell the difference.
      enumType: [
        {
          name: "DnsLookupFamily",
          value: ["UNSPECIFIED", "AUTO", "V4_ONLY", "V6_ONLY", "V4_PREFERRED", "ALL"].map((name, number) => ({
            name,
            number,
          })),
        },
      ],
    },
  ],
});

const known = new Map<string, DescFile>([
  ["google/protobuf/duration.proto", file_google_protobuf_duration],
  ["envoy/config/core/v3/extension.proto", fileOf("envoy/config/core/v3/extension.proto")],
]);

/** The file's descriptor, for the registry. */
export const dnsClusterFile = createFileRegistry(file, (name) => known.get(name)).getFile(file.name) as DescFile;
