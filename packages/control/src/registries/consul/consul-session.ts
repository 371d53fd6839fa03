/**
 * One connection to Consul, followed until it fails.
 *
 * Consul tells changes of one service at a time, to a query that waits on it, and lets a client have 200 connections by
 * default. So one query waits on each of the services that changed last (96, `watches=` of the URL): in most catalogues
 * those are all. Of a larger catalogue the others, the cold ones, are found out about by signals: a query that waits on
 * the catalogue tells which services come and go and that something changed, and one on all critical checks names what
 * fails, which is read at once. When the catalogue changed and no watched service explains it, the cold ones are read
 * again, at a bounded rate: 10,000 of them take 20 s. A query for each of 10,000 services would be refused by Consul;
 * one for all checks or all nodes would give everything again for each change.
 */
import type { SourceEvent, SourceTools } from "../outside/source-events.ts";
import { type ConsulAnswer, type ConsulCalls, ConsulTooLarge } from "./consul-calls.ts";
import { createPolls, type Polls } from "./consul-polls.ts";
import { type CheckChange, changedChecks } from "./consul-states.ts";
import { createSweep } from "./consul-sweep.ts";
import type { ConsulView } from "./consul-view.ts";

/** Services at once with a query that waits on them. */
export const watchesDefault = 96;
export const watchesMax = 10_000;
export const readsAtOnceMax = 16;
/** A watched service whose answer explains a change of the catalogue may come so much later than that. */
const explainMs = 200;
/** Cold services are read after a change that nothing explained, or that came together with one that something did. */
export const resyncMs = 30_000;
const explanationsMax = 1_000;

export interface ConsulSessionOptions {
  readonly calls: ConsulCalls;
  readonly view: ConsulView;
  readonly tools: SourceTools;
  readonly watches: number;
  /** States of checks that change an instance. */
  readonly states: readonly string[];
  /** Everything was read. */
  readonly worked: () => void;
}

/** Settles, with the reason, when the connection is of no more use. */
export const runConsulSession = async (options: ConsulSessionOptions, stopped: AbortSignal): Promise<string> => {
  using polls = createPolls(options.calls, options.tools);
  return await new Promise((resolve) => {
    const closed = (): void => fail("it was closed");
    const fail = (error: unknown): void => {
      stopped.removeEventListener("abort", closed);
      const reason = error instanceof Error ? error.message : String(error);
      // Of a service it would have been reported as that.
      resolve(error instanceof ConsulTooLarge ? `the catalogue of services: ${reason}` : reason);
    };
    stopped.addEventListener("abort", closed);
    follow(options, polls, fail).catch(fail);
  });
};

const servicePath = (name: string): string => `/v1/health/service/${encodeURIComponent(name)}`;
const cataloguePath = "/v1/catalog/services";

