import { HeaderList } from "../http/headers.ts";
import type { FieldTarget } from "./field-scanner.ts";
import type { UnderscoreNames } from "./framing-fields.ts";
import { isUnderscoreTwin, lastActedId } from "./known-names.ts";

/** Collects trailers; framing, routing and connection fields are not allowed there (RFC 9110 section 6.5.1). */
export class TrailerFields implements FieldTarget {
  readonly list = new HeaderList();
  /** One of them may not be a trailer. */
  refused = false;
  private readonly underscoreNames: UnderscoreNames | undefined;

  /** Without `underscoreNames` all names are taken: those of responses. */
  constructor(underscoreNames?: UnderscoreNames) {
    this.underscoreNames = underscoreNames;
  }

  field(id: number, name: string, value: string): void {
    if (id >= 0 && id <= lastActedId) this.refused = true;
    else if (id >= 0 || this.underscoreNames === undefined || !name.includes("_")) this.list.add(name, value);
    else if (this.underscoreNames === "refuse") this.refused = true;
    else if (this.underscoreNames === "accept" && !isUnderscoreTwin(name)) this.list.add(name, value);
  }

  clear(): void {
    this.list.clear();
    this.refused = false;
  }
}
