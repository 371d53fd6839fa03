/** Requests that a server stream cannot go on with. */
import type { StreamMode, StreamRequest } from "./stream-messages.ts";
import { namesMax, type TypeState } from "./type-state.ts";

const typesMax = 32;
const invalidArgument = 3;
const resourceExhausted = 8;

/** The gRPC status to end the stream with, and why; `undefined` for a request that is in order. */
export const refusalOf = (
  request: StreamRequest,
  mode: StreamMode,
  types: ReadonlyMap<string, TypeState>,
  identified: boolean,
): readonly [status: number, message: string] | undefined => {
  if (!identified && !request.node?.id) return [invalidArgument, "the first request of a stream must have node.id"];
  if (request.mode !== mode) return [invalidArgument, "a request of the other protocol"];
  if (request.typeUrl === "") return [invalidArgument, "type_url is missing"];
  if (types.size >= typesMax && !types.has(request.typeUrl)) return [resourceExhausted, "too many resource types"];
  const names = request.mode === "sotw" ? request.names.length : request.subscribe.length;
  const held = request.mode === "sotw" ? 0 : (types.get(request.typeUrl)?.names.size ?? 0);
  return names + held > namesMax ? [resourceExhausted, "too many resource names"] : undefined;
};
