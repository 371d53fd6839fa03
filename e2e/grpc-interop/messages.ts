/** The messages of gRPC's interop service (grpc/testing/messages.proto), as far as its cases use them, written by hand. */

/** A field's value: a number as varint, bytes with their length. */
type Value = number | Buffer;
type Field = readonly [number: number, value: Value];

const varint = (value: number): Buffer => {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  return Buffer.from([...bytes, rest]);
};

export const encode = (fields: readonly Field[]): Buffer =>
  Buffer.concat(
    fields.flatMap(([number, value]) =>
      typeof value === "number"
        ? [varint(number * 8), varint(value)]
        : [varint(number * 8 + 2), varint(value.length), value],
    ),
  );

/** Fields by number, in order. */
export const decode = (bytes: Buffer): ReadonlyMap<number, readonly Value[]> => {
  const fields = new Map<number, Value[]>();
  let at = 0;
  const readVarint = (): number => {
    for (let value = 0, scale = 1; ; scale *= 128) {
      const byte = bytes[at++] ?? 0;
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const key = readVarint();
    const number = Math.floor(key / 8);
    let value: Value = readVarint();
    if (key % 8 === 2) {
      at += value;
      value = bytes.subarray(at - value, at);
    }
    fields.set(number, [...(fields.get(number) ?? []), value]);
  }
  return fields;
};

const numberOf = (value: Value | undefined): number => (typeof value === "number" ? value : 0);
const bytesOf = (value: Value | undefined): Buffer => (value instanceof Buffer ? value : Buffer.alloc(0));

const payload = (size: number): Buffer => encode([[2, Buffer.alloc(size)]]);
const payloadSize = (value: Value | undefined): number => bytesOf(decode(bytesOf(value)).get(2)?.[0]).length;

export interface EchoStatus {
  readonly code: number;
  readonly message: string;
}
const statusFields = (status: EchoStatus | undefined): Field[] =>
  status === undefined
    ? []
    : [
        [
          7,
          encode([
            [1, status.code],
            [2, Buffer.from(status.message)],
          ]),
        ],
      ];

export interface Request {
  readonly responseSizes: readonly number[];
  readonly payloadSize: number;
  readonly status: EchoStatus | undefined;
}

/** SimpleRequest. */
export const simpleRequest = (size: number, payloadBytes: number, status?: EchoStatus): Buffer =>
  encode([[2, size], [3, payload(payloadBytes)], ...statusFields(status)]);
/** StreamingOutputCallRequest. */
export const outputRequest = (sizes: readonly number[], payloadBytes: number, status?: EchoStatus): Buffer =>
  encode([
    ...sizes.map((size): Field => [2, encode([[1, size]])]),
    [3, payload(payloadBytes)],
    ...statusFields(status),
  ]);
/** StreamingInputCallRequest. */
export const inputRequest = (size: number): Buffer => encode([[1, payload(size)]]);
/** SimpleResponse and StreamingOutputCallResponse. */
export const response = (size: number): Buffer => encode([[1, payload(size)]]);
/** StreamingInputCallResponse. */
export const inputResponse = (total: number): Buffer => encode([[1, total]]);

export const readResponseSize = (message: Buffer): number => payloadSize(decode(message).get(1)?.[0]);
export const readTotal = (message: Buffer): number => numberOf(decode(message).get(1)?.[0]);
export const readInputSize = readResponseSize;

/** A SimpleRequest has one size, a StreamingOutputCallRequest a list of parameters, under the same number. */
export const readRequest = (message: Buffer): Request => {
  const fields = decode(message);
  const sizes = (fields.get(2) ?? []).map((value) =>
    typeof value === "number" ? value : numberOf(decode(value).get(1)?.[0]),
  );
  const echoed = fields.get(7)?.[0];
  const status = echoed === undefined ? undefined : decode(bytesOf(echoed));
  return {
    responseSizes: sizes,
    payloadSize: payloadSize(fields.get(3)?.[0]),
    status: status && { code: numberOf(status.get(1)?.[0]), message: bytesOf(status.get(2)?.[0]).toString("utf8") },
  };
};
