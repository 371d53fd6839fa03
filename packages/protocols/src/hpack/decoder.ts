import { type Field, staticFields } from "./field.ts";
import type { FieldName } from "./field-name.ts";
import type { FieldMemo, Literal } from "./memo.ts";
import { STATIC_ENTRIES } from "./static-table.ts";

const RING_FIRST = 16;

/** The fields of one header block, in order. Reused; good until the next block is decoded into it. */
export class FieldBlock {
  readonly fields: Field[] = [];
  count = 0;
  /** Decoded bytes as RFC 9113 section 6.5.2 counts them, also of fields that were left out. */
  size = 0;
  /** A bound was passed: the fields beyond it were left out. */
  overflowed = false;
  bytesMax: number;
  fieldsMax: number;

  constructor(bytesMax: number, fieldsMax: number) {
    this.bytesMax = bytesMax;
    this.fieldsMax = fieldsMax;
  }

  clear(): void {
    this.count = 0;
    this.size = 0;
    this.overflowed = false;
  }

  add(field: Field): void {
    this.size += field.size;
    if (this.size > this.bytesMax || this.count >= this.fieldsMax) this.overflowed = true;
    else this.fields[this.count++] = field;
  }
}

/**
 * Decodes header blocks of one connection direction (RFC 7541). A block must be given whole. A block beyond the
 * bounds is still read to its end, so that the dynamic table stays in step with the peer's.
 */
export class HpackDecoder {
  /** Bytes the dynamic table holds now. */
  size = 0;
  /** Entries the dynamic table holds now. */
  count = 0;
  private ring: (Field | undefined)[] = [];
  private inserted = 0;
  private sizeMax = 4096;
  private sizeLimit = 4096;
  private updateDue = false;
  private at = 0;
  private readonly memo: FieldMemo;
  private readonly literal: Literal = { start: 0, end: 0, huffman: false, sensitive: false };

  constructor(memo: FieldMemo) {
    this.memo = memo;
  }

  /**
   * Our SETTINGS_HEADER_TABLE_SIZE as the peer acknowledged it. When it is below the size in use, the next block has
   * to begin with a size update (RFC 7541 section 4.2).
   */
  setSizeLimit(bytes: number): void {
    this.sizeLimit = bytes;
    this.updateDue = bytes < this.sizeMax;
  }

  /** Decodes `source[start, end)` into `block`. False for a broken block: the connection cannot go on. */
  decode(source: Buffer, start: number, end: number, block: FieldBlock): boolean {
    block.clear();
    this.at = start;
    let updatesAllowed = true;
    while (this.at < end) {
      const byte = source[this.at]!;
      if ((byte & 0xe0) === 0x20) {
        if (!updatesAllowed || !this.readSizeUpdate(source, end)) return false;
        continue;
      }
      if (this.updateDue) return false;
      updatesAllowed = false;
      const field = byte & 0x80 ? this.readIndexed(source, end) : this.readLiteral(source, end, byte);
      if (field === undefined) return false;
      block.add(field);
    }
    return true;
  }

  private readSizeUpdate(source: Buffer, end: number): boolean {
    const bytes = this.readInteger(source, end, 0x1f);
    if (bytes < 0 || bytes > this.sizeLimit) return false;
    this.sizeMax = bytes;
    this.updateDue = false;
    this.evictTo(bytes);
    return true;
  }

  private readIndexed(source: Buffer, end: number): Field | undefined {
    const index = this.readInteger(source, end, 0x7f);
    return index < 0 ? undefined : this.entry(index);
  }

  private readLiteral(source: Buffer, end: number, byte: number): Field | undefined {
    const indexing = (byte & 0x40) !== 0;
    const index = this.readInteger(source, end, indexing ? 0x3f : 0x0f);
    if (index < 0) return undefined;
    let name: FieldName | undefined;
    if (index > 0) {
      name = this.entry(index)?.name;
    } else if (this.readString(source, end)) {
      name = this.memo.readName(source, this.literal.start, this.literal.end, this.literal.huffman);
    }
    if (name === undefined || !this.readString(source, end)) return undefined;
    this.literal.sensitive = !indexing && (byte & 0x10) !== 0;
    const field = this.memo.readValue(name, source, this.literal);
    if (indexing && field !== undefined) this.insert(field);
    return field;
  }

  private entry(index: number): Field | undefined {
    if (index <= STATIC_ENTRIES) return staticFields[index];
    const age = index - STATIC_ENTRIES;
    return age > this.count ? undefined : this.ring[(this.inserted - age) & (this.ring.length - 1)];
  }

  /** Leaves the string's place in `literal`; false when it does not fit the block. */
  private readString(source: Buffer, end: number): boolean {
    if (this.at >= end) return false;
    this.literal.huffman = (source[this.at]! & 0x80) !== 0;
    const length = this.readInteger(source, end, 0x7f);
    if (length < 0 || length > end - this.at) return false;
    this.literal.start = this.at;
    this.at += length;
    this.literal.end = this.at;
    return true;
  }

  /** RFC 7541 section 5.1, from `at` on. -1 when it is cut, above 2^28 or padded beyond four more bytes. */
  private readInteger(source: Buffer, end: number, mask: number): number {
    let value = source[this.at++]! & mask;
    if (value < mask) return value;
    for (let shift = 0; shift <= 21; shift += 7) {
      if (this.at >= end) return -1;
      const byte = source[this.at++]!;
      value += (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    return -1;
  }

  private insert(field: Field): void {
    this.evictTo(this.sizeMax - field.size);
    if (field.size > this.sizeMax) return;
    if (this.count === this.ring.length) this.grow();
    this.ring[this.inserted & (this.ring.length - 1)] = field;
    this.inserted++;
    this.count++;
    this.size += field.size;
  }

  private evictTo(bytes: number): void {
    while (this.count > 0 && this.size > bytes) {
      const oldest = (this.inserted - this.count) & (this.ring.length - 1);
      this.size -= this.ring[oldest]!.size;
      this.ring[oldest] = undefined;
      this.count--;
    }
  }

  // Bounded by the table's size: an entry counts at least 32 bytes.
  private grow(): void {
    const length = this.ring.length === 0 ? RING_FIRST : this.ring.length * 2;
    const ring = new Array<Field | undefined>(length).fill(undefined);
    for (let i = 0; i < this.count; i++) ring[i] = this.ring[(this.inserted - this.count + i) & (this.ring.length - 1)];
    this.ring = ring;
    this.inserted = this.count;
  }
}
