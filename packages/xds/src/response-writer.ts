/**
 * Writes discovery responses by hand: each resource becomes its bytes in a response once, and a response is those put
 * one after another. Encoding whole responses anew was most of what a wave of connecting proxies cost.
 */
import type { SnapshotEntry } from "./snapshot.ts";
import type { StreamResponse } from "./stream-messages.ts";

const prefixBytes = 5;
const lengthDelimited = 2;
const any = { typeUrl: 1, value: 2 };
const resource = { version: 1, resource: 2, name: 3, aliases: 4 };
/** Of both responses; `removed` is delta's only. */
const field = { version: 1, resources: 2, typeUrl: 4, nonce: 5, removed: 6 };

type Slices = WeakMap<SnapshotEntry, Uint8Array>;

/** Gives a response as one gRPC message: the flag "not compressed", the length, the bytes. */
export const createResponseWriter = (): ((response: StreamResponse) => Uint8Array) => {
  const slices: Readonly<Record<StreamResponse["mode"], Slices>> = { delta: new WeakMap(), sotw: new WeakMap() };
  const sliceOf = (mode: StreamResponse["mode"], entry: SnapshotEntry): Uint8Array => {
    const known = slices[mode].get(entry);
    if (known) return known;
    const made = mode === "delta" ? deltaSlice(entry, none) : sotwSlice(entry);
    slices[mode].set(entry, made);
    return made;
  };
  return ({ mode, typeUrl, nonce, version, entries, removed, aliases }) => {
    const parts = [
      textField(field.version, version),
      ...entries.map((entry) => (aliases ? deltaSlice(entry, aliases.get(entry.name) ?? none) : sliceOf(mode, entry))),
      textField(field.typeUrl, typeUrl),
      textField(field.nonce, nonce),
      ...removed.map((name) => bytesField(field.removed, Buffer.from(name))),
    ];
    let size = 0;
    for (const part of parts) size += part.length;
    const frame = alone(prefixBytes + size);
    frame[0] = 0;
    frame.writeUInt32BE(size, 1);
    let at = prefixBytes;
    for (const part of parts) {
      frame.set(part, at);
      at += part.length;
    }
    return frame;
  };
};

const none: readonly string[] = [];

/** An Any of a resource as a field of the response. */
const sotwSlice = ({ typeUrl, bytes }: SnapshotEntry): Uint8Array => {
  const size = anySize(typeUrl, bytes);
  const slice = alone(sizeOf(size));
  writeAny(slice, writeHead(slice, 0, field.resources, size), { typeUrl, bytes });
  return slice;
};

/** Delta's Resource as a field of the response, with names that one client asks for it by. */
const deltaSlice = ({ typeUrl, bytes, name, version }: SnapshotEntry, aliases: readonly string[]): Uint8Array => {
  const message = anySize(typeUrl, bytes);
  let size = textSize(version) + sizeOf(message) + textSize(name);
  for (const alias of aliases) size += textSize(alias);
  const slice = alone(sizeOf(size));
  let at = writeHead(slice, 0, field.resources, size);
  at = writeText(slice, at, resource.version, version);
  at = writeHead(slice, at, resource.resource, message);
  at = writeAny(slice, at, { typeUrl, bytes });
  at = writeText(slice, at, resource.name, name);
  for (const alias of aliases) at = writeText(slice, at, resource.aliases, alias);
  return slice;
};

/** What lives long takes no room of a pool, all of which would live as long. */
const alone = (size: number): Buffer => Buffer.allocUnsafeSlow(size);

const anySize = (typeUrl: string, bytes: Uint8Array): number =>
  textSize(typeUrl) + (bytes.length === 0 ? 0 : sizeOf(bytes.length));

const writeAny = (to: Buffer, from: number, { typeUrl, bytes }: Pick<SnapshotEntry, "typeUrl" | "bytes">): number => {
  let at = writeText(to, from, any.typeUrl, typeUrl);
  if (bytes.length === 0) return at;
  at = writeHead(to, at, any.value, bytes.length);
  to.set(bytes, at);
  return at + bytes.length;
};

/** Of a field with its tag and length. */
const sizeOf = (length: number): number => {
  let size = 2 + length;
  for (let rest = length; rest > 0x7f; rest >>>= 7) size++;
  return size;
};

const textSize = (text: string): number => (text === "" ? 0 : sizeOf(Buffer.byteLength(text)));

const writeHead = (to: Buffer, from: number, number: number, length: number): number => {
  let at = from;
  to[at++] = (number << 3) | lengthDelimited;
  let rest = length;
  for (; rest > 0x7f; rest >>>= 7) to[at++] = (rest & 0x7f) | 0x80;
  to[at++] = rest;
  return at;
};

const writeText = (to: Buffer, from: number, number: number, text: string): number => {
  if (text === "") return from;
  const at = writeHead(to, from, number, Buffer.byteLength(text));
  return at + to.write(text, at);
};

const nothing = new Uint8Array(0);

/** An empty text is what a field that is not there reads as. */
const textField = (number: number, text: string): Uint8Array =>
  text === "" ? nothing : bytesField(number, Buffer.from(text));

const bytesField = (number: number, bytes: Uint8Array): Uint8Array => {
  const made = Buffer.allocUnsafe(sizeOf(bytes.length));
  made.set(bytes, writeHead(made, 0, number, bytes.length));
  return made;
};
