/** Jute, ZooKeeper's serialization: big-endian numbers, and texts, buffers and lists behind a length of four bytes. */

/** What a server sent breaks the protocol: nothing that follows on its connection means anything. */
export class ZookeeperFormatError extends Error {
  constructor(problem: string) {
    super(problem);
    this.name = "ZookeeperFormatError";
  }
}

/** Where reading stands in one frame. */
export interface JuteCursor {
  readonly bytes: Buffer;
  at: number;
}

export const cursorOf = (bytes: Buffer): JuteCursor => ({ bytes, at: 0 });

const take = (cursor: JuteCursor, bytes: number): number => {
  const { at } = cursor;
  if (bytes > cursor.bytes.length - at) throw new ZookeeperFormatError("a frame is cut short");
  cursor.at = at + bytes;
  return at;
};

export const readInt = (cursor: JuteCursor): number => cursor.bytes.readInt32BE(take(cursor, 4));
export const readLong = (cursor: JuteCursor): bigint => cursor.bytes.readBigInt64BE(take(cursor, 8));

export const readBool = (cursor: JuteCursor): boolean => {
  const value = cursor.bytes[take(cursor, 1)];
  if (value !== 0 && value !== 1) throw new ZookeeperFormatError(`a truth value is ${value}`);
  return value === 1;
};

/** A view into the frame; what is null on the wire (length -1) is empty here. */
export const readBuffer = (cursor: JuteCursor): Buffer => {
  const length = readInt(cursor);
  if (length === -1) return cursor.bytes.subarray(cursor.at, cursor.at);
  if (length < 0) throw new ZookeeperFormatError(`a length is ${length}`);
  const at = take(cursor, length);
  return cursor.bytes.subarray(at, at + length);
};

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export const readText = (cursor: JuteCursor): string => {
  const bytes = readBuffer(cursor);
  try {
    return utf8.decode(bytes);
  } catch {
    throw new ZookeeperFormatError("a text is not UTF-8");
  }
};

export const readTexts = (cursor: JuteCursor): readonly string[] => {
  const count = readInt(cursor);
  if (count === -1) return [];
  // Each text takes four bytes at least, so that a count alone costs nothing.
  if (count < 0 || count > (cursor.bytes.length - cursor.at) / 4) {
    throw new ZookeeperFormatError(`a list has ${count} entries in ${cursor.bytes.length - cursor.at} bytes`);
  }
  const texts: string[] = [];
  for (let i = 0; i < count; i++) texts.push(readText(cursor));
  return texts;
};

/** Refuses bytes behind the last field. */
export const readEnd = ({ bytes, at }: JuteCursor): void => {
  if (at !== bytes.length) throw new ZookeeperFormatError(`${bytes.length - at} bytes follow a message`);
};

export const int = (value: number): Buffer => {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeInt32BE(value);
  return bytes;
};
export const long = (value: bigint): Buffer => {
  const bytes = Buffer.allocUnsafe(8);
  bytes.writeBigInt64BE(value);
  return bytes;
};
export const bool = (value: boolean): Buffer => Buffer.from([value ? 1 : 0]);
export const buffer = (value: Uint8Array): Buffer => Buffer.concat([int(value.length), value]);
export const text = (value: string): Buffer => buffer(Buffer.from(value));
export const texts = (values: readonly string[]): Buffer => Buffer.concat([int(values.length), ...values.map(text)]);

/** The parts as one frame behind its length. */
export const frame = (...parts: readonly Buffer[]): Buffer => {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  return Buffer.concat([int(length), ...parts]);
};
