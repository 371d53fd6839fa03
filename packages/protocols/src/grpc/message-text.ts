/** A `grpc-message` field: UTF-8 with everything but printable ASCII, and `%`, percent-encoded (gRPC over HTTP/2). */
export const encodeGrpcMessage = (text: string): string => {
  if (/^[ -$&-~]*$/.test(text)) return keepEnds(text);
  let encoded = "";
  for (const byte of Buffer.from(text, "utf8")) {
    const plain = byte >= 0x20 && byte <= 0x7e && byte !== 0x25;
    encoded += plain ? String.fromCharCode(byte) : percent(byte);
  }
  return keepEnds(encoded);
};

/** The text of a `grpc-message` field. Never fails: what is not a code stands for itself, as the protocol asks. */
export const decodeGrpcMessage = (field: string): string => {
  if (!field.includes("%")) return Buffer.from(field, "latin1").toString("utf8");
  const bytes: number[] = [];
  for (let i = 0; i < field.length; i++) {
    const code = field.slice(i + 1, i + 3);
    if (field[i] === "%" && /^[0-9A-Fa-f]{2}$/.test(code)) {
      bytes.push(Number.parseInt(code, 16));
      i += 2;
    } else {
      bytes.push(field.charCodeAt(i) & 0xff);
    }
  }
  return Buffer.from(bytes).toString("utf8");
};

const percent = (byte: number): string => `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;

// A field value may neither begin nor end with a space (RFC 9110 section 5.5).
const keepEnds = (text: string): string => {
  return text.replace(/^ +| +$/g, (spaces) => "%20".repeat(spaces.length));
};
