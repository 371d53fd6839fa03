/** The messages of the client status discovery service (CSDS) as plain values, and their bytes. */
import { create, fromBinary, type JsonValue, toBinary } from "@bufbuild/protobuf";
import { AnySchema, timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type ClientResourceStatus,
  type UpdateFailureState,
  UpdateFailureStateSchema,
} from "@weft/xds/gen/envoy/admin/v3/config_dump_shared";
import { type NodeJson, NodeSchema } from "@weft/xds/gen/envoy/config/core/v3/base";
import {
  type ClientConfig,
  ClientConfig_GenericXdsConfigSchema,
  ClientConfigSchema,
  type ClientStatusRequestJson,
  ClientStatusRequestSchema,
  ClientStatusResponseSchema,
  type ConfigStatus,
} from "@weft/xds/gen/envoy/service/status/v3/csds";
import { decodeMessage, encodeMessage } from "./codec.ts";
import { compileNodeMatchers, type NodeTest } from "./node-matcher.ts";

const service = "envoy.service.status.v3.ClientStatusDiscoveryService";
export const streamClientStatusPath = `/${service}/StreamClientStatus`;
export const fetchClientStatusPath = `/${service}/FetchClientStatus`;
export const clientConfigUrl = `type.googleapis.com/${ClientConfigSchema.typeName}`;

export interface StatusQuestion {
  readonly matches: NodeTest;
  /** Names and versions suffice. */
  readonly withoutContents: boolean;
}

/** Throws an Error when the bytes are no such request or a matcher is wrong. */
export const decodeStatusRequest = (bytes: Uint8Array): StatusQuestion => {
  const json = decodeMessage(ClientStatusRequestSchema, bytes) as ClientStatusRequestJson;
  return {
    matches: compileNodeMatchers(json.nodeMatchers ?? []),
    withoutContents: json.excludeResourceContents === true,
  };
};

export interface ResourceStatus {
  readonly typeUrl: string;
  /** Absent where it speaks of the whole type. */
  readonly name?: string;
  readonly version?: string;
  /** The resource's own message. */
  readonly body?: Uint8Array | undefined;
  readonly updatedAtMs?: number | undefined;
  /** What a management server knows of it. */
  readonly configStatus?: ConfigStatus;
  /** What the client itself knows of it. */
  readonly clientStatus?: ClientResourceStatus;
  readonly error?: { readonly details: string; readonly version: string; readonly atMs: number } | undefined;
  readonly isStatic?: boolean;
}

/** One client's status. Times are wall time. */
export const clientConfig = (node: NodeJson, resources: readonly ResourceStatus[]): ClientConfig =>
  create(ClientConfigSchema, {
    node: fromBinary(NodeSchema, encodeMessage(NodeSchema, node as JsonValue)),
    genericXdsConfigs: resources.map((resource) => {
      const { typeUrl, name = "", version = "", body, updatedAtMs, error } = resource;
      const { configStatus = 0, clientStatus = 0, isStatic = false } = resource;
      return create(ClientConfig_GenericXdsConfigSchema, {
        ...{ typeUrl, name, versionInfo: version, configStatus, clientStatus, isStaticResource: isStatic },
        ...(body ? { xdsConfig: create(AnySchema, { typeUrl, value: body }) } : {}),
        ...(updatedAtMs === undefined ? {} : { lastUpdated: timestampFromMs(Math.round(updatedAtMs)) }),
        ...(error ? { errorState: failureState(error) } : {}),
      });
    }),
  });

const failureState = ({ details, version, atMs }: NonNullable<ResourceStatus["error"]>): UpdateFailureState =>
  create(UpdateFailureStateSchema, {
    details,
    versionInfo: version,
    lastUpdateAttempt: timestampFromMs(Math.round(atMs)),
  });

export const encodeClientConfig = (config: ClientConfig): Uint8Array => toBinary(ClientConfigSchema, config);

export const encodeStatusResponse = (configs: readonly ClientConfig[]): Uint8Array =>
  toBinary(ClientStatusResponseSchema, create(ClientStatusResponseSchema, { config: [...configs] }));
