import { FieldName } from "./field-name.ts";
import { isValueOfKind } from "./field-value.ts";
import { staticTable } from "./static-table.ts";

/** One decoded field. Immutable: tables, memo and messages share it. */
export class Field {
  readonly name: FieldName;
  readonly value: string;
  /** As RFC 7541 section 4.1 counts it: name, value and 32. */
  readonly size: number;
  /** Name and value may be in a message. */
  readonly valid: boolean;
  /** It came as never-indexed, and must be sent on so (RFC 7541 section 7.1.3). */
  readonly sensitive: boolean;

  constructor(name: FieldName, value: string, flags: { readonly valid: boolean; readonly sensitive: boolean }) {
    this.name = name;
    this.value = value;
    this.size = name.text.length + value.length + 32;
    this.valid = flags.valid && name.valid;
    this.sensitive = flags.sensitive;
  }
}

/** Names of the static table, one object each. */
export const staticNames: ReadonlyMap<string, FieldName> = new Map(
  staticTable.map(([name]) => [name, new FieldName(name)]),
);

/** The static table as fields; element 0 is unused so that wire indexes fit. */
export const staticFields: readonly (Field | undefined)[] = [
  undefined,
  ...staticTable.map(([name, value]) => {
    const known = staticNames.get(name)!;
    return new Field(known, value, { valid: isValueOfKind(known.kind, value), sensitive: false });
  }),
];
