/** A call that does not end with status 0: a server throws it to refuse, a client is given it. */
export class GrpcError extends Error {
  readonly status: number;
  constructor(status: number, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = "GrpcError";
    this.status = status;
  }
}

/** What a peer is told of an error at most. */
const messageCharsMax = 2048;

/** Percent-encodes a message for the `grpc-message` trailer: printable ASCII without the percent sign stays. */
export const encodeGrpcMessage = (message: string): string => {
  let text = "";
  for (const byte of Buffer.from(message.slice(0, messageCharsMax), "utf8")) {
    const plain = byte >= 0x20 && byte <= 0x7e && byte !== 0x25;
    text += plain ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return text;
};
