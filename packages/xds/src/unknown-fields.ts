/**
 * Fields that our definitions do not have, because their sender's are newer. Nothing is looked for: the one method that
 * passes over such a field takes note of it, so that a message without any costs nothing.
 */
import { type DescMessage, fromBinary, type Message } from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import { BinaryReader } from "@bufbuild/protobuf/wire";
import { type Any, AnySchema } from "@bufbuild/protobuf/wkt";
import { registry } from "./registry.ts";

export interface UnknownField {
  /** The message that it stands in. */
  readonly type: string;
  readonly number: number;
}

export interface UnknownFieldsTools {
  /** So many fields were passed over. */
  readonly onPassed: (count: number) => void;
  /** One that was not seen before; at most `fieldsNamedMax` in all. */
  readonly onNew: (field: UnknownField) => void;
}

/** Fields that are named; numbers are a peer's word. */
export const fieldsNamedMax = 256;
/** Numbers in one message that are looked at. */
const numbersMax = 64;

const passed = { count: 0, numbers: new Set<number>() };
const { skip } = BinaryReader.prototype;
BinaryReader.prototype.skip = function (this: BinaryReader, ...of: Parameters<typeof skip>): ReturnType<typeof skip> {
  passed.count++;
  if (passed.numbers.size < numbersMax && of[1] !== undefined) passed.numbers.add(of[1]);
  return skip.apply(this, of);
};

const forget = (): void => {
  if (passed.count === 0) return;
  passed.count = 0;
  passed.numbers.clear();
};

/** What one receiver has found of such fields. */
export class UnknownFields {
  private readonly tools: UnknownFieldsTools;
  private readonly named = new Set<string>();
  /** Messages that are decoded, with the numbers that were named in them. */
  private readonly looked = new Set<string>();

  constructor(tools: UnknownFieldsTools) {
    this.tools = tools;
  }

  /** Decodes by `decode`, and takes note of what it passes over in these bytes. */
  watch<T>(desc: DescMessage, bytes: Uint8Array, decode: (desc: DescMessage, bytes: Uint8Array) => T): T {
    forget();
    const decoded = decode(desc, bytes);
    if (passed.count > 0) this.note(desc, bytes);
    return decoded;
  }

  private note(desc: DescMessage, bytes: Uint8Array): void {
    const { count } = passed;
    const numbers = [...passed.numbers];
    forget();
    this.tools.onPassed(count);
    const fresh = numbers.filter((number) => !this.looked.has(`${desc.typeName} ${number}`));
    if (fresh.length === 0 || this.looked.size >= fieldsNamedMax) return;
    for (const number of fresh) this.looked.add(`${desc.typeName} ${number}`);
    for (const field of unknownIn(desc, fromBinary(desc, bytes))) {
      const key = `${field.type} ${field.number}`;
      if (this.named.has(key) || this.named.size >= fieldsNamedMax) continue;
      this.named.add(key);
      this.tools.onNew(field);
    }
    forget();
  }
}

const unknownIn = (desc: DescMessage, message: Message): Generator<UnknownField> => visit(reflect(desc, message));

/** Looks into lists, maps and every Any of a type that is known. */
function* visit(message: ReflectMessage): Generator<UnknownField> {
  for (const { no } of message.message.$unknown ?? []) yield { type: message.desc.typeName, number: no };
  if (message.desc.typeName === AnySchema.typeName) {
    const { typeUrl, value } = message.message as Any;
    const known = registry.getMessage(typeUrl.slice(typeUrl.lastIndexOf("/") + 1));
    if (known) yield* unknownIn(known, fromBinary(known, value));
    return;
  }
  for (const field of message.fields) {
    if (!field.message || !message.isSet(field)) continue;
    if (field.fieldKind === "message") yield* visit(message.get(field));
    if (field.fieldKind === "list" && field.listKind === "message")
      for (const item of message.get(field)) yield* visit(item as ReflectMessage);
    if (field.fieldKind === "map" && field.mapKind === "message")
      for (const [, item] of message.get(field)) yield* visit(item as ReflectMessage);
  }
}
