/** The bytes of google.protobuf.Struct, as Istio's metadata exchange carries them. Keys are written in order. */
/** Deeper or larger structs are refused: they come from peers. */
const depthMax = 8;
const entriesMax = 512;

type Json = null | number | string | boolean | readonly Json[] | { readonly [key: string]: Json };

const varint = (value: number): number[] => {
  const bytes: number[] = [];
  let rest = value;
  while (rest > 127) {
    bytes.push((rest & 127) | 128);
    rest = Math.floor(rest / 128);
  }
  bytes.push(rest);
  return bytes;
};

const delimited = (field: number, body: Uint8Array): Uint8Array =>
  Buffer.concat([Buffer.from([(field << 3) | 2, ...varint(body.length)]), body]);

const encodeValue = (value: unknown): Uint8Array => {
  switch (typeof value) {
    case "string":
      return delimited(3, Buffer.from(value));
    case "boolean":
      return Buffer.from([(4 << 3) | 0, value ? 1 : 0]);
    case "number": {
      const bytes = Buffer.alloc(9);
      bytes[0] = (2 << 3) | 1;
      bytes.writeDoubleLE(value, 1);
      return bytes;
    }
    case "object":
      if (Array.isArray(value)) {
        return delimited(6, Buffer.concat(value.map((item) => delimited(1, encodeValue(item)))));
      }
      return value === null ? Buffer.from([(1 << 3) | 0, 0]) : delimited(5, encodeStruct(value as object));
    default:
      return Buffer.from([(1 << 3) | 0, 0]);
  }
};

export const encodeStruct = (struct: object): Uint8Array =>
  Buffer.concat(
    Object.entries(struct)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, value]) =>
        delimited(1, Buffer.concat([delimited(1, Buffer.from(key)), delimited(2, encodeValue(value))])),
      ),
  );

interface Field {
  readonly number: number;
  readonly varint: number;
  readonly bytes: Uint8Array;
}

const utf8 = (bytes: Uint8Array): string => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("utf8");

const nothing = new Uint8Array();

/** Reads a message's fields one after another; throws RangeError when the bytes are not a message. */
function* fields(bytes: Uint8Array): Generator<Field> {
  let at = 0;
  const readVarint = (): number => {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = bytes[at++];
      if (byte === undefined) break;
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) return value;
    }
    throw new RangeError("varint");
  };
  const take = (length: number): Uint8Array => {
    if (at + length > bytes.length) throw new RangeError("length");
    at += length;
    return bytes.subarray(at - length, at);
  };
  while (at < bytes.length) {
    const tag = readVarint();
    const number = Math.floor(tag / 8);
    const type = tag % 8;
    if (type === 0) yield { number, varint: readVarint(), bytes: nothing };
    else if (type === 1) yield { number, varint: 0, bytes: take(8) };
    else if (type === 2) yield { number, varint: 0, bytes: take(readVarint()) };
    else if (type === 5) yield { number, varint: 0, bytes: take(4) };
    else throw new RangeError("wire type");
  }
}

interface Budget {
  entries: number;
}

const decodeValue = (bytes: Uint8Array, depth: number, budget: Budget): Json => {
  let value: Json = null;
  for (const field of fields(bytes)) {
    if (field.number === 1) value = null;
    else if (field.number === 2 && field.bytes.length === 8) value = Buffer.from(field.bytes).readDoubleLE(0);
    else if (field.number === 3) value = utf8(field.bytes);
    else if (field.number === 4) value = field.varint !== 0;
    else if (field.number === 5) value = Object.fromEntries(decodeEntries(field.bytes, depth + 1, budget));
    else if (field.number === 6) {
      const list: Json[] = [];
      for (const item of fields(field.bytes)) {
        if (++budget.entries > entriesMax) throw new RangeError("entries");
        if (item.number === 1) list.push(decodeValue(item.bytes, depth + 1, budget));
      }
      value = list;
    }
  }
  return value;
};

const decodeEntries = (bytes: Uint8Array, depth: number, budget: Budget): Map<string, Json> => {
  if (depth > depthMax) throw new RangeError("depth");
  const entries = new Map<string, Json>();
  for (const field of fields(bytes)) {
    if (field.number !== 1) continue;
    if (++budget.entries > entriesMax) throw new RangeError("entries");
    let key = "";
    let value: Json = null;
    for (const part of fields(field.bytes)) {
      if (part.number === 1) key = utf8(part.bytes);
      else if (part.number === 2) value = decodeValue(part.bytes, depth, budget);
    }
    entries.set(key, value);
  }
  return entries;
};

/** A struct's members as a map; `undefined` when the bytes are not a struct or exceed the bounds. */
export const decodeStruct = (bytes: Uint8Array): ReadonlyMap<string, unknown> | undefined => {
  try {
    return decodeEntries(bytes, 0, { entries: 0 });
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
};
