/** Byte classes of RFC 9110 and RFC 9112 as tables: one load per byte is what the decoders' loops cost. */

const table = (value: (byte: number) => number): Uint8Array =>
  Uint8Array.from({ length: 256 }, (_, byte) => value(byte));

const isDigit = (byte: number): boolean => byte >= 0x30 && byte <= 0x39;
const isUpper = (byte: number): boolean => byte >= 0x41 && byte <= 0x5a;
const isLower = (byte: number): boolean => byte >= 0x61 && byte <= 0x7a;
const isAlphanumeric = (byte: number): boolean => isDigit(byte) || isUpper(byte) || isLower(byte);
const among = (characters: string, byte: number): boolean => characters.includes(String.fromCharCode(byte));

/** The lower-case form of a token byte (RFC 9110 section 5.6.2), 0 for any other byte. */
export const tokenLower = table((byte) => {
  if (isUpper(byte)) return byte | 0x20;
  return isAlphanumeric(byte) || among("!#$%&'*+-.^_`|~", byte) ? byte : 0;
});

/** 1 for what a field value may hold inside: HTAB, SP, VCHAR, obs-text. */
export const fieldByte = table((byte) => (byte === 0x09 || (byte >= 0x20 && byte !== 0x7f) ? 1 : 0));

/** 1 for what a request target may hold: visible ASCII but `#`, which never goes over the wire. */
export const targetByte = table((byte) => (byte > 0x20 && byte < 0x7f && byte !== 0x23 ? 1 : 0));

/** 1 for what a host name or IPv4 address may hold. Without percent-encoding and sub-delims: readers differ there. */
export const hostByte = table((byte) => (isAlphanumeric(byte) || among("-._~", byte) ? 1 : 0));

/** The value of a hexadecimal digit, 255 for any other byte. */
export const hexValue = table((byte) => {
  if (isDigit(byte)) return byte - 0x30;
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x61 + 10 : 255;
});

export const cr = 0x0d;
export const lf = 0x0a;
export const space = 0x20;
export const tab = 0x09;
export const colon = 0x3a;

interface Latin1Buffer extends Buffer {
  latin1Slice(start: number, end: number): string;
}

/** The bytes [start, end) as a string of as many characters: `toString` without its checks. */
export const latin1 = (bytes: Buffer, start: number, end: number): string =>
  (bytes as Latin1Buffer).latin1Slice(start, end);
