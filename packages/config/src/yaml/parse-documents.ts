/** Text to documents: YAML or JSON, several in one stream, each value with its place. */
import type { SourcePosition } from "@weft/core/error";
import { type Document, parseDocument } from "yaml";
import type { Finding } from "../finding.ts";
import type { FieldPath } from "../schema/problem.ts";
import { convertTree, locatePath, type TreeProblem } from "./convert.ts";
import { documentsMax, fileBytesMax } from "./limits.ts";
import { type LineMap, lineMap } from "./line-map.ts";
import { splitDocuments, type TextDocument } from "./split.ts";

export interface SourceDocument {
  readonly file: string;
  /** Plain values: records, arrays, strings, numbers, booleans, null. */
  readonly value: unknown;
  /** Where the value (or with `onKey` its key) at the path is; its nearest parent's place when it is absent. */
  readonly positionOf: (path: FieldPath, onKey?: boolean) => SourcePosition;
}

export interface ParsedText {
  readonly documents: readonly SourceDocument[];
  /** What could not be read, each at its place; a document that could not is not among `documents`. */
  readonly problems: readonly Finding[];
}

export const yamlCodes = { malformed: "WF1001", duplicateKey: "WF1012", bound: "WF1008" } as const;

/** Never throws: what is wrong with one document is a problem and leaves the others whole. */
export const parseDocuments = (text: string, file: string): ParsedText => {
  const bytes = Buffer.byteLength(text);
  if (bytes > fileBytesMax) {
    const message = `the file has ${bytes} bytes; at most ${fileBytesMax} are read: split it`;
    return { documents: [], problems: [textFinding(yamlCodes.bound, message, { file, line: 1, column: 1 })] };
  }
  const stream = text.replace(/^\uFEFF/, "");
  const place = lineMap(stream, file);
  const documents: SourceDocument[] = [];
  const problems: Finding[] = [];
  const pieces = splitDocuments(stream);
  for (const piece of pieces.slice(0, documentsMax)) {
    const read = readDocument(piece, file, place);
    problems.push(...read.problems);
    if (read.document) documents.push(read.document);
  }
  const extra = pieces[documentsMax];
  if (extra) {
    const message = `the file has ${pieces.length} documents; only the first ${documentsMax} are read: split it`;
    problems.push(textFinding(yamlCodes.bound, message, place(extra.offset)));
  }
  return { documents, problems };
};

interface ReadDocument {
  readonly document?: SourceDocument;
  readonly problems: readonly Finding[];
}

const readDocument = (piece: TextDocument, file: string, place: LineMap): ReadDocument => {
  const at = (offset: number) => place(piece.offset + offset);
  const refused = (code: string, message: string, offset: number): ReadDocument => ({
    problems: [textFinding(code, message, at(offset))],
  });
  const control = piece.text.search(controlCharacter);
  if (control !== -1) return refused(yamlCodes.malformed, "not YAML: the text has a control character", control);
  const tree = parseTree(piece.text);
  const [error] = tree?.errors ?? [];
  if (!tree || error?.message.includes(stackMessage)) {
    return refused(yamlCodes.bound, "values are nested too deep", error?.pos[0] ?? 0);
  }
  if (error) return refused(yamlCodes.malformed, `not YAML: ${error.message.split("\n")[0] ?? ""}`, error.pos[0]);
  const converted = convertTree(tree);
  if (converted.kind === "refused") {
    const found = (problem: TreeProblem) => textFinding(codeOf(problem), problem.message, at(problem.offset));
    return { problems: converted.problems.map(found) };
  }
  if (converted.value === null) return { problems: [] };
  return { document: { file, value: converted.value, positionOf: positionFinder(piece.text, tree, at) }, problems: [] };
};

/** YAML 1.2 §5.1: tab, line feed and carriage return are the only control characters a text may hold. */
const controlCharacter = /[\0-\x08\x0b\x0c\x0e-\x1f\x7f]/;

/** How the engine says that recursion went too deep; the parser passes it on as an error of the text. */
const stackMessage = "call stack";

/**
 * Parses again when asked: places are wanted rarely, and a tree costs some fifty times its text. The tree is held
 * weakly, so that many places in one document cost one parse.
 */
const positionFinder = (
  text: string,
  parsed: Document.Parsed,
  at: (offset: number) => SourcePosition,
): SourceDocument["positionOf"] => {
  const start = at(locatePath(parsed, [], false));
  let held: WeakRef<Document.Parsed> | undefined;
  return (path, onKey = false) => {
    if (path.length === 0) return start;
    const tree = held?.deref() ?? parseTree(text);
    if (!tree) return start;
    held = new WeakRef(tree);
    return at(locatePath(tree, path, onKey, text));
  };
};

/** `undefined` when the text nests deeper than the parser's stack reaches. */
const parseTree = (text: string): Document.Parsed | undefined => {
  try {
    return parseDocument(text, { uniqueKeys: false, merge: true, prettyErrors: false, logLevel: "silent" });
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
};

const codeOf = ({ kind }: TreeProblem): string =>
  kind === "duplicate" ? yamlCodes.duplicateKey : kind === "bound" ? yamlCodes.bound : yamlCodes.malformed;

const textFinding = (code: string, message: string, position: SourcePosition): Finding => ({
  code,
  level: "error",
  message,
  kind: "",
  namespace: "",
  name: "",
  ...position,
  also: code === yamlCodes.malformed ? ["IST0106"] : [],
});
