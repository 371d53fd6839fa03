/** The messages of the discovery service as plain values, and their bytes. */
import { create, fromBinary, type JsonValue, toBinary } from "@bufbuild/protobuf";
import { type Any, AnySchema, type Duration, DurationSchema } from "@bufbuild/protobuf/wkt";
import { type NodeJson, NodeSchema } from "@weft/xds/gen/envoy/config/core/v3/base";
import {
  DeltaDiscoveryRequestSchema,
  DeltaDiscoveryResponseSchema,
  DiscoveryRequestSchema,
  DiscoveryResponseSchema,
  ResourceSchema,
} from "@weft/xds/gen/envoy/service/discovery/v3/discovery";
import { decodeMessage, encodeMessage } from "./codec.ts";
import type { SubscribedJson, SubscribedKind } from "./resource.ts";

/** `google.rpc.Status` as NACKs carry it. */
export interface ErrorDetail {
  readonly code: number;
  readonly message: string;
}

export interface DiscoveryRequest {
  readonly versionInfo: string;
  readonly node: NodeJson | undefined;
  readonly resourceNames: readonly string[];
  readonly typeUrl: string;
  readonly responseNonce: string;
  readonly errorDetail: ErrorDetail | undefined;
}

/** A resource still encoded. State-of-the-world responses name it only when it comes in a Resource envelope. */
export interface EncodedResource {
  readonly name: string;
  readonly version: string;
  readonly typeUrl: string;
  /** Absent in a TTL heartbeat, which repeats name and version only. */
  readonly value: Uint8Array | undefined;
  /** What `value` says, where that was decoded already. */
  readonly json?: SubscribedJson[SubscribedKind];
  /** Gone after so long unless it comes again or a heartbeat does. Absent: it stays. */
  readonly ttlMs?: number;
  /** Other names that it goes by; absent where it has none. */
  readonly aliases?: readonly string[];
}

export interface DiscoveryResponse {
  readonly versionInfo: string;
  readonly resources: readonly EncodedResource[];
  readonly typeUrl: string;
  readonly nonce: string;
  /** Who answers; only written, never read. */
  readonly controlPlaneId?: string;
}

export interface DeltaRequest {
  readonly node: NodeJson | undefined;
  readonly typeUrl: string;
  readonly subscribe: readonly string[];
  readonly unsubscribe: readonly string[];
  readonly initialVersions: ReadonlyMap<string, string>;
  readonly responseNonce: string;
  readonly errorDetail: ErrorDetail | undefined;
}

export interface DeltaResponse {
  readonly systemVersion: string;
  readonly resources: readonly EncodedResource[];
  readonly typeUrl: string;
  readonly removed: readonly string[];
  readonly nonce: string;
  readonly controlPlaneId?: string;
}

export const adsService = "envoy.service.discovery.v3.AggregatedDiscoveryService";
export const adsSotwPath = `/${adsService}/StreamAggregatedResources`;
export const adsDeltaPath = `/${adsService}/DeltaAggregatedResources`;

const nodeMessage = (node: NodeJson | undefined) =>
  node === undefined ? {} : { node: fromBinary(NodeSchema, encodeMessage(NodeSchema, node as JsonValue)) };
const nodeJson = (node: Parameters<typeof toBinary<typeof NodeSchema>>[1] | undefined): NodeJson | undefined =>
  node === undefined ? undefined : (decodeMessage(NodeSchema, toBinary(NodeSchema, node)) as NodeJson);

const status = (detail: ErrorDetail | undefined) =>
  detail === undefined ? {} : { errorDetail: { code: detail.code, message: detail.message } };
const detail = (status: { code: number; message: string } | undefined): ErrorDetail | undefined =>
  status === undefined ? undefined : { code: status.code, message: status.message };

export const encodeDiscoveryRequest = (request: DiscoveryRequest): Uint8Array =>
  toBinary(
    DiscoveryRequestSchema,
    create(DiscoveryRequestSchema, {
      versionInfo: request.versionInfo,
      ...nodeMessage(request.node),
      resourceNames: [...request.resourceNames],
      typeUrl: request.typeUrl,
      responseNonce: request.responseNonce,
      ...status(request.errorDetail),
    }),
  );

/** Throws an Error when the bytes are not such a message, as all decoders here do. */
export const decodeDiscoveryRequest = (bytes: Uint8Array): DiscoveryRequest => {
  const message = fromBinary(DiscoveryRequestSchema, bytes);
  const { versionInfo, resourceNames, typeUrl, responseNonce } = message;
  const errorDetail = detail(message.errorDetail);
  return { versionInfo, node: nodeJson(message.node), resourceNames, typeUrl, responseNonce, errorDetail };
};

const encodeAny = ({ typeUrl, value }: EncodedResource): Any =>
  create(AnySchema, { typeUrl, value: value ?? new Uint8Array(0) });

