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
    const message = anyOf(entry);
    const made = bytesField(field.resources, mode === "delta" ? envelopeOf(entry, message) : message);
    slices[mode].set(entry, made);
    return made;
  };
  return ({ mode, typeUrl, nonce, version, entries, removed, aliases }) => {
    const parts = [
      textField(field.version, version),
      ...entries.map((entry) => (aliases ? namedSlice(entry, aliases) : sliceOf(mode, entry))),
      textField(field.typeUrl, typeUrl),
      textField(field.nonce, nonce),
      ...removed.map((name) => bytesField(field.removed, Buffer.from(name))),
    ];
    let size = 0;
    for (const part of parts) size += part.length;
    const frame = Buffer.allocUnsafe(prefixBytes + size);
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

const anyOf = ({ typeUrl, bytes }: SnapshotEntry): Uint8Array =>
  Buffer.concat([textField(any.typeUrl, typeUrl), bytes.length === 0 ? nothing : bytesField(any.value, bytes)]);

/** Delta's Resource. */
const envelopeOf = ({ name, version }: SnapshotEntry, message: Uint8Array): Uint8Array =>
  Buffer.concat([
    textField(resource.version, version),
    bytesField(resource.resource, message),
    textField(resource.name, name),
  ]);

/** What one client asks for by names of its own is written for it alone. */
const namedSlice = (entry: SnapshotEntry, aliases: ReadonlyMap<string, readonly string[]>): Uint8Array =>
  bytesField(
    field.resources,
    Buffer.concat([
      envelopeOf(entry, anyOf(entry)),
      ...(aliases.get(entry.name) ?? []).map((alias) => textField(resource.aliases, alias)),
    ]),
  );

const nothing = new Uint8Array(0);

/** An empty text is what a field that is not there reads as. */
const textField = (number: number, text: string): Uint8Array =>
  text === "" ? nothing : bytesField(number, Buffer.from(text));

const bytesField = (number: number, bytes: Uint8Array): Uint8Array => {
  const head = [(number << 3) | lengthDelimited];
  let length = bytes.length;
  for (; length > 0x7f; length >>>= 7) head.push((length & 0x7f) | 0x80);
  head.push(length);
  return Buffer.concat([Buffer.from(head), bytes]);
};
