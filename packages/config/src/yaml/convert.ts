/** Turns a parsed YAML tree into plain values within bounds, and finds the place of a path in such a tree. */

import { type Document, isAlias, isMap, isScalar, isSeq, type Node, type Pair, type YAMLMap } from "yaml";
import type { FieldPath } from "../schema/problem.ts";
import { depthMax, nodesMax } from "./limits.ts";

/** Something a tree may not contain; `offset` is into the document's text. */
export interface TreeProblem {
  readonly kind: "duplicate" | "bound" | "malformed";
  readonly message: string;
  readonly offset: number;
}

export type Converted =
  | { readonly kind: "value"; readonly value: unknown }
  | { readonly kind: "refused"; readonly problems: readonly TreeProblem[] };

class Refusal extends Error {
  readonly problem: TreeProblem;
  constructor(problem: TreeProblem) {
    super(problem.message);
    this.problem = problem;
  }
}

/** Aliases are expanded and `<<` merged; duplicate keys, loops and trees beyond the bounds are refused. */
export const convertTree = (document: Document.Parsed): Converted => {
  const duplicates: TreeProblem[] = [];
  try {
    const value = treeWalker(duplicates)(document.contents, 0);
    return duplicates.length === 0 ? { kind: "value", value } : { kind: "refused", problems: duplicates };
  } catch (error) {
    if (error instanceof Refusal) return { kind: "refused", problems: [...duplicates, error.problem] };
    throw error;
  }
};

const refuse = (kind: TreeProblem["kind"], message: string, node: unknown): never => {
  throw new Refusal({ kind, message, offset: offsetOf(node) });
};

const treeWalker = (duplicates: TreeProblem[]) => {
  let nodes = 0;
  const anchors = new Map<string, Node>();

  const walk = (node: unknown, depth: number): unknown => {
    if (++nodes > nodesMax) refuse("bound", `the document holds more than ${nodesMax} values, aliases expanded`, node);
    if (depth > depthMax) refuse("bound", `values are nested more than ${depthMax} deep`, node);
    if (isAlias(node)) {
      const target = anchors.get(node.source);
      return target
        ? walk(target, depth + 1)
        : refuse("malformed", `alias *${node.source} names no anchor before it`, node);
    }
    if ((isScalar(node) || isSeq(node) || isMap(node)) && node.anchor !== undefined) anchors.set(node.anchor, node);
    if (isScalar(node)) return typeof node.value === "bigint" ? Number(node.value) : node.value;
    if (isSeq(node)) return node.items.map((item) => walk(item, depth + 1));
    return isMap(node) ? walkMap(node, depth) : null;
  };

  const walkMap = (map: YAMLMap, depth: number): Record<string, unknown> => {
    const entries = new Map<string, unknown>();
    const merged: unknown[] = [];
    for (const pair of map.items) {
      if (isMerge(pair)) {
        merged.push(walk(pair.value, depth + 1));
        continue;
      }
      const key = keyText(pair.key) ?? refuse("malformed", "a key must be a plain text", pair.key);
      if (entries.has(key)) {
        const message = `key ${JSON.stringify(key)} stands twice: remove one`;
        duplicates.push({ kind: "duplicate", message, offset: offsetOf(pair.key) });
      }
      entries.set(key, walk(pair.value, depth + 1));
    }
    for (const source of merged.flat()) {
      if (!isRecord(source)) return refuse("malformed", "`<<` must name a map or a list of maps", map);
      for (const [key, value] of Object.entries(source)) if (!entries.has(key)) entries.set(key, value);
    }
    return Object.fromEntries(entries);
  };
  return walk;
};

/**
 * The offset of the value or, with `onKey`, the key at `path`; of its nearest parent when it is absent. Below a block of
 * text (`|`), two numbers are a line and a column within it, both from 1. `text` is what the document was read from.
 */
export const locatePath = (document: Document.Parsed, path: FieldPath, onKey: boolean, text = ""): number => {
  let node: unknown = document.contents;
  let offset = offsetOf(node);
  for (const [depth, step] of path.entries()) {
    const here = isAlias(node) ? node.resolve(document) : node;
    if (isMap(here)) {
      const pair = findPair(here, String(step));
      if (!pair) return offset;
      const last = depth === path.length - 1;
      const valueAt = offsetOf(pair.value, offsetOf(pair.key));
      offset = onKey || !last || !isScalar(pair.value) ? offsetOf(pair.key) : valueAt;
      node = pair.value;
    } else if (isSeq(here) && typeof step === "number" && step < here.items.length) {
      node = here.items[step];
      offset = offsetOf(node, offset);
    } else if (isScalar(here) && here.type === "BLOCK_LITERAL" && typeof step === "number") {
      return offsetInBlock(text, offsetOf(here), [step, Number(path[depth + 1] ?? 1)]);
    } else return offset;
  }
  return offset;
};

/** Lines of a block begin below its `|` and all have the first line's indentation. */
const offsetInBlock = (text: string, indicator: number, [line, column]: readonly [number, number]): number => {
  const first = text.indexOf("\n", indicator) + 1;
  const indent = /^[ ]*/.exec(text.slice(first))?.[0].length ?? 0;
  let start = first;
  for (let left = line; left > 1; left--) {
    const next = text.indexOf("\n", start);
    if (next === -1) break;
    start = next + 1;
  }
  return start + indent + column - 1;
};

const findPair = (map: YAMLMap, key: string): Pair | undefined =>
  map.items.findLast((pair) => keyText(pair.key) === key);

const isMerge = (pair: Pair): boolean =>
  isScalar(pair.key) && (pair.key.value === "<<" || typeof pair.key.value === "symbol") && pair.key.type === "PLAIN";

/** YAML's numbers and booleans stand for their text as keys, as in JSON. */
const keyText = (key: unknown): string | undefined => {
  if (!isScalar(key)) return undefined;
  if (typeof key.value === "string") return key.value;
  return key.value === null || key.value === undefined ? undefined : (key.source ?? String(key.value));
};

const offsetOf = (node: unknown, fallback = 0): number => (node as Node | null | undefined)?.range?.[0] ?? fallback;

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
