/**
 * Columns padded to their widest cell, two spaces apart, headings in capitals, no trailing blanks. Whatever names hold,
 * a row stays one line and leaves the terminal as it was; colours stand.
 */
export const formatTable = (headings: readonly string[], rows: readonly (readonly string[])[]): string => {
  const all = [headings, ...rows.map((row) => row.map(oneLine))];
  const widths = headings.map((_, column) => Math.max(...all.map((row) => visibleWidth(row[column] ?? ""))));
  return all
    .map((row) =>
      headings
        .map((_, column) => pad(row[column] ?? "", widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .map((line) => `${line}\n`)
    .join("");
};

const escapes = new RegExp(`${String.fromCharCode(27)}\\[[0-9;]*m`, "g");
const escapesOrControls = new RegExp(`${escapes.source}|\\p{Cc}`, "gu");

/** The text with control characters as `\u` and their number, but for colours: what somebody chose makes no lines. */
export const oneLine = (text: string): string =>
  text.replace(escapesOrControls, (found) =>
    found.length > 1 ? found : `\\u${found.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );

/** Width on a terminal: colour escapes take none. */
export const visibleWidth = (text: string): number => text.replace(escapes, "").length;
const pad = (text: string, width: number): string => text + " ".repeat(Math.max(0, width - visibleWidth(text)));
