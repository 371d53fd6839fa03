/** What sidecars kept before there was a cache: one file with one checksum, used whole or not at all. */
import { createHash } from "node:crypto";
import type { Logger } from "@weft/core/world";
import { type ResourceJson, type ResourceKind, resourceTypes } from "@weft/xds/resource";
import type { SavedResources } from "./restore-entries.ts";

export interface FormerFile {
  read(): string | undefined;
  remove(): void;
}

interface SavedResource {
  readonly name: string;
  readonly version: string;
  readonly json: ResourceJson[ResourceKind];
}

const format = "weft-last-good-1";
const textLengthMax = 256 * 1024 * 1024;
const kinds: ReadonlySet<unknown> = new Set(resourceTypes.map(({ kind }) => kind));

/** Why the text is not used, or what it has. */
const parse = (text: string, nodeId: string): SavedResources | string => {
  if (text.length > textLengthMax) return "it is too large";
  const end = text.indexOf("\n");
  const content = text.slice(end + 1);
  const head = JSON.parse(text.slice(0, end)) as { format?: unknown; node?: unknown; sha256?: unknown };
  if (head.format !== format) return "it is of another format";
  if (head.node !== nodeId) return `it belongs to ${String(head.node)}`;
  if (head.sha256 !== createHash("sha256").update(content).digest("hex")) return "it is damaged";
  const saved = (JSON.parse(content) as [ResourceKind, SavedResource[]][]).filter(([of]) => kinds.has(of));
  return new Map(saved.map(([of, all]) => [of, all.map(({ name, version, json }) => ({ name, version, json }))]));
};

export const readFormer = (
  file: FormerFile | undefined,
  nodeId: string,
  log: Pick<Logger, "warn">,
): SavedResources | undefined => {
  let why: string;
  try {
    const text = file?.read();
    if (text === undefined) return undefined;
    const parsed = parse(text, nodeId);
    if (typeof parsed !== "string") return parsed;
    why = parsed;
  } catch (error) {
    why = error instanceof SyntaxError ? "it is damaged" : String(error);
  }
  log.warn("last good resources are not used", { code: "WF3305", why });
  return undefined;
};
