/** gRPC methods that answer each message with one: the unary form, and a stream of questions and answers. */
import { grpcStatus } from "@weft/core/grpc-status";
import type { BidiCall, GrpcCallHead, GrpcHandler } from "./calls.ts";
import { frameMessage } from "./message-reader.ts";
import { GrpcError } from "./status.ts";

/** May throw GrpcError, which ends the call. */
export type Answer = (request: Uint8Array, head: GrpcCallHead) => Uint8Array;

export const unaryReply = (answer: Answer): GrpcHandler => ({
  kind: "unary",
  handle: async (request, head) => answer(request, head),
});

/** Who asks again without reading the last answer is sent away: nothing is kept for it. */
export const streamedReplies = (answer: Answer): GrpcHandler => ({
  kind: "bidi",
  open: (call: BidiCall) => {
    let full = false;
    return {
      message(bytes) {
        if (full) throw new GrpcError(grpcStatus.resourceExhausted, "the last answer is not read yet");
        full = !call.send(frameMessage(answer(bytes, call)));
      },
      drained() {
        full = false;
      },
      halfClosed: () => call.end(grpcStatus.ok),
      closed() {},
    };
  },
});
