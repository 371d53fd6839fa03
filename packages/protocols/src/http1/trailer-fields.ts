import { HeaderList } from "../http/headers.ts";
import type { FieldTarget } from "./field-scanner.ts";
import { lastActedId } from "./known-names.ts";

/** Collects trailers; framing, routing and connection fields are not allowed there (RFC 9110 section 6.5.1). */
export class TrailerFields implements FieldTarget {
  readonly list = new HeaderList();
  /** One of them may not be a trailer. */
  refused = false;

  field(id: number, name: string, value: string): void {
    if (id >= 0 && id <= lastActedId) this.refused = true;
    else this.list.add(name, value);
  }

  clear(): void {
    this.list.clear();
    this.refused = false;
  }
}
