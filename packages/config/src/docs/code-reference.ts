/** Prints the reference of all findings. */
import { explain, listCodes } from "../analyze/explain.ts";

/** Markdown: a table of codes, then a section each. */
export const codeReference = (): string => {
  const codes = listCodes();
  const rows = codes.map(({ code, level, title, also }) => `| ${code} | ${level} | ${title} | ${also.join(", ")} |`);
  const table = ["| Code | Level | Meaning | Also |", "|---|---|---|---|", ...rows].join("\n");
  const sections = codes.map(({ code }) => explain(code) ?? "");
  return `# Findings\n\n${table}\n\n${sections.join("\n")}`;
};
