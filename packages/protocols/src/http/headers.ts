/**
 * An ordered list of header fields, the one form both HTTP versions are read into and written from.
 * Names are lower case already; pseudo-headers (`:path`) are never in it, they are members of the head.
 * Mutable and reusable on purpose: one list is pooled per stream, and the request path allocates nothing for it.
 */
export class HeaderList {
  /** Number of fields. */
  size = 0;
  private readonly names: string[] = [];
  private readonly values: string[] = [];
  private sensitive: string[] | undefined;

  nameAt(index: number): string {
    return this.names[index] as string;
  }
  valueAt(index: number): string {
    return this.values[index] as string;
  }

  /** Adds a field at the end, whether or not there is one of that name. */
  add(name: string, value: string): void {
    this.names[this.size] = name;
    this.values[this.size] = value;
    this.size++;
  }

  /** Says that the values of that name must never enter a compression table, here or further on (RFC 7541 7.1.3). */
  markSensitive(name: string): void {
    this.sensitive ??= [];
    if (!this.sensitive.includes(name)) this.sensitive.push(name);
  }

  isSensitive(name: string): boolean {
    return this.sensitive?.includes(name) ?? false;
  }

  /** The first value of that name. */
  get(name: string): string | undefined {
    for (let i = 0; i < this.size; i++) if (this.names[i] === name) return this.values[i];
    return undefined;
  }

  /** All values of that name joined by commas, as RFC 9110 section 5.3 allows; `undefined` when there is none. */
  getJoined(name: string): string | undefined {
    let joined: string | undefined;
    for (let i = 0; i < this.size; i++) {
      if (this.names[i] === name) joined = joined === undefined ? this.values[i] : `${joined},${this.values[i]}`;
    }
    return joined;
  }

  has(name: string): boolean {
    for (let i = 0; i < this.size; i++) if (this.names[i] === name) return true;
    return false;
  }

  /** Leaves exactly one field of that name, in the place of the first one. */
  set(name: string, value: string): void {
    for (let i = 0; i < this.size; i++) {
      if (this.names[i] === name) {
        this.values[i] = value;
        this.removeFrom(name, i + 1);
        return;
      }
    }
    this.add(name, value);
  }

  /** Removes every field of that name; true when there was one. */
  remove(name: string): boolean {
    return this.removeFrom(name, 0);
  }

  clear(): void {
    this.size = 0;
    this.sensitive = undefined;
    // A pooled list must not keep the last request's strings alive for long, nor a large request's arrays.
    if (this.names.length > 64) {
      this.names.length = 0;
      this.values.length = 0;
    }
  }

  copyFrom(other: HeaderList): void {
    this.clear();
    for (let i = 0; i < other.size; i++) this.add(other.nameAt(i), other.valueAt(i));
    this.sensitive = other.sensitive?.slice();
  }

  private removeFrom(name: string, start: number): boolean {
    let kept = start;
    for (let i = start; i < this.size; i++) {
      if (this.names[i] === name) continue;
      if (kept !== i) {
        this.names[kept] = this.names[i] as string;
        this.values[kept] = this.values[i] as string;
      }
      kept++;
    }
    const removed = kept !== this.size;
    this.size = kept;
    return removed;
  }
}
