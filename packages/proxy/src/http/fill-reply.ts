import { encodeGrpcMessage } from "@weft/protocols/grpc/message-text";
import { GRPC_STATUS, grpcStatusOfHttp } from "@weft/protocols/grpc/status";
import type { ResponseHead } from "@weft/protocols/http/head";
import type { LocalReply } from "./exchange.ts";
import type { HttpExchange } from "./http-exchange.ts";
import { editOwnResponse, tellAttempts } from "./response-headers.ts";
import type { ServerStream } from "./streams.ts";

/** The texts of a reply: what was written for it, and its body where that is not text. */
export interface ReplyText {
  readonly reply: LocalReply;
  readonly body: Uint8Array | undefined;
}

const textOf = (said: string | Uint8Array): string => (typeof said === "string" ? said : Buffer.from(said).toString());

/** Makes `head` the head of an answer of our own and gives its body; `undefined` where the head says all, to gRPC. */
export const fillReply = (
  exchange: HttpExchange,
  head: ResponseHead,
  { reply, body }: ReplyText,
  grpc: boolean,
): Uint8Array | undefined => {
  const { headers } = head;
  headers.clear();
  // Header formats may ask for the status.
  head.status = reply.status;
  if (reply.untouched !== true) editOwnResponse(exchange, headers);
  for (const [name, value] of reply.headers ?? []) headers.add(name, value);
  if (reply.afterTries) tellAttempts(exchange, headers);
  const rewritten = exchange.settings?.rewriteReply?.(exchange, body ?? reply.body);
  const said = rewritten?.body ?? body ?? reply.body;
  if (grpc) {
    // An answer that is no gRPC answer is none to a gRPC caller, even with 200.
    exchange.grpcStatus =
      reply.grpcStatus ?? (head.status === 200 ? GRPC_STATUS.unknown : grpcStatusOfHttp(head.status));
    head.status = 200;
    headers.set("content-type", "application/grpc");
    headers.set("grpc-status", String(exchange.grpcStatus));
    const message = textOf(said).trimEnd();
    if (message !== "") headers.set("grpc-message", encodeGrpcMessage(message));
    return undefined;
  }
  if (rewritten !== undefined && said.length > 0) headers.set("content-type", rewritten.contentType);
  return typeof said === "string" ? Buffer.from(said) : said;
};

/** Sends a filled head and its body. */
export const writeOwn = (exchange: HttpExchange, stream: ServerStream, head: ResponseHead, bytes: Uint8Array): void => {
  const { headers, status } = head;
  const bodiless = status < 200 || status === 204 || status === 304;
  if (bytes.length > 0) {
    headers.set("content-length", String(bytes.length));
    if (!headers.has("content-type")) headers.add("content-type", "text/plain");
  } else if (!bodiless && exchange.protocol !== "HTTP/2") headers.set("content-length", "0");
  const empty = bytes.length === 0 || bodiless || exchange.request.method === "HEAD";
  exchange.writeHead(head, empty);
  if (!empty) {
    exchange.responseBodyBytes = bytes.length;
    stream.writeData(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
    stream.writeEnd();
  }
  exchange.finish();
};
