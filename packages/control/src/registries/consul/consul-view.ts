/**
 * What Consul answered, as events. Two answers of one query that follow each other show what was taken out in between:
 * that is a fact. The first answer after a connection was lost is only a list, as Consul may have come back without its
 * data. And it is a hint where the token hides what it showed before. Also where the catalogue lost more than half of its
 * services at once, unless it goes on showing Consul's own service: then it is neither empty nor cut short by a token.
 */
import { sameValue } from "@weft/core/equal";
import type { SourceEvent, SourceInstance } from "../outside/source-events.ts";
import type { ConsulAnswer } from "./consul-calls.ts";
import { type ConsulRules, escaped, ownService, readConsulEntry } from "./consul-record.ts";

export interface ConsulView {
  /** A connection begins: until `list`, answers are only collected. */
  begin(): void;
  /** Throws for an answer that is none, or whose index went back. */
  catalogue(answer: ConsulAnswer): CatalogueNews;
  /**
   * As `catalogue`; says whether anything is otherwise than before. `continued`: the answer before was to the same query
   * that waits. Only then do indexes compare: Consul answers those from a stream, with others than it gives at once.
   */
  service(
    name: string,
    answer: ConsulAnswer,
    continued: boolean,
  ): { readonly events: readonly SourceEvent[]; readonly changed: boolean };
  /** The service's answer cannot be taken: what it had stays, and it is told once. */
  refuse(name: string, problem: string): readonly SourceEvent[];
  /** All that was collected. From now on answers tell what changed. */
  list(): readonly SourceEvent[];
  /** What to ask the next answer after; `undefined` of a service that was not read. */
  indexOf(name: string): number | undefined;
  servicesOn(node: string): readonly string[];
}

export interface CatalogueNews {
  readonly events: readonly SourceEvent[];
  readonly added: readonly string[];
  readonly gone: readonly string[];
  /** Not in the catalogue, and told about by an answer that may be the newer one: to be read again. */
  readonly doubtful: readonly string[];
}

interface ServiceState {
  readonly index: number;
  readonly filtered: boolean;
  readonly instances: ReadonlyMap<string, SourceInstance>;
  readonly unreadable: ReadonlyMap<string, string>;
  readonly nodes: ReadonlySet<string>;
}

interface CatalogueState {
  readonly index: number;
  readonly filtered: boolean;
  readonly names: ReadonlySet<string>;
  /** It shows Consul's own service, as every catalogue does that is neither empty nor hidden from the token. */
  readonly showsConsul: boolean;
}

/** Fewer services than these can go at once and be believed, whatever share of all they are. */
const goneAtOnceMin = 3;

