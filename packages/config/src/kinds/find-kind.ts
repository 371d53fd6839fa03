/** Which kind an apiVersion and a kind name, or what was probably meant. */
import { nearest } from "../schema/nearest.ts";
import { kinds } from "./index.ts";
import type { Kind } from "./kind.ts";

export type FoundKind =
  | { readonly kind: "known"; readonly found: Kind }
  /** Of an API group that is no concern of weft's. */
  | { readonly kind: "foreign" }
  | { readonly kind: "unknown"; readonly about: "apiVersion" | "kind"; readonly message: string };

/** Groups in which every kind should be known; others belong to other systems. */
const ownGroups: ReadonlySet<string> = new Set(
  kinds
    .map(({ group }) => group)
    .filter((group) => group.endsWith("istio.io") || group === "weft.dev" || group === "" || group === "apps"),
);
const groups = [...new Set(kinds.map(({ group }) => group))];

export const findKind = (apiVersion: string, name: string): FoundKind => {
  const slash = apiVersion.lastIndexOf("/");
  const group = slash === -1 ? "" : apiVersion.slice(0, slash);
  const version = apiVersion.slice(slash + 1);
  const found = kinds.find((kind) => kind.name === name && kind.group === group);
  if (found) {
    if (found.versions.includes(version)) return { kind: "known", found };
    const served = found.versions.map((known) => apiVersionOf(group, known)).join(", ");
    return unknown("apiVersion", `${name} has no version ${JSON.stringify(apiVersion)} (accepted: ${served})`);
  }
  if (ownGroups.has(group)) return unknown("kind", unknownName(name, group));
  const meant = nearest(group, groups);
  if (meant === undefined || meant === group) return { kind: "foreign" };
  const right = kinds.find((kind) => kind.name === name && kind.group === meant);
  const hint = apiVersionOf(meant, right?.versions[0] ?? version);
  const given = JSON.stringify(apiVersion);
  return unknown("apiVersion", `unknown API group in apiVersion ${given} — did you mean ${JSON.stringify(hint)}?`);
};

const unknownName = (name: string, group: string): string => {
  const elsewhere = kinds.find((kind) => kind.name === name);
  if (elsewhere) {
    const right = apiVersionOf(elsewhere.group, elsewhere.versions[0] ?? "v1");
    return `kind ${name} is not of ${group === "" ? "the core group" : group}: write apiVersion: ${right}`;
  }
  const inGroup = kinds.filter((kind) => kind.group === group).map((kind) => kind.name);
  const all = kinds.map((kind) => kind.name);
  const guess = nearest(name, inGroup) ?? nearest(name, all);
  const hint = guess === undefined ? "" : ` — did you mean ${JSON.stringify(guess)}?`;
  const shown = group === "" ? "" : ` (accepted in ${group}: ${inGroup.join(", ")})`;
  return `unknown kind ${JSON.stringify(name)}${hint}${shown}`;
};

const apiVersionOf = (group: string, version: string): string => (group === "" ? version : `${group}/${version}`);

const unknown = (about: "apiVersion" | "kind", message: string): FoundKind => ({ kind: "unknown", about, message });
