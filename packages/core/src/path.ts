/** Joins parts of a file path with one slash between them; pure, so that code without I/O can name files. */
export const joinPath = (...parts: readonly string[]): string =>
  parts
    .filter((part) => part !== "")
    .join("/")
    .replace(/\/{2,}/g, "/");
