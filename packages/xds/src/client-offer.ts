/** From a response's bytes to what is offered to the proxy, and to what is refused before it gets there. */
import type { ClientResponse } from "./client-dialect.ts";
import { type Interest, isWanted } from "./client-interest.ts";
import { decodeResource } from "./codec.ts";
import type { EncodedResource } from "./discovery.ts";
import { resourceName, type SubscribedJson, type SubscribedKind } from "./resource.ts";

export interface OfferedChange {
  readonly name: string;
  readonly version: string;
  /** Absent: the server says there is no such resource (any more). */
  readonly json: SubscribedJson[SubscribedKind] | undefined;
  /** Other names that it goes by; absent where it has none. */
  readonly aliases?: readonly string[];
}

export interface Refusal {
  readonly name: string;
  readonly reason: string;
}

/** How long a resource lives from now on; without end where it does not say. */
export type Lifetime = Pick<EncodedResource, "name" | "ttlMs">;

export interface Reading {
  readonly changes: readonly OfferedChange[];
  readonly refusals: readonly Refusal[];
  /** Of the resources in `changes` that come with a body. */
  readonly lifetimes: readonly Lifetime[];
  /** Heartbeats of what is held in that very version: they need no verdict. */
  readonly heartbeats: readonly Lifetime[];
}

/** Decodes what is wanted of a response; each resource stands or falls alone. */
export const readResponse = (interest: Interest, response: ClientResponse): Reading => {
  const changes = new Map<string, OfferedChange>();
  const refusals: Refusal[] = [];
  const repeated = new Set<string>();
  const lifetimes = new Map<string, Lifetime>();
  const silent = response.resources.filter(({ value }) => value === undefined);
  for (const resource of response.resources) {
    if (interest.type.kind === "virtualHost") noteAliases(interest, resource, changes);
    const read = readResource(interest, resource);
    if (!read) continue;
    if ("reason" in read) refusals.push(read);
    else if (!isWanted(interest, read.name)) continue;
    else if (changes.has(read.name)) repeated.add(read.name);
    else {
      changes.set(read.name, read);
      lifetimes.set(read.name, { ...resource, name: read.name });
    }
  }
  for (const name of repeated) {
    changes.delete(name);
    refusals.push({ name, reason: "comes twice in one response" });
  }
  const refused = new Set(refusals.map(({ name }) => name));
  // A response of nothing but heartbeats is no full set.
  const isPulse = silent.length > 0 && silent.length === response.resources.length && response.form === "sotw";
  const present = new Set([...changes.keys(), ...silent.map(({ name }) => name)]);
  for (const name of isPulse ? [] : removedNames(interest, response, present, refused))
    if (!changes.has(name) && !refused.has(name)) changes.set(name, { name, version: "", json: undefined });
  const isCurrent = ({ name, version }: EncodedResource): boolean => {
    const held = interest.held.get(name);
    return held !== undefined && (held === version || (response.form === "sotw" && interest.version === version));
  };
  const heartbeats = silent.filter((resource) => !changes.has(resource.name) && isCurrent(resource));
  return { changes: [...changes.values()], refusals, lifetimes: [...lifetimes.values()], heartbeats };
};

/** A virtual host is asked for by one of its aliases. One without a body is none: there is nothing by that name. */
const noteAliases = (
  interest: Interest,
  { name, aliases = [], value }: EncodedResource,
  changes: Map<string, OfferedChange>,
): void => {
  if (value !== undefined) {
    if (aliases.some((alias) => interest.wanted.has(alias))) interest.aliases.set(name, aliases);
    return;
  }
  if (interest.held.has(name)) return;
  for (const asked of [name, ...aliases])
    if (interest.wanted.has(asked)) changes.set(asked, { name: asked, version: "", json: undefined });
};

const readResource = (interest: Interest, resource: EncodedResource): OfferedChange | Refusal | undefined => {
  const { kind, typeUrl } = interest.type;
  // A heartbeat repeats a name without a body: nothing of it changed but how long it lives.
  if (resource.value === undefined) return undefined;
  if (resource.typeUrl !== typeUrl) return { name: resource.name, reason: `is a ${resource.typeUrl}, not ${typeUrl}` };
  try {
    const json = resource.json ?? decodeResource(typeUrl, resource.value);
    if (kind === "virtualHost") {
      const name = resource.name || ((json as SubscribedJson["virtualHost"]).name ?? "");
      const { aliases } = resource;
      return { name, version: resource.version, json, ...(aliases ? { aliases } : {}) };
    }
    const name = resourceName(kind, json as never);
    if (name === "") return { name: resource.name, reason: "has no name" };
    if (resource.name !== "" && resource.name !== name)
      return { name: resource.name, reason: `is named ${name} inside` };
    return { name, version: resource.version, json };
  } catch (error) {
    return { name: resource.name, reason: error instanceof Error ? error.message : String(error) };
  }
};

/** Delta names them. In state of the world only listeners and clusters can go, by not being in the full set. */
const removedNames = (
  interest: Interest,
  response: ClientResponse,
  present: ReadonlySet<string>,
  refused: ReadonlySet<string>,
): readonly string[] => {
  if (response.form === "delta") return response.removed.filter((name) => isWanted(interest, name));
  // A refused resource without a readable name could be any of those held: then nothing can be said to be gone.
  if (!interest.type.fullState || refused.has("")) return [];
  return [...interest.held.keys()].filter((name) => !present.has(name));
};