const controlPlane = ({ controlPlaneId: identifier }: { readonly controlPlaneId?: string }) =>
  identifier === undefined ? {} : { controlPlane: { identifier } };

/** Nanoseconds below a millisecond are lost. A time that is not positive is none. */
const ttlOf = (ttl: Duration | undefined): Pick<EncodedResource, "ttlMs"> => {
  const ttlMs = ttl === undefined ? 0 : Number(ttl.seconds) * 1000 + Math.trunc(ttl.nanos / 1e6);
  return ttlMs > 0 ? { ttlMs } : {};
};

const envelopeOf = (resource: EncodedResource) => {
  const { name, version, value, ttlMs, aliases = [] } = resource;
  const ttl =
    ttlMs === undefined
      ? {}
      : { ttl: create(DurationSchema, { seconds: BigInt(Math.floor(ttlMs / 1000)), nanos: (ttlMs % 1000) * 1e6 }) };
  return create(ResourceSchema, {
    name,
    version,
    aliases: [...aliases],
    ...ttl,
    ...(value ? { resource: encodeAny(resource) } : {}),
  });
};

/** Resources go out bare, the form every client understands, unless only an envelope can say what they say. */
export const encodeDiscoveryResponse = (response: DiscoveryResponse): Uint8Array =>
  toBinary(
    DiscoveryResponseSchema,
    create(DiscoveryResponseSchema, {
      ...response,
      ...controlPlane(response),
      resources: response.resources.map((resource) =>
        resource.value && resource.ttlMs === undefined
          ? encodeAny(resource)
          : create(AnySchema, { typeUrl: envelopeUrl, value: toBinary(ResourceSchema, envelopeOf(resource)) }),
      ),
    }),
  );

const envelopeUrl = `type.googleapis.com/${ResourceSchema.typeName}`;

const decodeAny = ({ typeUrl, value }: Any, version: string): EncodedResource => {
  if (typeUrl !== envelopeUrl) return { name: "", version, typeUrl, value };
  const envelope = fromBinary(ResourceSchema, value);
  const inner = envelope.resource;
  return {
    name: envelope.name,
    version: envelope.version === "" ? version : envelope.version,
    typeUrl: inner?.typeUrl ?? "",
    value: inner?.value,
    ...ttlOf(envelope.ttl),
  };
};

export const decodeDiscoveryResponse = (bytes: Uint8Array): DiscoveryResponse => {
  const { versionInfo, resources, typeUrl, nonce } = fromBinary(DiscoveryResponseSchema, bytes);
  return { versionInfo, resources: resources.map((any) => decodeAny(any, versionInfo)), typeUrl, nonce };
};

export const encodeDeltaRequest = (request: DeltaRequest): Uint8Array =>
  toBinary(
    DeltaDiscoveryRequestSchema,
    create(DeltaDiscoveryRequestSchema, {
      ...nodeMessage(request.node),
      typeUrl: request.typeUrl,
      resourceNamesSubscribe: [...request.subscribe],
      resourceNamesUnsubscribe: [...request.unsubscribe],
      initialResourceVersions: Object.fromEntries(request.initialVersions),
      responseNonce: request.responseNonce,
      ...status(request.errorDetail),
    }),
  );

export const decodeDeltaRequest = (bytes: Uint8Array): DeltaRequest => {
  const message = fromBinary(DeltaDiscoveryRequestSchema, bytes);
  return {
    node: nodeJson(message.node),
    typeUrl: message.typeUrl,
    subscribe: message.resourceNamesSubscribe,
    unsubscribe: message.resourceNamesUnsubscribe,
    initialVersions: new Map(Object.entries(message.initialResourceVersions)),
    responseNonce: message.responseNonce,
    errorDetail: detail(message.errorDetail),
  };
};

export const encodeDeltaResponse = (response: DeltaResponse): Uint8Array =>
  toBinary(
    DeltaDiscoveryResponseSchema,
    create(DeltaDiscoveryResponseSchema, {
      systemVersionInfo: response.systemVersion,
      typeUrl: response.typeUrl,
      nonce: response.nonce,
      ...controlPlane(response),
      removedResources: [...response.removed],
      resources: response.resources.map(envelopeOf),
    }),
  );

export const decodeDeltaResponse = (bytes: Uint8Array): DeltaResponse => {
  const message = fromBinary(DeltaDiscoveryResponseSchema, bytes);
  const resources = message.resources.map(({ name, version, resource, ttl, aliases }) => ({
    name,
    version,
    typeUrl: resource?.typeUrl ?? message.typeUrl,
    value: resource?.value,
    ...ttlOf(ttl),
    ...(aliases.length > 0 ? { aliases } : {}),
  }));
  const { systemVersionInfo: systemVersion, typeUrl, removedResources: removed, nonce } = message;
  return { systemVersion, resources, typeUrl, removed, nonce };
};
