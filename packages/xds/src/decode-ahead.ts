/**
 * Decoding a large response step by step, so that a proxy that serves on the same thread can answer requests in between.
 * What cannot be decoded is left as it came: whoever reads the response says what is wrong with it.
 */
import type { JsonObject } from "@bufbuild/protobuf";
import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { RouteConfigurationSchema } from "@weft/xds/gen/envoy/config/route/v3/route";
import { VirtualHostSchema } from "@weft/xds/gen/envoy/config/route/v3/route_components";
import { type Decode, decodeMessage, decodeResource } from "./codec.ts";
import type { EncodedResource } from "./discovery.ts";
import { type ResourceJson, resourceType, type SubscribedJson, type SubscribedKind } from "./resource.ts";
import type { UnknownFields } from "./unknown-fields.ts";

const virtualHostsField = RouteConfigurationSchema.field.virtualHosts.number;
const routeUrl = resourceType("route").typeUrl;

/** The bytes of the virtual hosts, and those of everything else. */
const split = (bytes: Uint8Array): { readonly hosts: readonly Uint8Array[]; readonly others: Uint8Array } => {
  const reader = new BinaryReader(bytes);
  const others = new BinaryWriter();
  const hosts: Uint8Array[] = [];
  while (reader.pos < reader.len) {
    const [number, type] = reader.tag();
    if (number === virtualHostsField && type === WireType.LengthDelimited) hosts.push(reader.bytes());
    else others.tag(number, type).raw(reader.skip(type, number));
  }
  return { hosts, others: others.finish() };
};

/** A virtual host a step: a table of all services of a mesh is one resource. */
function* decodeRoutes(bytes: Uint8Array, decode: Decode): Generator<undefined, ResourceJson["route"]> {
  const { hosts, others } = split(bytes);
  const virtualHosts: JsonObject[] = [];
  for (const host of hosts) {
    virtualHosts.push(decode(VirtualHostSchema, host) as JsonObject);
    yield;
  }
  const { name, ...rest } = decode(RouteConfigurationSchema, others) as JsonObject;
  // In the order of the fields' numbers, as when decoded in one go.
  return {
    ...(name === undefined ? {} : { name }),
    ...(virtualHosts.length === 0 ? {} : { virtualHosts }),
    ...rest,
  } as ResourceJson["route"];
}

function* decodeOne(resource: EncodedResource, decode: Decode): Generator<undefined, EncodedResource> {
  const { typeUrl, value } = resource;
  if (value === undefined) return resource;
  try {
    const json: SubscribedJson[SubscribedKind] =
      typeUrl === routeUrl ? yield* decodeRoutes(value, decode) : decodeResource(typeUrl, value, decode);
    return { ...resource, json };
  } catch {
    return resource;
  }
}

/** The resources with their JSON beside the bytes. `unknown` hears of fields that nobody here knows. */
export function* decodeAhead(
  resources: readonly EncodedResource[],
  unknown?: UnknownFields,
): Generator<undefined, readonly EncodedResource[]> {
  const decode: Decode = unknown ? (desc, bytes) => unknown.watch(desc, bytes, decodeMessage) : decodeMessage;
  const decoded: EncodedResource[] = [];
  for (const resource of resources) {
    decoded.push(yield* decodeOne(resource, decode));
    yield;
  }
  return decoded;
}