const follow = async (options: ConsulSessionOptions, polls: Polls, fail: (error: unknown) => void): Promise<void> => {
  const { calls, view, tools, watches } = options;
  const { signal } = polls;
  const first = await calls.get(cataloguePath, { signal });
  tools.emit({ kind: "connected" });
  view.begin();
  const names = view.catalogue(first).added;
  await readAll(names, async (name) => {
    try {
      view.service(name, await calls.get(servicePath(name), { signal }), false);
    } catch (error) {
      if (!(error instanceof ConsulTooLarge)) throw error;
      view.refuse(name, error.message);
    }
  });
  if (signal.aborted) return;

  /** In the order of their last change; the first goes when another changes. */
  const watched = new Map<string, AbortController>();
  const cold = new Set(names);
  /** Indexes of what services told. */
  const explained = new Set<number>();
  let catalogueIndex = first.index;
  let sweptIndex = first.index;
  let watchesStates = false;

  const tell = (events: readonly SourceEvent[]): void => {
    for (const event of events) tools.emit(event);
  };
  const take = (name: string, answer: ConsulAnswer, continued: boolean): void => {
    const { events, changed } = view.service(name, answer, continued);
    // An answer that shows nothing new may have an index that is not its own.
    if (changed) explained.add(answer.index);
    for (const old of explained) {
      if (explained.size <= explanationsMax) break;
      explained.delete(old);
    }
    tell(events);
    if (changed || watched.size < watches) touch(name);
  };
  const touch = (name: string): void => {
    const before = watched.get(name);
    if (before) {
      watched.delete(name);
      watched.set(name, before);
      return;
    }
    if (watched.size >= watches) {
      for (const [oldest] of watched) {
        unwatch(oldest);
        cold.add(oldest);
        break;
      }
    }
    watch(name);
  };
  const watch = (name: string): void => {
    const own = new AbortController();
    watched.set(name, own);
    cold.delete(name);
    const either = AbortSignal.any([signal, own.signal]);
    const failed = (error: unknown): void => {
      if (either.aborted) return;
      if (!(error instanceof ConsulTooLarge)) {
        fail(error);
        return;
      }
      // It is read again when the catalogue changes.
      tell(view.refuse(name, error.message));
      unwatch(name);
      cold.add(name);
      watchStates();
    };
    const takeNext = (answer: ConsulAnswer): void => {
      if (answer.index >= (view.indexOf(name) ?? 0)) take(name, answer, true);
      else confirm(name, either).catch(failed);
    };
    polls.follow(servicePath(name), view.indexOf(name) ?? 1, either, takeNext).catch(failed);
  };
  /**
   * The index of a service went back. Held queries have others than plain ones, and Consul's own goes back only with that
   * of the catalogue, which is asked first: then the service is read as it is now.
   */
  const confirm = async (name: string, own: AbortSignal): Promise<void> => {
    const { index } = await calls.get(cataloguePath, { signal: own });
    if (index < catalogueIndex) throw new Error(`the index of Consul went back, ${catalogueIndex} to ${index}`);
    const answer = await calls.get(servicePath(name), { signal: own });
    if (!own.aborted) take(name, answer, false);
  };
  const unwatch = (name: string): void => {
    watched.get(name)?.abort();
    watched.delete(name);
  };
  const sweep = createSweep(
    polls,
    async (name) => {
      if (!cold.has(name)) return;
      try {
        const answer = await calls.get(servicePath(name), { signal });
        // Watched meanwhile, or gone.
        if (!signal.aborted && cold.has(name)) take(name, answer, false);
      } catch (error) {
        if (!(error instanceof ConsulTooLarge)) throw error;
        tell(view.refuse(name, error.message));
      }
    },
    fail,
  );
  const sweepCold = (): void => {
    sweptIndex = catalogueIndex;
    sweep.late(cold);
  };
  const checksChanged = (changes: readonly CheckChange[]): void => {
    for (const { service, node } of changes) {
      const concerned = service === "" ? view.servicesOn(node) : [service];
      sweep.soon(concerned.filter((name) => cold.has(name)));
    }
  };
  const watchStates = (): void => {
    if (watchesStates || cold.size === 0) return;
    watchesStates = true;
    for (const state of options.states) watchState(state);
  };
  /** Where there are too many checks to tell, the services with no query of their own are read now and then. */
  const watchState = (state: string, wasRefused = false): void => {
    const key = `health/state/${state}`;
    const changes = changedChecks();
    let isBack = wasRefused;
    const news = (answer: ConsulAnswer): void => {
      if (isBack) tell([{ kind: "removed", key, because: "deleted" }]);
      isBack = false;
      checksChanged(changes(answer));
    };
    const failed = (error: unknown): void => {
      if (!(error instanceof ConsulTooLarge)) {
        fail(error);
        return;
      }
      tell([{ kind: "unreadable", key, problem: error.message }]);
      polls.pause(resyncMs).then(() => {
        sweepCold();
        watchState(state, true);
      }, fail);
    };
    polls.follow(`/v1/${key}`, 1, signal, news).catch(failed);
  };
  const catalogueNews = (answer: ConsulAnswer): void => {
    const { events, added, gone, doubtful } = view.catalogue(answer);
    const moved = answer.index > catalogueIndex;
    catalogueIndex = answer.index;
    for (const name of gone) {
      unwatch(name);
      cold.delete(name);
    }
    tell(events);
    for (const name of added) cold.add(name);
    sweep.soon([...added, ...doubtful.filter((name) => cold.has(name))]);
    watchStates();
    if (moved && cold.size > 0) {
      const unexplained = () => !explained.has(answer.index) && sweptIndex < answer.index && sweepCold();
      polls.pause(explainMs).then(unexplained, fail);
    }
  };
  const resync = async (): Promise<void> => {
    for (;;) {
      await polls.pause(resyncMs);
      if (cold.size > 0 && sweptIndex < catalogueIndex) sweepCold();
    }
  };

  tell(view.list());
  options.worked();
  for (const name of names.slice(0, watches)) watch(name);
  watchStates();
  resync().catch(fail);
  polls.follow(cataloguePath, first.index, signal, catalogueNews).catch(fail);
};

/** As many at once as may be. Rejects with the first that does. */
const readAll = async (names: readonly string[], read: (name: string) => Promise<void>): Promise<void> => {
  const left = names.values();
  const work = async (): Promise<void> => {
    for (const name of left) await read(name);
  };
  await Promise.all(Array.from({ length: readsAtOnceMax }, work));
};
