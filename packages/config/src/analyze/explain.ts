/** What codes mean, offline. */
import type { CodeFacts } from "./analyzer.ts";
import { analyzers } from "./index.ts";
import { madeCodes } from "./made-codes.ts";
import { readingCodes } from "./reading-codes.ts";

/** Every code of configuration, in order. */
export const listCodes = (): readonly CodeFacts[] =>
  [...readingCodes, ...analyzers, ...madeCodes].toSorted((a, b) => (a.code < b.code ? -1 : 1));

/**
 * Markdown about a code: what it means and, for findings between objects, an example and its cure. Istio's and Kiali's
 * codes lead to ours. `undefined` for a code that is none.
 */
export const explain = (code: string): string | undefined => {
  const wanted = code.trim().toUpperCase();
  const found = listCodes().filter((facts) => facts.code === wanted || facts.also.includes(wanted));
  return found.length === 0 ? undefined : `${found.map(page).join("\n\n")}\n`;
};

const page = ({ code, level, also, title, explain: text }: CodeFacts): string => {
  const same = also.length === 0 ? "" : ` · also ${also.join(", ")}`;
  const example = analyzers.find((analyzer) => analyzer.code === code)?.example;
  const shown = example
    ? [`Reported:\n\n\`\`\`yaml${example.bad}\`\`\``, `Put right:\n\n\`\`\`yaml${example.good}\`\`\``]
    : [];
  return [`## ${code} ${title}`, `${level}${same}`, text.replaceAll("\n", " "), ...shown].join("\n\n");
};
