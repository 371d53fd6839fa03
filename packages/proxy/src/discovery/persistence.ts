/**
 * The last good resources on disk: what the sidecar starts from when no control plane answers. One file, written
 * whole; a file that is damaged, too large, or of another proxy is as good as none.
 */
import { createHash } from "node:crypto";
import type { ResourceJson, ResourceKind } from "@weft/xds/resource";
import { resourceTypes } from "@weft/xds/resource";
import type { ResourceOffer, ResourceStore } from "./resource-store.ts";

/** Where the text is kept. Writing replaces it at once or not at all. */
export interface TextFile {
  read(): string | undefined;
  write(text: string): void;
}

export interface LastGood {
  /** In the order to offer them: what others refer to comes after its referrer, so that it is wanted when it comes. */
  readonly resources: readonly { readonly of: ResourceKind; readonly offers: readonly ResourceOffer[] }[];
}

const format = "weft-last-good-1";
const textLengthMax = 256 * 1024 * 1024;
const offerOrder: readonly ResourceKind[] = ["cluster", "endpoints", "listener", "route", "secret"];

const digest = (text: string): string => createHash("sha256").update(text).digest("hex");

/** The active resources of one source as text: a line of format, node and checksum, then the content. */
export const formatLastGood = (store: ResourceStore, source: string, nodeId: string): string => {
  const content = JSON.stringify(
    offerOrder.map((of) => [
      of,
      [...store.entries(of).values()].flatMap(({ active }) =>
        active?.source === source ? [{ name: active.name, version: active.version, json: active.json }] : [],
      ),
    ]),
  );
  return `${JSON.stringify({ format, node: nodeId, sha256: digest(content) })}\n${content}`;
};

/** `undefined` with the reason told when the text cannot be trusted. */
export const parseLastGood = (text: string, nodeId: string, tell: (why: string) => void): LastGood | undefined => {
  const refuse = (why: string): undefined => {
    tell(why);
    return undefined;
  };
  if (text.length > textLengthMax) return refuse("it is too large");
  const end = text.indexOf("\n");
  const content = text.slice(end + 1);
  try {
    const head = JSON.parse(text.slice(0, end)) as { format?: unknown; node?: unknown; sha256?: unknown };
    if (head.format !== format) return refuse("it is of another format");
    if (head.node !== nodeId) return refuse(`it belongs to ${String(head.node)}`);
    if (head.sha256 !== digest(content)) return refuse("it is damaged");
    const kinds = new Set<string>(resourceTypes.map(({ kind }) => kind));
    const resources = (JSON.parse(content) as [ResourceKind, SavedResource[]][])
      .filter(([of]) => kinds.has(of))
      .map(([of, saved]) => ({ of, offers: saved.map(({ name, version, json }) => ({ name, version, json })) }));
    return { resources };
  } catch {
    return refuse("it is damaged");
  }
};

interface SavedResource {
  readonly name: string;
  readonly version: string;
  readonly json: ResourceJson[ResourceKind];
}
