/** As much of the discovery messages as a load generator needs: fields are found by their tags, nothing is decoded. */

/** Reads fields of one message between two positions of a buffer. No allocation but for the reader itself. */
export class FieldReader {
  #bytes: Buffer;
  #at: number;
  #end: number;
  /** The field that `next` found; `from` to `to` is the content of a length-delimited one. */
  field = 0;
  from = 0;
  to = 0;
  varint = 0;

  constructor(bytes: Buffer, from: number, to: number) {
    this.#bytes = bytes;
    this.#at = from;
    this.#end = to;
  }

  reset(bytes: Buffer, from: number, to: number): this {
    this.#bytes = bytes;
    this.#at = from;
    this.#end = to;
    return this;
  }

  next(): boolean {
    if (this.#at >= this.#end) return false;
    const tag = this.#number();
    this.field = tag >>> 3;
    switch (tag & 7) {
      case 0:
        this.varint = this.#number();
        return true;
      case 1:
        this.#at += 8;
        return true;
      case 2: {
        const length = this.#number();
        this.from = this.#at;
        this.#at += length;
        this.to = this.#at;
        return true;
      }
      case 5:
        this.#at += 4;
        return true;
      default:
        throw new Error("not a protobuf message");
    }
  }

  /** Larger than 2^53 loses bits, which nothing here has. */
  #number(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.#bytes[this.#at++] ?? 0;
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  }
}

const outer = new FieldReader(Buffer.alloc(0), 0, 0);
const resource = new FieldReader(Buffer.alloc(0), 0, 0);

/** A DeltaDiscoveryResponse as far as an answer to it takes. */
export interface ResponseHead {
  typeUrl: string;
  nonce: string;
  /** Where its resources are: pairs of positions. */
  readonly resources: number[];
}

/** Fills `into`, which is used again for each message. `typeOf` turns the bytes of a type URL into a known string. */
export const readResponse = (
  bytes: Buffer,
  into: ResponseHead,
  typeOf: (bytes: Buffer, from: number, to: number) => string,
): void => {
  into.resources.length = 0;
  outer.reset(bytes, 0, bytes.length);
  while (outer.next()) {
    if (outer.field === 2) into.resources.push(outer.from, outer.to);
    else if (outer.field === 4) into.typeUrl = typeOf(bytes, outer.from, outer.to);
    else if (outer.field === 5) into.nonce = bytes.toString("latin1", outer.from, outer.to);
  }
};

/** Name of the Resource between two positions. */
export const resourceName = (bytes: Buffer, from: number, to: number): string => {
  resource.reset(bytes, from, to);
  while (resource.next()) if (resource.field === 3) return bytes.toString("latin1", resource.from, resource.to);
  return "";
};

/** The largest weight of an endpoint in the Resource between two positions, a ClusterLoadAssignment: its sequence number. */
export const sequenceOf = (bytes: Buffer, from: number, to: number): number => {
  let largest = 0;
  const walk = (path: readonly number[], start: number, end: number): void => {
    const [field, ...rest] = path;
    const reader = new FieldReader(bytes, start, end);
    while (reader.next()) {
      if (reader.field !== field) continue;
      if (rest.length > 0) walk(rest, reader.from, reader.to);
      else largest = Math.max(largest, reader.varint);
    }
  };
  // Resource.resource, Any.value, endpoints, lb_endpoints, load_balancing_weight, UInt32Value.value.
  walk(weightPath, from, to);
  return largest;
};

const weightPath = [2, 2, 2, 2, 4, 1];

const varint = (value: number): number[] => {
  const bytes: number[] = [];
  let rest = value;
  while (rest > 127) {
    bytes.push((rest & 127) | 128);
    rest = Math.floor(rest / 128);
  }
  return [...bytes, rest];
};

const text = (field: number, value: string | Buffer): Buffer => {
  const bytes = typeof value === "string" ? Buffer.from(value) : value;
  return Buffer.concat([Buffer.from([(field << 3) | 2, ...varint(bytes.length)]), bytes]);
};

/** A DeltaDiscoveryRequest. `node` is an encoded Node. */
export const encodeRequest = (request: {
  readonly typeUrl: string;
  readonly node?: Buffer;
  readonly subscribe?: readonly string[];
  readonly nonce?: string;
}): Buffer =>
  Buffer.concat([
    ...(request.node ? [text(1, request.node)] : []),
    text(2, request.typeUrl),
    ...(request.subscribe ?? []).map((name) => text(3, name)),
    ...(request.nonce ? [text(6, request.nonce)] : []),
  ]);

/** A Node with a NAMESPACE in its metadata. */
export const encodeNode = (id: string, namespace: string): Buffer => {
  const value = text(3, namespace);
  const entry = Buffer.concat([text(1, "NAMESPACE"), text(2, value)]);
  return Buffer.concat([text(1, id), text(3, text(1, entry))]);
};
