/** What the codes outside configuration mean; those of configuration are in `@weft/config/analyze/explain`. */
import { codesFrom5000 } from "./codes-from-5000.ts";
import { codesTo4999 } from "./codes-to-4999.ts";

export interface CodeMeaning {
  readonly code: string;
  readonly title: string;
  /** What happens because of it, and what to do. */
  readonly explain: string;
}

/** Every code outside configuration, in order. */
export const otherCodes: readonly CodeMeaning[] = `${codesTo4999}${codesFrom5000}`
  .trim()
  .split(/\n+(?=WF)/)
  .map((entry) => {
    const [head = "", ...lines] = entry.split("\n");
    return { code: head.slice(0, 6), title: head.slice(7), explain: lines.map((line) => line.trim()).join(" ") };
  });

/** Markdown about a code; `undefined` for one that is not here. */
export const explainOther = (code: string): string | undefined => {
  const found = otherCodes.find((meaning) => meaning.code === code.trim().toUpperCase());
  return found && `## ${found.code} ${found.title}\n\n${found.explain}\n`;
};
