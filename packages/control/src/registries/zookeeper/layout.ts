/** Where services and instances stand in a tree, and what a node means; one for each way applications register. */
import type { SourceInstance } from "../outside/source-events.ts";

export interface NodeRecord {
  readonly key: string;
  readonly namespace: string;
  readonly service: string;
  /** The name of the instance's node. */
  readonly name: string;
  /** Empty where the layout does not read it. */
  readonly data: Buffer;
}

export type ReadRecord =
  | { readonly kind: "instance"; readonly instance: SourceInstance }
  | { readonly kind: "unreadable"; readonly problem: string }
  /** No instance, and nothing wrong with it. */
  | { readonly kind: "other" };

export interface Layout {
  /** Below a service's node, whose children are the instances: "" or `/NAME`. */
  readonly listAt: string;
  /** Whether the node's data are read; else its name says all. */
  readonly readsData: boolean;
  readonly read: (record: NodeRecord) => ReadRecord;
}

export const unreadable = (problem: string): ReadRecord => ({ kind: "unreadable", problem });

/** What one path is in the tree under `base`. */
export type Place =
  | { readonly kind: "root" }
  | { readonly kind: "service"; readonly service: string }
  /** The node whose children are the instances, where it is not the service's own. */
  | { readonly kind: "list"; readonly service: string }
  | { readonly kind: "instance"; readonly service: string; readonly name: string };

export const childPath = (parent: string, name: string): string => `${parent === "/" ? "" : parent}/${name}`;

/** `undefined` for what is none of our concern. */
export const placeOf = (base: string, { listAt }: Layout, path: string): Place | undefined => {
  if (path === base) return { kind: "root" };
  const prefix = childPath(base, "");
  if (!path.startsWith(prefix)) return undefined;
  const below = path.slice(prefix.length);
  const slash = below.indexOf("/");
  if (slash < 0) return { kind: "service", service: below };
  const service = below.slice(0, slash);
  const rest = below.slice(slash);
  if (listAt !== "" && rest === listAt) return { kind: "list", service };
  if (!rest.startsWith(`${listAt}/`)) return undefined;
  const name = rest.slice(listAt.length + 1);
  return name.includes("/") ? undefined : { kind: "instance", service, name };
};
