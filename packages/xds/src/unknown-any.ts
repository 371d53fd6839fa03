/**
 * Any values of types we do not know. In JSON they read { "@type": URL, "value": BASE64 }, so a resource that
 * carries one still decodes, and whoever compiles it can refuse that resource alone, by the type's name.
 */
import {
  create,
  createFileRegistry,
  type DescField,
  type DescMessage,
  fromBinary,
  type Message,
  type Registry,
  toBinary,
} from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import {
  type Any,
  AnySchema,
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  FileDescriptorProtoSchema,
} from "@bufbuild/protobuf/wkt";

/** A type name is a peer's word: bounded in length, and placeholders live only as long as one conversion. */
const typeNameLengthMax = 512;
const typeName = /^[A-Za-z_][\w]*(\.[A-Za-z_][\w]*)*$/;

/** A message of that name with one field, `bytes value = 1`. */
const placeholder = (name: string): DescMessage | undefined => {
  if (name.length > typeNameLengthMax || !typeName.test(name)) return undefined;
  const dot = name.lastIndexOf(".");
  const field = {
    name: "value",
    jsonName: "value",
    number: 1,
    type: FieldDescriptorProto_Type.BYTES,
    label: FieldDescriptorProto_Label.OPTIONAL,
  };
  const file = create(FileDescriptorProtoSchema, {
    name: "unknown.proto",
    package: name.slice(0, Math.max(dot, 0)),
    syntax: "proto3",
    messageType: [{ name: name.slice(dot + 1), field: [field] }],
  });
  return createFileRegistry(file, () => undefined).getMessage(name);
};

export interface LenientRegistry {
  readonly registry: Registry;
  /** Whether a name was asked for that only has a placeholder. */
  readonly sawUnknown: () => boolean;
}

/** The registry given, with a placeholder for every other well-formed name. */
export const lenient = (base: Registry): LenientRegistry => {
  const made = new Map<string, DescMessage | undefined>();
  const getMessage = (name: string): DescMessage | undefined => {
    const known = base.getMessage(name);
    if (known) return known;
    if (!made.has(name)) made.set(name, placeholder(name));
    return made.get(name);
  };
  const registry = new Proxy(base, {
    get: (target, key, receiver) => (key === "getMessage" ? getMessage : Reflect.get(target, key, receiver)),
  });
  return { registry, sawUnknown: () => made.size > 0 };
};

const nameOf = (any: Any): string => any.typeUrl.slice(any.typeUrl.lastIndexOf("/") + 1);

/** How the bytes inside an unknown Any change: into the placeholder's encoding for JSON, or back out of it. */
type Rewrite = (bytes: Uint8Array, placeholder: DescMessage) => Uint8Array;

const wrap: Rewrite = (bytes, desc) => {
  const message = reflect(desc);
  message.set(desc.fields[0] as DescField, bytes);
  return toBinary(desc, message.message);
};
const unwrap: Rewrite = (bytes, desc) =>
  reflect(desc, fromBinary(desc, bytes)).get(desc.fields[0] as DescField) as Uint8Array;

const rewriteAny = (any: Any, base: Registry, tolerant: Registry, rewrite: Rewrite): void => {
  const name = nameOf(any);
  const known = base.getMessage(name);
  if (!known) {
    const desc = tolerant.getMessage(name);
    if (desc) any.value = rewrite(any.value, desc);
    return;
  }
  const inner = fromBinary(known, any.value);
  rewriteAnys(reflect(known, inner), base, tolerant, rewrite);
  any.value = toBinary(known, inner);
};

/** Visits every Any in the message, however deep, also inside known Anys. */
const rewriteAnys = (message: ReflectMessage, base: Registry, tolerant: Registry, rewrite: Rewrite): void => {
  if (message.desc.typeName === AnySchema.typeName) {
    rewriteAny(message.message as Any, base, tolerant, rewrite);
    return;
  }
  for (const field of message.fields) {
    if (!field.message || !message.isSet(field)) continue;
    if (field.fieldKind === "message") rewriteAnys(message.get(field), base, tolerant, rewrite);
    if (field.fieldKind === "list" && field.listKind === "message")
      for (const item of message.get(field)) rewriteAnys(item as ReflectMessage, base, tolerant, rewrite);
    if (field.fieldKind === "map" && field.mapKind === "message")
      for (const [, item] of message.get(field)) rewriteAnys(item as ReflectMessage, base, tolerant, rewrite);
  }
};

/** Prepares a decoded message for conversion to JSON with `tolerant`. */
export const wrapUnknown = (desc: DescMessage, message: Message, base: Registry, tolerant: Registry): void =>
  rewriteAnys(reflect(desc, message), base, tolerant, wrap);

/** Gives a message that was read from JSON with `tolerant` its original bytes back. */
export const unwrapUnknown = (desc: DescMessage, message: Message, base: Registry, tolerant: Registry): void =>
  rewriteAnys(reflect(desc, message), base, tolerant, unwrap);
