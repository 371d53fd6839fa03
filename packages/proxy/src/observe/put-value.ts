/** Values as the bytes of a line: written where they will stay, for text that is built first costs twice as much. */
import type { LineOut } from "@weft/core/line-out";

/** What one character of a string takes at most. */
const utf8BytesMax = 3;
/** Longer values are copied by the runtime; shorter ones are faster character by character. */
const byCharacterMax = 160;

/** 1 for what stands for something else within quotation marks, and for all that is not ASCII. */
const special = new Uint8Array(256).map((_, code) =>
  code < 0x20 || code >= 0x7f || code === 0x22 || code === 0x5c ? 1 : 0,
);

/** Control characters of both sets, C1 among them: terminals take 0x9b for the start of a sequence. */
const unsafe = /["\\\p{Cc}]/u;
const unsafeAll = /["\\\p{Cc}]/gu;
const escapeOne = (char: string): string =>
  char === '"' || char === "\\" ? `\\${char}` : `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`;

const upperControls = /[\x7f-\x9f]/g;
const escapeControl = (char: string): string => `\\u00${char.charCodeAt(0).toString(16)}`;

/** Bytes that are known ahead. */
export const putBytes = (out: LineOut, known: Uint8Array): void => {
  const { length } = known;
  out.room(length);
  const { bytes, at } = out;
  for (let i = 0; i < length; i++) bytes[at + i] = known[i] as number;
  out.at = at + length;
};

/** Text as UTF-8. */
export const putText = (out: LineOut, text: string): void => {
  out.room(text.length * utf8BytesMax);
  out.at += out.bytes.write(text, out.at);
};

/** Writes text that needs no escapes; false, and nothing is written, when it does or is long. */
const putPlain = (out: LineOut, text: string): boolean => {
  const { length } = text;
  if (length > byCharacterMax) return false;
  out.room(length);
  const { bytes, at } = out;
  for (let i = 0; i < length; i++) {
    const code = text.charCodeAt(i);
    if (special[code] !== 0) return false;
    bytes[at + i] = code;
  }
  out.at = at + length;
  return true;
};

/** The value as it would be between the quotation marks of a JSON string: it ends neither them nor the line. */
export const putEscaped = (out: LineOut, text: string): void => {
  if (putPlain(out, text)) return;
  putText(out, unsafe.test(text) ? text.replace(unsafeAll, escapeOne) : text);
};

/** A JSON string, with the control characters that JSON lets pass escaped too. */
export const putQuoted = (out: LineOut, text: string): void => {
  out.room(1);
  out.bytes[out.at++] = quote;
  if (!putPlain(out, text)) {
    putText(out, JSON.stringify(text).slice(1, -1).replace(upperControls, escapeControl));
  }
  out.room(1);
  out.bytes[out.at++] = quote;
};

const quote = 0x22;
const zero = 0x30;

/** A number in decimal digits. */
export const putNumber = (out: LineOut, value: number): void => {
  if (value >= smallNumberEnd || value < 0 || (value | 0) !== value) {
    putText(out, String(value));
    return;
  }
  const digits = value < 10 ? 1 : value < 100 ? 2 : value < 1_000 ? 3 : value < 10_000 ? 4 : value < 100_000 ? 5 : 6;
  out.room(digits);
  const { bytes, at } = out;
  let rest = value;
  for (let i = digits - 1; i >= 0; i--) {
    const next = (rest / 10) | 0;
    bytes[at + i] = zero + rest - next * 10;
    rest = next;
  }
  out.at = at + digits;
};

/** More digits than this are the runtime's. */
const smallNumberEnd = 1_000_000;
