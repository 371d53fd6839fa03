import type { RequestHead, ResponseHead } from "../http/head.ts";
import { encodeGrpcMessage } from "./message-text.ts";

/** True for `application/grpc` with any message format or parameter behind it, not for gRPC-Web. */
export const isGrpcContentType = (value: string | undefined): boolean => {
  if (value === undefined || !value.startsWith("application/grpc")) return false;
  const next = value[16];
  return next === undefined || next === "+" || next === ";" || next === " ";
};

/** True when the caller speaks gRPC, so that it must be answered in gRPC. */
export const isGrpcRequest = (head: RequestHead): boolean => isGrpcContentType(head.headers.get("content-type"));

/** Makes `head` a whole gRPC answer without messages ("Trailers-Only"): to be sent with the end of the stream. */
export const fillTrailersOnly = (head: ResponseHead, grpcStatus: number, message: string): void => {
  head.status = 200;
  head.headers.set("content-type", "application/grpc");
  head.headers.set("grpc-status", String(grpcStatus));
  if (message !== "") head.headers.set("grpc-message", encodeGrpcMessage(message));
};
