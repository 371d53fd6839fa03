/**
 * Resource JSON ⇄ bytes: the only place where either plane touches protobuf. Encoding is canonical (map entries
 * in the order of their keys), because a resource's version is a hash of its bytes and must agree on every replica.
 */
import {
  type DescMessage,
  fromBinary,
  fromJson,
  type JsonObject,
  type JsonValue,
  type Message,
  toBinary,
  toJson,
} from "@bufbuild/protobuf";
import { ClusterSchema } from "@weft/xds/gen/envoy/config/cluster/v3/cluster";
import { ClusterLoadAssignmentSchema } from "@weft/xds/gen/envoy/config/endpoint/v3/endpoint";
import { ListenerSchema } from "@weft/xds/gen/envoy/config/listener/v3/listener";
import { RouteConfigurationSchema } from "@weft/xds/gen/envoy/config/route/v3/route";
import { VirtualHostSchema } from "@weft/xds/gen/envoy/config/route/v3/route_components";
import { SecretSchema } from "@weft/xds/gen/envoy/extensions/transport_sockets/tls/v3/secret";
import { canonicalJson } from "./canonical-json.ts";
import { registry } from "./registry.ts";
import { resourceTypeOfUrl, type SubscribedJson, type SubscribedKind, virtualHostType } from "./resource.ts";
import { lenient, unwrapUnknown, wrapUnknown } from "./unknown-any.ts";

const schemas: { readonly [K in SubscribedKind]: DescMessage } = {
  cluster: ClusterSchema,
  endpoints: ClusterLoadAssignmentSchema,
  listener: ListenerSchema,
  route: RouteConfigurationSchema,
  secret: SecretSchema,
  virtualHost: VirtualHostSchema,
};

/** The descriptor of a kind's message. */
export const resourceSchema = (kind: SubscribedKind): DescMessage => schemas[kind];

/** Any protobuf message from its JSON, canonical bytes. Throws an Error that names what does not fit. */
export const encodeMessage = (desc: DescMessage, json: JsonValue): Uint8Array => {
  const tolerant = lenient(registry);
  const message: Message = fromJson(desc, canonicalJson(json), { registry: tolerant.registry });
  if (tolerant.sawUnknown()) unwrapUnknown(desc, message, registry, tolerant.registry);
  return toBinary(desc, message);
};

/** As `decodeMessage`, which it may do more than. */
export type Decode = (desc: DescMessage, bytes: Uint8Array) => JsonValue;

/** Bytes of any message as canonical JSON. Throws an Error when they are not such a message. */
export const decodeMessage = (desc: DescMessage, bytes: Uint8Array): JsonValue =>
  messageToJson(desc, fromBinary(desc, bytes), false);

/** JSON in the field names of the .proto files (`load_assignment`), as Envoy's admin prints it. */
export const toProtoNames = (desc: DescMessage, json: JsonValue): JsonValue =>
  messageToJson(desc, fromBinary(desc, encodeMessage(desc, json)), true);

const messageToJson = (desc: DescMessage, message: Message, useProtoFieldName: boolean): JsonValue => {
  const tolerant = lenient(registry);
  try {
    return toJson(desc, message, { registry, useProtoFieldName });
  } catch (error) {
    if (!(error instanceof Error) || !error.message.includes("is not in the type registry")) throw error;
    wrapUnknown(desc, message, registry, tolerant.registry);
    return toJson(desc, message, { registry: tolerant.registry, useProtoFieldName });
  }
};

/** A resource's canonical bytes: equal content gives equal bytes, in every process. */
export const encodeResource = <K extends SubscribedKind>(kind: K, json: SubscribedJson[K]): Uint8Array =>
  encodeMessage(schemas[kind], json as JsonValue);

/**
 * A resource's JSON. An Any of a type we do not know stays as { "@type", "value": BASE64 }.
 * Throws an Error for a type URL that is not one of the resource types, and for bytes that do not parse.
 */
export const decodeResource = (
  typeUrl: string,
  bytes: Uint8Array,
  decode: Decode = decodeMessage,
): SubscribedJson[SubscribedKind] => {
  const type = typeUrl === virtualHostType.typeUrl ? virtualHostType : resourceTypeOfUrl(typeUrl);
  if (!type) throw new Error(`${typeUrl} is not a resource type`);
  return decode(schemas[type.kind], bytes) as JsonObject as SubscribedJson[SubscribedKind];
};
