/** gRPC-Web bodies (PROTOCOL-WEB): base64 where the client asked for text, and trailers as the last frame of the body. */
import type { HeaderList } from "../http/headers.ts";
import { GRPC_PREFIX_BYTES } from "./frames.ts";

const TYPE = "application/grpc-web";
const TEXT_TYPE = "application/grpc-web-text";
/** The flag of the frame that holds trailers. */
const TRAILERS_FLAG = 0x80;
const QUANTUM = 4;
const NONE = Buffer.alloc(0);
const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;

/** What a gRPC-Web content type says; `undefined` for any other. */
export const grpcWebType = (
  contentType: string | undefined,
): { readonly text: boolean; readonly suffix: string } | undefined => {
  if (contentType === undefined || !contentType.startsWith(TYPE)) return undefined;
  const text = contentType.startsWith(TEXT_TYPE);
  const rest = contentType.slice((text ? TEXT_TYPE : TYPE).length);
  const suffix = /^(\+[a-z0-9]+)?(?:\s*;.*)?$/.exec(rest);
  return suffix === null ? undefined : { text, suffix: suffix[1] ?? "" };
};

/** The content type of an answer; Envoy names the format even where the client did not. */
export const grpcWebContentType = (text: boolean): string => `${text ? TEXT_TYPE : TYPE}+proto`;

/** Decodes base64 that comes in pieces, with padding at the end of any of its parts. Holds at most three characters. */
export class Base64Stream {
  private held = "";

  /** The bytes that are whole with this chunk; `undefined` when it is not base64. */
  receive(chunk: Buffer): Buffer | undefined {
    const text = this.held + chunk.toString("latin1");
    const whole = text.length - (text.length % QUANTUM);
    this.held = text.slice(whole);
    const parts: Buffer[] = [];
    for (let at = 0; at < whole; ) {
      const pad = text.indexOf("=", at);
      const end = pad < 0 || pad >= whole ? whole : pad - (pad % QUANTUM) + QUANTUM;
      const part = text.slice(at, end);
      if (!BASE64.test(part)) return undefined;
      parts.push(Buffer.from(part, "base64"));
      at = end;
    }
    return parts.length === 1 ? parts[0] : parts.length === 0 ? NONE : Buffer.concat(parts);
  }

  /** True when nothing is left over. */
  end(): boolean {
    return this.held === "";
  }
}

/** Trailers as the frame that ends a gRPC-Web body. */
export const encodeTrailersFrame = (trailers: HeaderList): Buffer => {
  let text = "";
  for (let i = 0; i < trailers.size; i++) text += `${trailers.nameAt(i)}:${trailers.valueAt(i)}\r\n`;
  const frame = Buffer.allocUnsafe(GRPC_PREFIX_BYTES + text.length);
  frame[0] = TRAILERS_FLAG;
  frame.writeUInt32BE(text.length, 1);
  frame.write(text, GRPC_PREFIX_BYTES, "latin1");
  return frame;
};

/** One call's bodies between a gRPC-Web client and a gRPC server. */
export class GrpcWebBodies {
  /** False where the answer is no gRPC: it passes as it is. */
  answersGrpc = true;
  readonly textAnswer: boolean;
  private readonly decoder: Base64Stream | undefined;

  constructor(format: { readonly textRequest: boolean; readonly textAnswer: boolean }) {
    this.decoder = format.textRequest ? new Base64Stream() : undefined;
    this.textAnswer = format.textAnswer;
  }

  /** Body bytes of the client for the server; `undefined` when they are not what they were said to be. */
  request(bytes: Buffer): Buffer | undefined {
    return this.decoder === undefined ? bytes : this.decoder.receive(bytes);
  }
  /** Whether the client's body ended where it may. */
  requestEnd(): boolean {
    return this.decoder?.end() ?? true;
  }
  /** Body bytes of the server for the client. */
  response(bytes: Buffer): Buffer {
    return this.answersGrpc && this.textAnswer ? Buffer.from(bytes.toString("base64"), "latin1") : bytes;
  }
  /** The last of the body in place of trailers; `undefined` where trailers stay trailers. */
  trailers(trailers: HeaderList): Buffer | undefined {
    return this.answersGrpc ? this.response(encodeTrailersFrame(trailers)) : undefined;
  }
}
