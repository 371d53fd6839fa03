/**
 * Domain names (RFC 1035 §3.1): text with dots and without the root's, labels on the wire. A byte of a label that is
 * no printable ASCII, a dot or a backslash is written `\DDD`, so that every name has one text.
 */

const labelBytesMax = 63;
/** With length bytes and the root's. */
export const nameBytesMax = 255;
const pointerBits = 0xc0;
/** As many as a name can have labels; whoever leads from one to the next more often has nothing to say. */
const pointersMax = 127;
const dot = 0x2e;
const backslash = 0x5c;

/** The message cannot be read, or a name cannot be written. */
export class DnsFormatError extends Error {}

const labelText = (bytes: Uint8Array): string => {
  let text = "";
  for (const byte of bytes) {
    const plain = byte > 0x20 && byte < 0x7f && byte !== dot && byte !== backslash;
    text += plain ? String.fromCharCode(byte) : `\\${String(byte).padStart(3, "0")}`;
  }
  return text;
};

const labelBytes = (text: string): Uint8Array => {
  const bytes: number[] = [];
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code > 0xff) throw new DnsFormatError(`"${text}" is not a label of bytes`);
    if (code !== backslash) {
      bytes.push(code);
      continue;
    }
    const digits = /^\d{3}/.exec(text.slice(at + 1))?.[0];
    if (digits === undefined || Number(digits) > 255) throw new DnsFormatError(`"${text}" has a stray backslash`);
    bytes.push(Number(digits));
    at += 3;
  }
  if (bytes.length === 0 || bytes.length > labelBytesMax) {
    throw new DnsFormatError(`a label of ${bytes.length} bytes in "${text}"`);
  }
  return Uint8Array.from(bytes);
};

/** The labels of a name as bytes; throws DnsFormatError for what is no name. */
export const nameLabels = (name: string): readonly Uint8Array[] => {
  const relative = name.endsWith(".") ? name.slice(0, -1) : name;
  if (relative === "") return [];
  const labels = relative.split(".").map(labelBytes);
  const total = labels.reduce((sum, { length }) => sum + length + 1, 1);
  if (total > nameBytesMax) throw new DnsFormatError(`a name of ${total} bytes`);
  return labels;
};

/** Whether it could stand on the wire. */
export const isDnsName = (name: string): boolean => {
  try {
    return nameLabels(name).length > 0;
  } catch {
    return false;
  }
};

const asciiOnly = /^[\x00-\x7f]*$/;

/** The text by which names are compared (RFC 4343): case and the root's dot are nothing. */
export const nameKey = (name: string): string => {
  const lower = asciiOnly.test(name) ? name.toLowerCase() : name.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
  return lower.endsWith(".") ? lower.slice(0, -1) : lower;
};

interface KnownName {
  readonly text: string;
  /** With length bytes and the root's. */
  readonly total: number;
  /** Pointers that lead to its end. */
  readonly pointers: number;
}

/** Names of one message by where they begin, so that however many pointers lead to one it is read once. */
export type KnownNames = Map<number, KnownName>;

interface ReadName extends KnownName {
  readonly next: number;
}

/** Pointers have to lead to bytes before `from`. */
const nameFrom = (bytes: Uint8Array, from: number, depth: number, known: KnownNames): ReadName => {
  let text = "";
  let at = from;
  let total = 1;
  for (;;) {
    const length = bytes[at];
    if (length === undefined) throw new DnsFormatError("a name is cut short");
    if (length === 0) return { text, total, pointers: 0, next: at + 1 };
    if ((length & pointerBits) === pointerBits) {
      const low = bytes[at + 1];
      if (low === undefined) throw new DnsFormatError("a pointer is cut short");
      const target = ((length & ~pointerBits) << 8) | low;
      if (target >= from) throw new DnsFormatError("a pointer does not lead back");
      const rest = known.get(target) ?? pointedTo(bytes, target, depth + 1, known);
      total += rest.total - 1;
      if (total > nameBytesMax) throw new DnsFormatError("a name is too long");
      const pointers = rest.pointers + 1;
      if (pointers > pointersMax) throw new DnsFormatError("a name is led on too often");
      const dotted = text === "" || rest.text === "" ? text + rest.text : `${text}.${rest.text}`;
      return { text: dotted, total, pointers, next: at + 2 };
    }
    if (length > labelBytesMax) throw new DnsFormatError("a label of an unknown kind");
    const end = at + 1 + length;
    if (end > bytes.length) throw new DnsFormatError("a label is cut short");
    total += length + 1;
    if (total > nameBytesMax) throw new DnsFormatError("a name is too long");
    const label = labelText(bytes.subarray(at + 1, end));
    text = text === "" ? label : `${text}.${label}`;
    at = end;
  }
};

const pointedTo = (bytes: Uint8Array, at: number, depth: number, known: KnownNames): KnownName => {
  if (depth > pointersMax) throw new DnsFormatError("a name is led on too often");
  const name = nameFrom(bytes, at, depth, known);
  known.set(at, name);
  return name;
};

/**
 * Reads the name at an offset; `next` is behind its bytes there. A pointer may only lead to bytes before the place it
 * stands in, so that no chain of them has a circle.
 */
export const readName = (
  bytes: Uint8Array,
  from: number,
  known: KnownNames = new Map(),
): { readonly name: string; readonly next: number } => {
  const { text, next } = nameFrom(bytes, from, 0, known);
  return { name: text, next };
};
