import { WeftError } from "@weft/core/error";
import { stringify } from "yaml";

export const outputFormats = ["table", "json", "yaml"] as const;
export type OutputFormat = (typeof outputFormats)[number];

/** Checks what `-o` was given. */
export const parseOutputFormat = (text: string): OutputFormat => {
  const found = outputFormats.find((format) => format === text);
  if (!found)
    throw new WeftError("WF9020", `unknown output format "${text}"`, { next: `-o ${outputFormats.join("|")}` });
  return found;
};

/** What every list command prints under `-o json|yaml`; `proxy-config` alone prints bare arrays. */
export interface Envelope {
  readonly apiVersion: "weft.dev/v1";
  readonly kind: string;
  readonly items: readonly unknown[];
  readonly summary: Readonly<Record<string, unknown>>;
}

export const envelope = (kind: string, items: readonly unknown[], summary: Record<string, unknown> = {}): Envelope => ({
  apiVersion: "weft.dev/v1",
  kind,
  items,
  summary: { total: items.length, ...summary },
});

/** `1 file`, `2 files`, `2 proxies`. */
export const counted = (count: number, one: string, many = `${one}s`): string => `${count} ${count === 1 ? one : many}`;

/** The value in the asked form; `table` is made only when it is asked for. */
export const render = (format: OutputFormat, value: unknown, table: () => string): string => {
  if (format === "json") return `${JSON.stringify(value, null, 2)}\n`;
  if (format === "yaml") return stringify(value, { aliasDuplicateObjects: false });
  return table();
};
