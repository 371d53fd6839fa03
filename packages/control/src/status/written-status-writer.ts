/** Writes the status of every configuration object of a cluster, as long as it holds the writer's lease. */

import { readingCodes } from "@weft/config/analyze/reading-codes";
import type { ConfigObject } from "@weft/config/config-object";
import type { Finding } from "@weft/config/finding";
import type { Clock, Logger, Random, SetTimer } from "@weft/core/world";
import type { KubernetesApi } from "@weft/net/kubernetes/kubernetes-api";
import type { KubernetesError } from "@weft/net/kubernetes/kubernetes-error";
import type { Remark } from "../admission/read-object.ts";
import type { Analysis } from "../analysis/analysis.ts";
import type { WriterLease } from "../leases/writer-lease.ts";
import type { Counter, Metrics } from "../metrics/metrics.ts";
import type { ConnectedProxy } from "../push/connected-proxy.ts";
import { followCollection } from "../registries/kubernetes/follow-collection.ts";
import { followServedKinds } from "../registries/kubernetes/served-kinds.ts";
import type { WatchedKind } from "../registries/kubernetes/watched-kinds.ts";
import { createConfigTerms } from "./config-terms.ts";
import { objectConcerns } from "./object-concerns.ts";
import type { SharedProxies } from "./shared-proxies.ts";
import { createProxyProgress } from "./written-status-proxies.ts";
import { createStatusTable, type StatusContext, type StatusTable, type StatusWrite } from "./written-status-table.ts";

export interface StatusWriterOptions {
  readonly api: KubernetesApi;
  readonly lease: Pick<WriterLease, "mayWrite" | "write">;
  /** All objects in force. */
  readonly objects: () => readonly ConfigObject[];
  readonly rootNamespace: string;
  readonly analysis: Pick<Analysis, "run">;
  /** What only shows on connected proxies. */
  readonly runningFindings: () => readonly Finding[];
  readonly proxies: () => readonly ConnectedProxy[];
  /** Whether something in force is not given to all proxies yet. */
  readonly pushPending: () => boolean;
  /** Whose proxies count too; absent: there are no other control planes. */
  readonly shared?: Pick<SharedProxies, "peers"> | undefined;
  readonly written: Counter;
  readonly clock: Clock;
  readonly setTimer: SetTimer;
  readonly random: Random;
  readonly log: Logger;
}

/** Writes in one round, so also in a second. */
export const writesPerRound = 20;
const roundMs = 1_000;
/** How often it is looked for findings where no object changed: services come and go. */
const findingsEveryMs = 15_000;
const objectsAnalyzedMax = 5_000;
const waitMs = { conflict: 1_000, gone: 60_000, forbidden: 300_000, failed: 5_000 } as const;

export const statusMetric = (metrics: Metrics): Counter =>
  metrics.counter("weft_status_writes_total", "Status written to Kubernetes objects, by how it ended.", ["result"]);

/** Follows the cluster and writes until disposed. To be opened when the lease is had, and disposed when it is lost. */
export const openStatusWriter = (options: StatusWriterOptions): Disposable => {
  const { clock, setTimer, proxies, pushPending, shared } = options;
  const terms = createConfigTerms();
  const table = createStatusTable();
  const progress = createProxyProgress();
  const findings = createFindings(options);
  let dirty = true;
  let revision = "";
  let disposed = false;
  const kinds = followKinds(options, table, () => {
    dirty = true;
  });

  const round = async (): Promise<void> => {
    if (shared) terms.note(options.objects(), clock.nowMs());
    progress.look(proxies(), !pushPending(), clock.nowMs(), shared?.peers(terms));
    const changed = await findings.refresh();
    if (disposed) return;
    if (changed) progress.concernedBy(objectConcerns(findings.objects(), options.rootNamespace));
    if (!dirty && !changed && progress.revision() === revision) return;
    revision = progress.revision();
    dirty = false;
    const context: StatusContext = { inForce: findings.inForce, findings: findings.of, proxies: progress.have };
    const { writes, waiting } = table.due(context, { nowMs: clock.nowMs(), wallMs: clock.wallMs() }, writesPerRound);
    if (waiting || writes.length > 0) dirty = true;
    await Promise.all(writes.map((write) => perform(write, table, options)));
  };
  const run = async (): Promise<void> => {
    try {
      if (options.lease.mayWrite()) await round();
    } catch (error) {
      options.log.error("a round of writing status failed", { code: "WF2192", error: String(error) });
    }
    if (!disposed) timer = setTimer(() => void run(), roundMs);
  };
  const nudge = (): void => {
    dirty = true;
    if (!disposed) slow = setTimer(nudge, findingsEveryMs);
  };
  let timer = setTimer(() => void run(), 0);
  let slow = setTimer(nudge, findingsEveryMs);
  return {
    [Symbol.dispose]: () => {
      disposed = true;
      timer[Symbol.dispose]();
      slow[Symbol.dispose]();
      kinds[Symbol.dispose]();
    },
  };
};

