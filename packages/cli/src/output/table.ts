/** Columns padded to their widest cell, two spaces apart, headings in capitals, no trailing blanks. */
export const formatTable = (headings: readonly string[], rows: readonly (readonly string[])[]): string => {
  const all = [headings, ...rows];
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
/** Width on a terminal: colour escapes take none. */
export const visibleWidth = (text: string): number => text.replace(escapes, "").length;
const pad = (text: string, width: number): string => text + " ".repeat(Math.max(0, width - visibleWidth(text)));
