/** YAML or JSON as a person wrote it, with a way back from a value's path to its place in the file. */
import { type SourcePosition, WeftError } from "@weft/core/error";
import { loadModule } from "@weft/net/load-module";
import type { JsonPath } from "@weft/xds/json-check";
import type { Document, Node } from "yaml";

export interface YamlText {
  readonly json: unknown;
  /** Where the value at that path begins, or the nearest thing above it. */
  readonly position: (path: JsonPath) => SourcePosition;
}

/** Most sidecars are started by flags and never read YAML. */
const yaml = (): typeof import("yaml") => loadModule("yaml") as typeof import("yaml");

const textLengthMax = 64 * 1024 * 1024;

/** Parses one document. Throws WF3100 with the place of what is not YAML. */
export const parseYamlText = (text: string, file: string): YamlText => {
  const start = { file, line: 1, column: 1 };
  if (text.length > textLengthMax) throw new WeftError("WF3100", "the file is too large", { where: start });
  const { LineCounter, parseDocument } = yaml();
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: false, merge: true, prettyErrors: false });
  const at = (offset: number): SourcePosition => {
    const { line, col } = lines.linePos(offset);
    return { file, line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  const [error] = document.errors;
  if (error) throw new WeftError("WF3100", error.message, { where: at(error.pos[0]) });
  const repeated = repeatedKey(document);
  if (repeated !== undefined) throw new WeftError("WF3100", "Map keys must be unique", { where: at(repeated) });
  let json: unknown;
  try {
    json = document.toJS({ maxAliasCount: 100 });
  } catch (cause) {
    throw new WeftError("WF3100", cause instanceof Error ? cause.message : String(cause), { where: start, cause });
  }
  return {
    json,
    position: (path) => {
      const offset = offsetOf(document.contents as Node | null, path);
      return offset === undefined ? start : at(offset);
    },
  };
};

/** Where a key stands for the second time. The parser's own check compares each key with every other. */
const repeatedKey = (document: Document): number | undefined => {
  const { isScalar, visit } = yaml();
  let offset: number | undefined;
  visit(document, {
    Map: (_, { items }) => {
      const seen = new Set<unknown>();
      for (const { key } of items) {
        if (!isScalar(key) || key.value === "<<") continue;
        if (seen.has(key.value)) {
          offset = key.range?.[0] ?? 0;
          return visit.BREAK;
        }
        seen.add(key.value);
      }
      return undefined;
    },
  });
  return offset;
};

const offsetOf = (root: Node | null, path: JsonPath): number | undefined => {
  const { isMap, isSeq } = yaml();
  let node: Node | null = root;
  let offset = root?.range?.[0];
  for (const step of path) {
    if (isMap(node)) {
      const pair = node.items.find(
        ({ key }) => String((key as { value?: unknown } | null)?.value ?? key) === String(step),
      );
      if (!pair) return offset;
      offset = (pair.key as Node | null)?.range?.[0] ?? offset;
      node = pair.value as Node | null;
    } else if (isSeq(node) && typeof step === "number") {
      node = node.items[step] as Node | null;
      offset = node?.range?.[0] ?? offset;
    } else return offset;
  }
  return offset;
};
