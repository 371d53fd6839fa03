/**
 * Names of whole configurations, the same wherever the same objects are in force, and when each was in force here. By them
 * control planes tell each other which configuration a proxy has, without comparing clocks.
 */
import type { ConfigObject } from "@weft/config/config-object";
import { contentHash, hashOf } from "@weft/xds/content-hash";

/** So many of the last configurations are remembered. */
export const termsMax = 32;

/** A time in which nothing changed. */
export interface ConfigTerm {
  readonly config: string;
  /** Grows with each term, from 1. */
  readonly number: number;
  readonly sinceMs: number;
  /** When it was last seen to go on. */
  readonly lastMs: number;
}

export interface ConfigTerms {
  /** What is in force now. Gives the term that goes on. */
  note(objects: readonly ConfigObject[], nowMs: number): ConfigTerm;
  /** The newest first. */
  list(): readonly ConfigTerm[];
  /** When exactly that was last in force here; `undefined`: not lately. */
  lastMs(config: string): number | undefined;
}

/** Others than these have no status, and come and go with workloads; nothing that is made of a secret is told. */
const unnamedKinds: ReadonlySet<string> = new Set(["Secret", "Service", "Endpoints", "EndpointSlice"]);

export const createConfigTerms = (): ConfigTerms => {
  const hashes = new WeakMap<object, string>();
  let terms: readonly ConfigTerm[] = [];
  let known: readonly ConfigObject[] = [];
  const hashOfObject = (object: ConfigObject): string => {
    const hash = hashes.get(object) ?? contentHash([object.kind, object.namespace, object.name, object.spec]);
    hashes.set(object, hash);
    return hash;
  };
  const nameOf = (objects: readonly ConfigObject[]): string =>
    hashOf(
      objects
        .filter(({ kind }) => !unnamedKinds.has(kind))
        .map(hashOfObject)
        .sort()
        .join(""),
    );
  return {
    note(objects, nowMs) {
      const [last, ...before] = terms;
      const isSame = objects.length === known.length && objects.every((object, index) => object === known[index]);
      known = objects;
      const config = last && isSame ? last.config : nameOf(objects);
      const term: ConfigTerm =
        last?.config === config
          ? { ...last, lastMs: nowMs }
          : { config, number: (last?.number ?? 0) + 1, sinceMs: nowMs, lastMs: nowMs };
      terms = last?.config === config ? [term, ...before] : [term, ...terms.slice(0, termsMax - 1)];
      return term;
    },
    list: () => terms,
    lastMs: (config) => terms.find((term) => term.config === config)?.lastMs,
  };
};
