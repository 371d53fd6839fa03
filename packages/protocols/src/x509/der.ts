/** Writes DER (X.690): each function gives one whole element, ready to be put inside another. */

export const derTag = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  utf8String: 0x0c,
  printableString: 0x13,
  ia5String: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

const lengthBytes = (length: number): Buffer => {
  if (length < 0x80) return Buffer.from([length]);
  const bytes: number[] = [];
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256);
  return Buffer.from([0x80 | bytes.length, ...bytes]);
};

/** An element of that tag around the given contents. */
export const element = (tag: number, ...contents: readonly Uint8Array[]): Buffer => {
  const length = contents.reduce((sum, part) => sum + part.length, 0);
  return Buffer.concat([Buffer.from([tag]), lengthBytes(length), ...contents]);
};

export const sequence = (...elements: readonly Uint8Array[]): Buffer => element(derTag.sequence, ...elements);

/** The elements in the order of their bytes, as DER wants a SET OF. */
export const setOf = (...elements: readonly Buffer[]): Buffer =>
  element(derTag.set, ...[...elements].sort(Buffer.compare));

/** A context-specific element: constructed around elements, or primitive with bytes of its own. */
export const context = (
  number: number,
  form: "constructed" | "primitive",
  ...contents: readonly Uint8Array[]
): Buffer => element(0x80 | (form === "constructed" ? 0x20 : 0) | number, ...contents);

/** A non-negative integer from its big-endian bytes, written as short as it can be. */
export const integer = (bytes: Uint8Array): Buffer => {
  let start = 0;
  while (start < bytes.length - 1 && bytes[start] === 0) start++;
  const content = bytes.subarray(start);
  const negative = content.length === 0 || (content[0] as number) >= 0x80;
  return element(derTag.integer, negative ? Buffer.concat([Buffer.from([0]), content]) : content);
};

export const boolean = (value: boolean): Buffer => element(derTag.boolean, Buffer.from([value ? 0xff : 0]));

const base128 = (value: number): number[] => {
  const bytes = [value & 0x7f];
  for (let rest = Math.floor(value / 128); rest > 0; rest = Math.floor(rest / 128)) bytes.unshift(0x80 | (rest & 0x7f));
  return bytes;
};

/** From dotted numbers. */
export const oid = (dotted: string): Buffer => {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  return element(derTag.oid, Buffer.from([...base128(first * 40 + second), ...rest.flatMap(base128)]));
};

/** Whole bytes, no unused bits. */
export const bitString = (bytes: Uint8Array): Buffer => element(derTag.bitString, Buffer.from([0]), bytes);

/** A named bit list: the given bits are set, trailing zero bits left out. */
export const namedBits = (...bits: readonly number[]): Buffer => {
  const highest = Math.max(-1, ...bits);
  const bytes = Buffer.alloc(Math.floor(highest / 8) + 1);
  for (const bit of bits) bytes[bit >> 3] = (bytes[bit >> 3] as number) | (0x80 >> (bit & 7));
  return element(derTag.bitString, Buffer.from([highest < 0 ? 0 : 7 - (highest & 7)]), bytes);
};

export const octetString = (bytes: Uint8Array): Buffer => element(derTag.octetString, bytes);
export const utf8String = (text: string): Buffer => element(derTag.utf8String, Buffer.from(text, "utf8"));

/** To the second; as RFC 5280 section 4.1.2.5 wants it, UTCTime until 2049. */
export const time = (ms: number): Buffer => {
  const digits = new Date(ms).toISOString().replace(/\.\d+/, "").replace(/[-:T]/g, "");
  const year = Number(digits.slice(0, 4));
  return year >= 1950 && year < 2050
    ? element(derTag.utcTime, Buffer.from(digits.slice(2), "latin1"))
    : element(derTag.generalizedTime, Buffer.from(digits, "latin1"));
};
