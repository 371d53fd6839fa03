/** The client status discovery service of the sidecar: each resource it was given or waits for, and what became of it. */
import { ConfigError } from "@weft/core/config-error";
import { grpcStatus } from "@weft/core/grpc-status";
import type { GrpcHandler } from "@weft/net/grpc/calls";
import { type Answer, streamedReplies, unaryReply } from "@weft/net/grpc/replies";
import { GrpcError } from "@weft/net/grpc/status";
import {
  clientConfig,
  decodeStatusRequest,
  encodeStatusResponse,
  fetchClientStatusPath,
  type ResourceStatus,
  type StatusQuestion,
  streamClientStatusPath,
} from "@weft/xds/client-status";
import { encodeResource } from "@weft/xds/codec";
import { ClientResourceStatus } from "@weft/xds/gen/envoy/admin/v3/config_dump_shared";
import type { NodeJson } from "@weft/xds/gen/envoy/config/core/v3/base";
import { type ResourceKind, resourceType, resourceTypes } from "@weft/xds/resource";
import { redact } from "../admin/redact.ts";
import type { HeldResource } from "./held-resource.ts";
import type { ResourceEntry, ResourceStore } from "./resource-store.ts";

export interface StatusSource {
  readonly node: NodeJson;
  readonly store: Pick<ResourceStore, "entries" | "wants" | "isAbsent">;
}

/** By path. `source` is asked for every call; UNAVAILABLE while there is none. */
export const statusHandlers = (source: () => StatusSource | undefined): ReadonlyMap<string, GrpcHandler> => {
  const answer: Answer = (bytes) => {
    const { matches, withoutContents } = question(bytes);
    const current = source();
    if (!current) throw new GrpcError(grpcStatus.unavailable, "the sidecar is starting");
    const { node, store } = current;
    return encodeStatusResponse(matches(node) ? [clientConfig(node, statuses(store, !withoutContents))] : []);
  };
  return new Map([
    [streamClientStatusPath, streamedReplies(answer)],
    [fetchClientStatusPath, unaryReply(answer)],
  ]);
};

const question = (bytes: Uint8Array): StatusQuestion => {
  try {
    return decodeStatusRequest(bytes);
  } catch (cause) {
    const why = cause instanceof ConfigError ? cause.message : "the message is not a client status request";
    throw new GrpcError(grpcStatus.invalidArgument, why, { cause });
  }
};

const statuses = (store: StatusSource["store"], withContents: boolean): readonly ResourceStatus[] => {
  const wants = store.wants();
  return resourceTypes.flatMap(({ kind, typeUrl }): ResourceStatus[] => {
    const entries = store.entries(kind);
    const given = [...entries].map(([name, entry]) => statusOf(kind, name, entry, withContents));
    const names = wants.flatMap((want) => (want.of === kind ? [...want.names] : []));
    const missing = [...new Set(names)].filter((name) => !isGiven(entries.get(name)));
    return [
      ...given,
      ...missing.map((name) => ({
        typeUrl,
        name,
        clientStatus: store.isAbsent(kind, name) ? ClientResourceStatus.DOES_NOT_EXIST : ClientResourceStatus.REQUESTED,
      })),
    ];
  });
};

const isGiven = (entry: ResourceEntry | undefined): boolean =>
  (entry?.active ?? entry?.warming ?? entry?.error) !== undefined;

const statusOf = (kind: ResourceKind, name: string, entry: ResourceEntry, withContents: boolean): ResourceStatus => {
  const { active, warming, error } = entry;
  const held = warming ?? active;
  return {
    typeUrl: resourceType(kind).typeUrl,
    name,
    version: held?.version ?? "",
    body: held && withContents ? bodyOf(kind, held) : undefined,
    updatedAtMs: held?.atMs,
    clientStatus: error ? ClientResourceStatus.NACKED : ClientResourceStatus.ACKED,
    error: error && { details: error.reason, version: error.version, atMs: error.atMs },
    isStatic: held?.source === "static",
  };
};

/** Without keys. */
const bodyOf = (kind: ResourceKind, { json }: HeldResource): Uint8Array => encodeResource(kind, redact(json) as never);
