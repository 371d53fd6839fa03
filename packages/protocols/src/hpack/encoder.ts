import type { HeaderList } from "../http/headers.ts";
import { isFieldName } from "./field-name.ts";
import { encodeHuffman, huffmanLength } from "./huffman.ts";
import { STATIC_ENTRIES, staticTable } from "./static-table.ts";

const RING = 128;
/** We never use more of the peer's table than this, whatever it offers: 128 entries of 32 bytes. */
const TABLE_BYTES_MAX = 4096;
const NAMES_MAX = 512;
const SAME_NAME_MAX = 8;
const MISSES_MAX = 4;
const CHURN_MISSES = 16;
const SHORT = 64;
const NOTHING = Buffer.alloc(0);

/** Names a message of HTTP/2 must not carry (RFC 9113 section 8.2.2), and `host`, which `:authority` replaces. */
const unsendable = new Set(["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "host"]);
const sensitiveNames = new Set(["authorization", "proxy-authorization"]);
/** Cookies this short can be guessed through the table's effect on length (RFC 7541 section 7.1.3). */
const COOKIE_GUARDED = 20;

interface StaticName {
  index: number;
  readonly values: Map<string, number>;
}
const staticByName = new Map<string, StaticName>();
for (const [i, [name, value]] of staticTable.entries()) {
  const known = staticByName.get(name) ?? { index: i + 1, values: new Map<string, number>() };
  if (value !== "") known.values.set(value, i + 1);
  staticByName.set(name, known);
}

/** One entry of the dynamic table, linked with those of its name. */
class Entry {
  readonly name: NameState;
  readonly value: string;
  readonly size: number;
  readonly number: number;
  older: Entry | undefined;
  newer: Entry | undefined = undefined;

  constructor(name: NameState, value: string, number: number) {
    this.name = name;
    this.value = value;
    this.size = name.text.length + value.length + 32;
    this.number = number;
    this.older = name.newest;
    if (name.newest) name.newest.newer = this;
    name.newest = this;
    name.entries++;
  }
}

/** What the encoder knows of one name: where the tables have it, and whether its values are worth a place. */
class NameState {
  readonly text: string;
  readonly sendable: boolean;
  readonly pseudo: boolean;
  readonly staticIndex: number;
  readonly staticValues: ReadonlyMap<string, number> | undefined;
  readonly sensitive: boolean;
  readonly cookie: boolean;
  /** The encoder remembers it, so its values may be indexed. */
  kept = false;
  newest: Entry | undefined = undefined;
  entries = 0;
  misses = 0;
  lastValue = "";

  constructor(name: string) {
    const fixed = staticByName.get(name);
    this.text = name;
    this.pseudo = name.startsWith(":");
    this.sendable = fixed !== undefined || name === ":protocol" || isFieldName(name);
    if (unsendable.has(name)) this.sendable = false;
    this.staticIndex = fixed?.index ?? 0;
    this.staticValues = fixed !== undefined && fixed.values.size > 0 ? fixed.values : undefined;
    this.sensitive = sensitiveNames.has(name);
    this.cookie = name === "cookie" || name === "set-cookie";
  }
}

/**
 * Encodes header blocks of one connection direction (RFC 7541). What repeats is indexed; a name whose values keep
 * changing stops taking places in the table. Sensitive fields are never indexed. A field that no peer may take (a
 * forbidden or malformed name, control characters in the value) is left out: nothing can be smuggled through us.
 * Strings with characters above U+00FF go out as UTF-8.
 */
export class HpackEncoder {
  /** Bytes the dynamic table holds now. */
  size = 0;
  private readonly names = new Map<string, NameState>();
  private ring: (Entry | undefined)[] | undefined;
  private inserted = 0;
  private count = 0;
  private sizeMax = TABLE_BYTES_MAX;
  private updateLowest = -1;
  private updateLast = -1;
  private out: Buffer = NOTHING;
  private at = 0;

  /** The peer's SETTINGS_HEADER_TABLE_SIZE. */
  setSizeLimit(bytes: number): void {
    const size = Math.min(bytes, TABLE_BYTES_MAX);
    if (size === this.sizeMax) return;
    this.sizeMax = size;
    this.evictTo(size);
    this.updateLowest = this.updateLowest < 0 ? size : Math.min(size, this.updateLowest);
    this.updateLast = size;
  }

  /** Begins a block at `out[at]`, with the size updates that are due. */
  begin(out: Buffer, at: number): void {
    this.out = out;
    this.at = at;
    if (this.updateLast < 0) return;
    if (this.updateLowest < this.updateLast) this.at = putInteger(out, this.at, 0x20, this.updateLowest);
    this.at = putInteger(out, this.at, 0x20, this.updateLast);
    this.updateLowest = -1;
    this.updateLast = -1;
  }

  /** Adds every field of `headers`, but no pseudo-header. There must be `blockBound` bytes of room. */
  fields(headers: HeaderList): void {
    const size = headers.size;
    for (let i = 0; i < size; i++) {
      const name = headers.nameAt(i);
      const state = this.names.get(name) ?? this.addName(name);
      if (!state.pseudo) this.put(state, headers.valueAt(i), state.sensitive || headers.isSensitive(name));
    }
  }

  /** Adds one field, name in lower case. Pseudo-headers come this way, before the others. */
  field(name: string, value: string): void {
    const state = this.names.get(name) ?? this.addName(name);
    this.put(state, value, state.sensitive);
  }

  /** Ends the block; returns the offset behind its last byte. */
  end(): number {
    this.out = NOTHING;
    return this.at;
  }

  private put(name: NameState, value: string, sensitive: boolean): void {
    if (name.staticValues !== undefined) {
      const index = name.staticValues.get(value);
      if (index !== undefined) {
        this.out[this.at++] = 0x80 | index;
        return;
      }
    }
    if (sensitive || (name.cookie && value.length < COOKIE_GUARDED)) {
      this.putLiteral(0x10, name, value);
      return;
    }
    // Once a name keeps missing, only its newest value is worth a look.
    const churns = name.misses > CHURN_MISSES;
    for (let entry = name.newest; entry !== undefined; entry = churns ? undefined : entry.older) {
      if (entry.value === value) {
        name.misses = 0;
        this.at = putInteger(this.out, this.at, 0x80, STATIC_ENTRIES + this.inserted - entry.number);
        return;
      }
    }
    this.putLiteral(this.isWorthPlace(name, value) ? 0x40 : 0, name, value);
  }

  private putLiteral(flags: number, name: NameState, value: string): void {
    if (flags !== 0 || value.length > SHORT || !this.putShort(name, value)) this.putAny(flags, name, value);
  }

  /** A short literal that is not indexed, checked while it is written. False when it needs a closer look. */
  private putShort(name: NameState, value: string): boolean {
    const index = this.nameIndex(name);
    const length = value.length;
    if (index === 0 || length === 0 || !name.sendable || name.text === "te") return false;
    const { out } = this;
    const start = putInteger(out, this.at, 0, index) + 1;
    let first = 0;
    let code = 0;
    for (let i = 0; i < length; i++) {
      code = value.charCodeAt(i);
      if (code < 32 || code > 126) return false;
      if (i === 0) first = code;
      out[start + i] = code;
    }
    if (first === 32 || code === 32) return false;
    out[start - 1] = length;
    this.at = start + length;
    return true;
  }

  private putAny(flags: number, name: NameState, value: string): void {
    const clean = sendableValue(value);
    if (clean === undefined || !name.sendable || (name.text === "te" && clean !== "trailers")) return;
    const out = this.out;
    const indexing = flags === 0x40;
    const index = this.nameIndex(name);
    this.at = putInteger(out, this.at, flags, index);
    if (index === 0) this.at = putString(out, this.at, name.text, indexing);
    this.at = putString(out, this.at, clean, indexing);
    if (indexing) this.insert(name, clean);
  }

  private isWorthPlace(name: NameState, value: string): boolean {
    const repeats = value === name.lastValue;
    name.lastValue = value;
    name.misses++;
    if (!repeats && name.misses > MISSES_MAX) return false;
    if (name.entries >= SAME_NAME_MAX || !name.kept) return false;
    return name.text.length + value.length + 32 <= this.sizeMax >> 1 && !isWide(value);
  }

  /** The index a literal may name its name by; 0 when the tables do not have it. */
  private nameIndex(name: NameState): number {
    if (name.staticIndex !== 0) return name.staticIndex;
    return name.newest === undefined ? 0 : STATIC_ENTRIES + this.inserted - name.newest.number;
  }

  private addName(text: string): NameState {
    const state = new NameState(text);
    // Beyond the bound names are literals each time.
    if (this.names.size < NAMES_MAX) {
      state.kept = true;
      this.names.set(text, state);
    }
    return state;
  }

  private insert(name: NameState, value: string): void {
    const entry = new Entry(name, value, this.inserted);
    this.evictTo(this.sizeMax - entry.size);
    this.ring ??= new Array<Entry | undefined>(RING).fill(undefined);
    this.ring[this.inserted & (RING - 1)] = entry;
    this.inserted++;
    this.count++;
    this.size += entry.size;
  }

  private evictTo(bytes: number): void {
    while (this.count > 0 && this.size > bytes) {
      const slot = (this.inserted - this.count) & (RING - 1);
      const entry = this.ring![slot]!;
      this.ring![slot] = undefined;
      this.count--;
      this.size -= entry.size;
      entry.name.entries--;
      if (entry.newer !== undefined) entry.newer.older = undefined;
      else entry.name.newest = undefined;
    }
  }
}

/** Room that is enough for `headers` and pseudo-headers of `extraChars` characters in all, whatever is indexed. */
export const blockBound = (headers: HeaderList, extraChars: number): number => {
  let chars = extraChars;
  for (let i = 0; i < headers.size; i++) chars += headers.nameAt(i).length + headers.valueAt(i).length;
  // A character above U+00FF takes up to three bytes; each field has up to three integers of at most five bytes.
  return chars * 3 + (headers.size + 8) * 15;
};

const putInteger = (out: Buffer, at: number, flags: number, value: number): number => {
  const mask = prefixMask(flags);
  if (value < mask) {
    out[at] = flags | value;
    return at + 1;
  }
  out[at] = flags | mask;
  let rest = value - mask;
  let end = at + 1;
  while (rest >= 0x80) {
    out[end++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  out[end++] = rest;
  return end;
};

const prefixMask = (flags: number): number => {
  if (flags & 0x80) return 0x7f;
  if (flags & 0x40) return 0x3f;
  return flags & 0x20 ? 0x1f : 0x0f;
};

const putString = (out: Buffer, at: number, text: string, compact: boolean): number => {
  const length = text.length;
  if (compact) {
    // Huffman costs more than it saves for what is sent once; what goes into the table is sent once for many uses.
    const coded = huffmanLength(text);
    if (coded < length) {
      const start = putStringLength(out, at, 0x80, coded);
      return encodeHuffman(out, start, text);
    }
  }
  const start = putStringLength(out, at, 0, length);
  if (length <= SHORT) for (let i = 0; i < length; i++) out[start + i] = text.charCodeAt(i);
  else out.write(text, start, length, "latin1");
  return start + length;
};

const putStringLength = (out: Buffer, at: number, huffman: 0 | 0x80, length: number): number => {
  if (length >= 0x7f) {
    const end = putInteger(out, at, 0x80, length);
    out[at] = huffman | 0x7f;
    return end;
  }
  out[at] = huffman | length;
  return at + 1;
};

/** The value as bytes in a string; undefined when no peer may take it. */
const sendableValue = (value: string): string | undefined => {
  let clean = value;
  if (isWide(clean)) clean = Buffer.from(clean, "utf8").toString("latin1");
  if (hasControls(clean)) return undefined;
  const first = clean.charCodeAt(0);
  const last = clean.charCodeAt(clean.length - 1);
  return first === 32 || first === 9 || last === 32 || last === 9 ? clean.replace(/^[ \t]+|[ \t]+$/g, "") : clean;
};

const isWide = (text: string): boolean => {
  if (text.length > SHORT) return /[^\0-\xff]/.test(text);
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 0xff) return true;
  return false;
};

const hasControls = (text: string): boolean => {
  if (text.length > SHORT) return /[\0-\x08\x0a-\x1f\x7f]/.test(text);
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if ((code < 32 && code !== 9) || code === 127) return true;
  }
  return false;
};
