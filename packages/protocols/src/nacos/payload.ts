/** The one message of Nacos' gRPC channel: a type's name, headers, and a body that is JSON (nacos_grpc_service.proto). */
import { BinaryReader, BinaryWriter } from "@bufbuild/protobuf/wire";

export const nacosMethods = {
  request: "/Request/request",
  stream: "/BiRequestStream/requestBiStream",
} as const;

export interface NacosPayload {
  /** Such as `SubscribeServiceRequest`. */
  readonly type: string;
  readonly clientIp: string;
  readonly headers: ReadonlyMap<string, string>;
  /** JSON in UTF-8; not looked into here. */
  readonly body: Uint8Array;
}

export const payloadTypeCharsMax = 256;
export const payloadHeadersMax = 64;

export const encodePayload = ({ type, clientIp, headers, body }: NacosPayload): Uint8Array => {
  const metadata = new BinaryWriter().uint32(0o32).string(type);
  for (const [name, value] of headers) {
    metadata.uint32(0o72).bytes(new BinaryWriter().uint32(0o12).string(name).uint32(0o22).string(value).finish());
  }
  if (clientIp !== "") metadata.uint32(0o102).string(clientIp);
  const any = new BinaryWriter().uint32(0o22).bytes(body);
  return new BinaryWriter().uint32(0o22).bytes(metadata.finish()).uint32(0o32).bytes(any.finish()).finish();
};

/** Throws for what is no payload, names no type, or is over a bound. */
export const decodePayload = (bytes: Uint8Array): NacosPayload => {
  let metadata: Omit<NacosPayload, "body"> | undefined;
  let body: Uint8Array = new Uint8Array(0);
  eachField(bytes, (field, wireType, reader) => {
    if (wireType !== lengthDelimited) return false;
    if (field === 2) metadata = decodeMetadata(reader.bytes());
    else if (field === 3) body = decodeAny(reader.bytes());
    else return false;
    return true;
  });
  if (!metadata || metadata.type === "") throw new Error("a payload that names no type");
  return { ...metadata, body };
};

const lengthDelimited = 2;

const decodeMetadata = (bytes: Uint8Array): Omit<NacosPayload, "body"> => {
  const headers = new Map<string, string>();
  let type = "";
  let clientIp = "";
  eachField(bytes, (field, wireType, reader) => {
    if (wireType !== lengthDelimited) return false;
    if (field === 3) type = reader.string();
    else if (field === 7) headers.set(...decodeEntry(reader.bytes()));
    else if (field === 8) clientIp = reader.string();
    else return false;
    if (type.length > payloadTypeCharsMax) throw new Error(`a type of over ${payloadTypeCharsMax} characters`);
    if (headers.size > payloadHeadersMax) throw new Error(`more than ${payloadHeadersMax} headers`);
    return true;
  });
  return { type, clientIp, headers };
};

const decodeEntry = (bytes: Uint8Array): [name: string, value: string] => {
  const entry: [string, string] = ["", ""];
  eachField(bytes, (field, wireType, reader) => {
    if (wireType !== lengthDelimited || (field !== 1 && field !== 2)) return false;
    entry[field - 1] = reader.string();
    return true;
  });
  return entry;
};

const decodeAny = (bytes: Uint8Array): Uint8Array => {
  let value: Uint8Array = new Uint8Array(0);
  eachField(bytes, (field, wireType, reader) => {
    if (field !== 2 || wireType !== lengthDelimited) return false;
    value = reader.bytes();
    return true;
  });
  return value;
};

/** Calls for each field; what is not taken is skipped. */
const eachField = (
  bytes: Uint8Array,
  take: (field: number, wireType: number, reader: BinaryReader) => boolean,
): void => {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (!take(field, wireType, reader)) reader.skip(wireType, field);
  }
};
