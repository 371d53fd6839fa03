/**
 * Cuts a stream into documents before any of them is parsed, so that one broken document cannot swallow the next.
 * A line that begins with `---` or `...` ends a document wherever it stands, even inside a scalar (YAML 1.2 §9.1.2).
 */
export interface TextDocument {
  readonly text: string;
  /** Offset of `text` in the whole stream. */
  readonly offset: number;
}

const marker = /^(?:---|\.\.\.)(?=[\s]|$)/gm;
const directive = /^%[^\n]*$/gm;
const onlyComments = /^(?:\s*(?:#[^\n]*)?(?:\n|$))*$/;

/** Documents that hold more than comments, in order; directives are left out. */
export const splitDocuments = (stream: string): TextDocument[] => {
  const documents: TextDocument[] = [];
  let start = 0;
  const push = (from: number, to: number, beforeMarker: boolean) => {
    const raw = stream.slice(from, to);
    const text = beforeMarker ? raw.replace(directive, (line) => " ".repeat(line.length)) : raw;
    if (!isBlank(text)) documents.push({ text, offset: from });
  };
  for (const { index, 0: mark } of stream.matchAll(marker)) {
    push(start, index, true);
    start = index + mark.length;
  }
  push(start, stream.length, false);
  return documents;
};

const isBlank = (text: string): boolean => text.split("\n").every((line) => onlyComments.test(line));