const perform = async (write: StatusWrite, table: StatusTable, options: StatusWriterOptions): Promise<void> => {
  const { lease, clock, log, written } = options;
  const { path, patch, kind } = write;
  try {
    const body = patch;
    const object = await lease.write({ method: "PATCH", path, body, contentType: "application/merge-patch+json" });
    table.written(write, object, clock.nowMs());
    written.add(1, "written");
  } catch (error) {
    const { status, message } = error as KubernetesError;
    const nowMs = clock.nowMs();
    const result = status === 409 ? "conflict" : status === 404 ? "gone" : status === 403 ? "forbidden" : "failed";
    written.add(1, result);
    if (result !== "forbidden") table.postpone(write, nowMs, waitMs[result]);
    else {
      table.postponeKind(kind, nowMs, waitMs.forbidden);
      log.warn("the status of a kind may not be written", { code: "WF2191", kind, error: message });
    }
    if (result === "failed") log.debug("a status was not written", { path, error: message });
  }
};

/** Follows each kind of configuration that is served. */
const followKinds = (options: StatusWriterOptions, table: StatusTable, changed: () => void): Disposable => {
  const { api } = options;
  const streams = { works: true };
  const running = new Map<string, { readonly path: string; readonly follower: Disposable }>();
  const end = (kind: WatchedKind): void => {
    running.get(kind.name)?.follower[Symbol.dispose]();
    running.delete(kind.name);
  };
  const follow = (kind: WatchedKind, path: string): Disposable =>
    followCollection({
      ...{ ...options, api, path, selector: kind.selector, streams },
      tell: (fact) => {
        if (fact.kind === "state") return;
        if (fact.kind === "listed") table.listed(kind.name, path, fact.objects);
        else if (fact.kind === "put") table.put(kind.name, path, fact.object);
        else table.remove(kind.name, fact.object);
        changed();
      },
    });
  const served = followServedKinds({
    ...{ ...options, api, streams },
    serves: (kind, path) => {
      if (kind.use !== "configuration" || running.get(kind.name)?.path === path) return;
      end(kind);
      running.set(kind.name, { path, follower: follow(kind, path) });
    },
    unserved: (kind) => {
      end(kind);
      table.listed(kind.name, "", []);
    },
  });
  return {
    [Symbol.dispose]: () => {
      served[Symbol.dispose]();
      for (const { follower } of running.values()) follower[Symbol.dispose]();
    },
  };
};

/** What is in force, and what was found about it, looked for anew where an object changed or time has passed. */
const createFindings = ({ objects, analysis, runningFindings, clock }: StatusWriterOptions) => {
  let list: readonly ConfigObject[] = [];
  let byKey: ReadonlyMap<string, ConfigObject> = new Map();
  let found: ReadonlyMap<string, readonly Remark[]> = new Map();
  let foundMs = Number.NEGATIVE_INFINITY;
  return {
    objects: () => list,
    inForce: (key: string) => byKey.get(key),
    of: (key: string) => found.get(key) ?? none,
    /** Whether there is anything new. */
    async refresh(): Promise<boolean> {
      const now = objects();
      const same = now.length === list.length && now.every((object, index) => object === list[index]);
      if (same && clock.nowMs() - foundMs < findingsEveryMs) return false;
      foundMs = clock.nowMs();
      const findings = now.length > objectsAnalyzedMax ? [] : await analysis.run(() => now);
      list = now;
      byKey = new Map(now.map((object) => [keyOf(object), object]));
      // What an object has wrong by itself was found where it was read.
      const beside = [...findings, ...runningFindings()].filter(({ code }) => !ofReading.has(code));
      const grouped = Map.groupBy(beside, keyOf);
      found = new Map([...grouped].map(([key, some]) => [key, keptIfSame(found.get(key), some.map(remarkOf))]));
      return true;
    },
  };
};

const ofReading: ReadonlySet<string> = new Set(readingCodes.map(({ code }) => code));
const none: readonly Remark[] = [];
const keyOf = ({ kind, namespace, name }: { kind: string; namespace: string; name: string }): string =>
  `${kind}/${namespace}/${name}`;
const remarkOf = ({ code, level, message }: Finding): Remark => ({ code, level, message, field: "" });
const keptIfSame = (before: readonly Remark[] | undefined, after: readonly Remark[]): readonly Remark[] =>
  before && JSON.stringify(before) === JSON.stringify(after) ? before : after;
