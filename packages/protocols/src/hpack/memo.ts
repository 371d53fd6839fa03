import { Field, staticNames } from "./field.ts";
import { FieldName } from "./field-name.ts";
import { isFieldValue, isValueOfKind } from "./field-value.ts";
import { decodeHuffman, huffmanOutput } from "./huffman.ts";

const NAMES_MAX = 1024;
const NAME_BYTES_MAX = 64;
const SLOTS = 1024;
const VALUE_BYTES_MAX = 128;
const VALID = { valid: true, sensitive: false };
const INVALID = { valid: false, sensitive: false };
const VALID_SENSITIVE = { valid: true, sensitive: true };
const INVALID_SENSITIVE = { valid: false, sensitive: true };

/**
 * Remembers literals by their wire bytes, so that what peers repeat costs neither Huffman nor a new string, and equal
 * fields are the same object for whoever compares. Bounded; one may serve every connection of a thread. Values that
 * came as never-indexed are not kept.
 */
export class FieldMemo {
  private readonly names = new Map<string, FieldName>();
  private readonly hashes = new Int32Array(SLOTS);
  private readonly fields: (Field | undefined)[] = new Array<Field | undefined>(SLOTS).fill(undefined);
  private readonly wires: (Uint8Array | undefined)[] = new Array<Uint8Array | undefined>(SLOTS).fill(undefined);

  /** The one `FieldName` for that text (a new one each time for long names, and once the memo is full). */
  name(text: string): FieldName {
    const known = staticNames.get(text) ?? this.names.get(text);
    if (known !== undefined) return known;
    const made = new FieldName(text);
    if (text.length <= NAME_BYTES_MAX && this.names.size < NAMES_MAX) this.names.set(text, made);
    return made;
  }

  /** Reads a name literal's text. Undefined when its Huffman code is broken. */
  readName(source: Buffer, start: number, end: number, huffman: boolean): FieldName | undefined {
    if (!huffman) return this.name(source.toString("latin1", start, end));
    const length = decodeHuffman(source, start, end);
    return length < 0 ? undefined : this.name(huffmanOutput().toString("latin1", 0, length));
  }

  /** Reads a value literal's text into a field. Undefined when its Huffman code is broken. */
  readValue(name: FieldName, source: Buffer, literal: Literal): Field | undefined {
    const { start, end, huffman, sensitive } = literal;
    const length = end - start;
    if (sensitive || length === 0 || length > VALUE_BYTES_MAX) return makeField(name, source, literal);
    let hash = (huffman ? 0x9e3779b1 : 0x85ebca6b) ^ Math.imul(name.text.length, 0x27d4eb2f);
    hash ^= name.text.charCodeAt(name.text.length - 1);
    for (let i = start; i < end; i++) hash = Math.imul(hash ^ source[i]!, 0x01000193);
    hash |= 0;
    const slot = (hash ^ (hash >>> 10) ^ (hash >>> 20)) & (SLOTS - 1);
    if (this.hashes[slot] !== hash) {
      // Only what comes twice is kept: request ids and the like would push everything else out.
      this.hashes[slot] = hash;
      this.fields[slot] = undefined;
      return makeField(name, source, literal);
    }
    const known = this.fields[slot];
    if (known !== undefined && known.name === name && sameBytes(this.wires[slot]!, source, literal)) return known;
    const made = makeField(name, source, literal);
    if (made !== undefined) {
      const wire = new Uint8Array(length + 1);
      wire[0] = huffman ? 1 : 0;
      for (let i = 0; i < length; i++) wire[i + 1] = source[start + i]!;
      this.fields[slot] = made;
      this.wires[slot] = wire;
    }
    return made;
  }
}

/** Where a string literal is in its buffer and how it came. Reused by the decoder. */
export interface Literal {
  start: number;
  end: number;
  huffman: boolean;
  sensitive: boolean;
}

const sameBytes = (wire: Uint8Array, source: Buffer, literal: Literal): boolean => {
  const start = literal.start;
  if (wire.length !== literal.end - start + 1 || wire[0] !== (literal.huffman ? 1 : 0)) return false;
  for (let i = 1; i < wire.length; i++) if (wire[i] !== source[start + i - 1]) return false;
  return true;
};

const makeField = (name: FieldName, source: Buffer, literal: Literal): Field | undefined => {
  let { start, end } = literal;
  let bytes = source;
  if (literal.huffman) {
    end = decodeHuffman(source, start, end);
    if (end < 0) return undefined;
    start = 0;
    bytes = huffmanOutput();
  }
  const text = start === end ? "" : bytes.toString("latin1", start, end);
  const valid = isFieldValue(bytes, start, end) && isValueOfKind(name.kind, text);
  if (literal.sensitive) return new Field(name, text, valid ? VALID_SENSITIVE : INVALID_SENSITIVE);
  return new Field(name, text, valid ? VALID : INVALID);
};
