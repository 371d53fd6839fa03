/** The client status discovery service of the control plane: what every connected proxy was given and how it took it. */
import { ConfigError } from "@weft/core/config-error";
import { grpcStatus } from "@weft/core/grpc-status";
import type { Clock } from "@weft/core/world";
import type { GrpcHandler } from "@weft/net/grpc/calls";
import { type Answer, streamedReplies, unaryReply } from "@weft/net/grpc/replies";
import { GrpcError } from "@weft/net/grpc/status";
import {
  clientConfig,
  decodeStatusRequest,
  encodeStatusResponse,
  fetchClientStatusPath,
  type StatusQuestion,
  streamClientStatusPath,
} from "@weft/xds/client-status";
import type { ConnectedProxy } from "../push/connected-proxy.ts";
import { newestOf } from "./find-proxy.ts";
import { resourceStatuses } from "./proxy-status.ts";
import { type VisibilityOptions, visibilityOf } from "./visibility.ts";

export interface CsdsOptions extends VisibilityOptions {
  readonly proxies: () => readonly ConnectedProxy[];
  readonly clock: Clock;
}

/** Larger answers are refused: the asker may name fewer proxies, or leave the contents out. */
const answerBytesMax = 32 * 1024 * 1024;

/** By path, for the gRPC servers. */
export const csdsHandlers = (options: CsdsOptions): ReadonlyMap<string, GrpcHandler> => {
  const answer: Answer = (bytes, head) => {
    const visible = visibilityOf(head, options);
    const { matches, withoutContents } = question(bytes);
    const asked = newestOf(options.proxies()).filter(({ proxy, node }) => visible(proxy.namespace) && matches(node));
    let size = 0;
    const configs = asked.map((connected) => {
      const resources = resourceStatuses(connected, options.clock, !withoutContents);
      for (const { body } of resources) size += body?.length ?? 0;
      if (size > answerBytesMax) throw tooLarge();
      return clientConfig(connected.node, resources);
    });
    const response = encodeStatusResponse(configs);
    if (response.length > answerBytesMax) throw tooLarge();
    return response;
  };
  return new Map([
    [streamClientStatusPath, streamedReplies(answer)],
    [fetchClientStatusPath, unaryReply(answer)],
  ]);
};

const tooLarge = (): GrpcError =>
  new GrpcError(
    grpcStatus.resourceExhausted,
    `the answer is over ${answerBytesMax} bytes: narrow node_matchers or set exclude_resource_contents`,
  );

const question = (bytes: Uint8Array): StatusQuestion => {
  try {
    return decodeStatusRequest(bytes);
  } catch (cause) {
    const why = cause instanceof ConfigError ? cause.message : "the message is not a client status request";
    throw new GrpcError(grpcStatus.invalidArgument, why, { cause });
  }
};