export const createConsulView = (rules: ConsulRules): ConsulView => {
  let services = new Map<string, ServiceState>();
  /** As they were on the connection before, until this one has a list. */
  let earlier: ReadonlyMap<string, ServiceState> = new Map();
  let catalogue: CatalogueState | undefined;
  let listing = true;
  /** Services whose answers cannot be taken, and why. */
  const refused = new Map<string, string>();

  return {
    begin() {
      earlier = services;
      services = new Map();
      refused.clear();
      catalogue = undefined;
      listing = true;
    },
    catalogue({ index, filtered, body }) {
      const { names, showsConsul } = namesIn(body, rules.tags);
      const before = catalogue;
      checkIndex("the catalogue", before?.index, index);
      catalogue = { index, filtered, names, showsConsul };
      const added = [...names].filter((name) => !services.has(name) && !before?.names.has(name));
      const absent = listing ? [] : [...services].filter(([name]) => !names.has(name));
      const gone = absent.filter(([, state]) => state.index <= index);
      const hides = before !== undefined && filtered && !before.filtered;
      const isWhole = showsConsul && before?.showsConsul === true && !filtered;
      const most = !isWhole && gone.length >= goneAtOnceMin && 2 * gone.length > (before?.names.size ?? 0);
      for (const [name] of gone) services.delete(name);
      const keys = gone.flatMap(([, state]) => [...keysOf(state)]);
      return {
        events: goneEvents(keys, hides || most),
        added,
        gone: gone.map(([name]) => name),
        doubtful: absent.filter((one) => !gone.includes(one)).map(([name]) => name),
      };
    },
    service(name, answer, continued) {
      const before = services.get(name);
      if (continued) checkIndex(name, before?.index, answer.index);
      const state = readService(name, answer, rules);
      services.set(name, state);
      const isBack = refused.delete(name);
      if (listing) return { events: [], changed: true };
      const events: SourceEvent[] = [...state.unreadable]
        .filter(([key, problem]) => before?.unreadable.get(key) !== problem)
        .map(([key, problem]) => unreadableEvent(key, problem));
      for (const [key, instance] of state.instances) {
        if (!sameValue(before?.instances.get(key), instance)) events.push({ kind: "put", instance });
      }
      const present = keysOf(state);
      if (isBack) {
        // What else was known of it may be from before a connection was lost.
        events.push({ kind: "readable", key: escaped(name), keys: [...present] });
        return { events, changed: true };
      }
      const gone = before ? [...keysOf(before)].filter((key) => !present.has(key)) : [];
      const hides = before !== undefined && state.filtered && !before.filtered;
      events.push(...goneEvents(gone, hides));
      return { events, changed: events.length > 0 };
    },
    refuse(name, problem) {
      if (refused.get(name) === problem) return [];
      refused.set(name, problem);
      const before = earlier.get(name);
      if (listing && before) services.set(name, before);
      return listing ? [] : [refusedEvent(name, problem)];
    },
    list() {
      listing = false;
      earlier = new Map();
      const all = [...services.values()];
      const unreadable = all.flatMap((one) =>
        [...one.unreadable].map(([key, problem]) => unreadableEvent(key, problem)),
      );
      const whole = [...refused].map(([name, problem]) => refusedEvent(name, problem));
      return [
        ...whole,
        ...unreadable,
        { kind: "listed", instances: all.flatMap(({ instances }) => [...instances.values()]) },
      ];
    },
    indexOf: (name) => services.get(name)?.index,
    servicesOn: (node) => [...services].filter(([, { nodes }]) => nodes.has(node)).map(([name]) => name),
  };
};

const unreadableEvent = (key: string, problem: string): SourceEvent => ({ kind: "unreadable", key, problem });
const refusedEvent = (service: string, problem: string): SourceEvent => ({
  ...{ kind: "unreadable", key: escaped(service), problem, whole: true },
});
const goneEvents = (keys: readonly string[], isHint: boolean): readonly SourceEvent[] => {
  if (isHint && keys.length > 0) return [{ kind: "missing", keys }];
  return keys.map((key) => ({ kind: "removed", key, because: "deleted" }));
};
const keysOf = ({ instances, unreadable }: ServiceState): ReadonlySet<string> =>
  new Set([...instances.keys(), ...unreadable.keys()]);

const checkIndex = (what: string, before: number | undefined, index: number): void => {
  if (before !== undefined && index < before) throw new Error(`the index of ${what} went back, ${before} to ${index}`);
};

const readService = (name: string, { index, filtered, body }: ConsulAnswer, rules: ConsulRules): ServiceState => {
  if (!Array.isArray(body)) throw new Error(`the answer for the service ${name} is no list`);
  const instances = new Map<string, SourceInstance>();
  const unreadable = new Map<string, string>();
  const nodes = new Set<string>();
  for (const entry of body as readonly unknown[]) {
    const record = readConsulEntry(name, entry, rules);
    if (record.kind === "unreadable") unreadable.set(record.key, record.problem);
    else if (record.kind === "instance" && instances.has(record.key)) {
      unreadable.set(`${record.key}#twice`, "is there twice; the first is used");
    } else if (record.kind === "instance") {
      instances.set(record.key, record.instance);
      nodes.add(record.node);
    }
  }
  return { index, filtered, instances, unreadable, nodes };
};

const namesIn = (
  body: unknown,
  tags: readonly string[],
): { readonly names: ReadonlySet<string>; readonly showsConsul: boolean } => {
  if (typeof body !== "object" || body === null || Array.isArray(body))
    throw new Error("the answer for the catalogue is no object of services");
  const names = new Set<string>();
  for (const [name, own] of Object.entries(body)) {
    if (name !== ownService && tags.every((tag) => Array.isArray(own) && own.includes(tag))) names.add(name);
  }
  return { names, showsConsul: Object.hasOwn(body, ownService) };
};
