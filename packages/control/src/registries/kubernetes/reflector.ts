/**
 * Decides how one collection of the Kubernetes API is followed: read whole (as a stream where the server has that, else
 * in pages), then watched from there. Pure: answers and the time come in, requests and facts go out. There is one
 * request or wait at a time; each new one takes the place of the former.
 */
import type { Random } from "@weft/core/world";
import { exponentialBackoff } from "@weft/xds/backoff";
import { isOlder, type KubernetesObject, listIn, readEvent } from "./kubernetes-object.ts";

export const pageSize = 500;
/** A watch that says nothing for so long is made again; servers send a bookmark every minute. */
export const silenceMs = 90_000;
/** A stream of what is there begins and goes on within this time, or pages are asked for. */
export const streamSilenceMs = 3_000;
/** How often it is looked whether a collection that never was served is by now. */
export const absentEveryMs = 30_000;
/** And at most whether one that is refused may be read; at first sooner, for a server that has just begun refuses everybody. */
export const forbiddenEveryMs = 60_000;
/** Objects of one collection; more are counted and not kept. */
export const collectionObjectsMax = 250_000;
const retryLimits = { baseMs: 250, maxMs: 10_000 };
const refusedLimits = { baseMs: 1_000, maxMs: forbiddenEveryMs };
/** Pages that expired so often are given up for one answer with everything. */
const pagingRestartsMax = 2;
/** Lines that are no events, in a row, before everything is read anew. */
const wrongLinesMax = 3;
/** A watch the server ends sooner than this is made again with a wait. */
const shortWatchMs = 1_000;

export interface Failure {
  /** HTTP status; 0 where no answer came. */
  readonly status: number;
  readonly reason: string;
  readonly message: string;
  readonly retryAfterMs?: number | undefined;
}

export type ReflectorInput =
  | { readonly kind: "start" }
  /** The JSON of a `get`. */
  | { readonly kind: "answer"; readonly body: unknown }
  | { readonly kind: "line"; readonly text: string }
  /** The watch's answer came to its end. */
  | { readonly kind: "ended" }
  | { readonly kind: "failed"; readonly failure: Failure }
  | { readonly kind: "due" };

export type ReflectorState = "starting" | "live" | "lost" | "absent" | "forbidden";

export type ReflectorOutput =
  /** `small`: of one object at most, so that its answer cannot take long. */
  | { readonly kind: "get"; readonly query: string; readonly small?: true }
  | { readonly kind: "watch"; readonly query: string; readonly silenceMs: number }
  /** From now on the watch may be silent for so long, before `due`; each line begins it anew. */
  | { readonly kind: "silence"; readonly ms: number }
  /** Then `due`. */
  | { readonly kind: "wait"; readonly ms: number }
  /**
   * Everything that is there, but for so many that are `leftOut`, of which none is known. `older`: the server went back in
   * time, or it is another.
   */
  | {
      readonly kind: "listed";
      readonly objects: readonly KubernetesObject[];
      readonly older: boolean;
      readonly leftOut: number;
    }
  | { readonly kind: "put"; readonly object: KubernetesObject }
  | { readonly kind: "removed"; readonly object: KubernetesObject }
  | { readonly kind: "state"; readonly state: ReflectorState; readonly reason: string };

export interface ReflectorOptions {
  /** Goes with every request, such as `fieldSelector=…`; "" for none. */
  readonly selector: string;
  /** One for all collections of a server: turned off when one finds that streams do not work there. */
  readonly streams: { works: boolean };
  /** As much of each object as is kept; the rest goes at once, before the last page comes. Absent: all. */
  readonly trim?: (object: KubernetesObject) => KubernetesObject;
  readonly random: Random;
  /** Objects of a list, beside those that are known. Absent: `collectionObjectsMax`. */
  readonly objectsMax?: number;
  /** Whether an object is in force already: it is never left out. */
  readonly isKnown?: (object: KubernetesObject) => boolean;
}

export interface Reflector {
  step(input: ReflectorInput, nowMs: number): readonly ReflectorOutput[];
}

/** Refusals that have nothing to do with the way of asking. */
const sameForPages: ReadonlySet<number> = new Set([401, 403, 404, 410, 429]);

type Mode = "idle" | "streaming" | "paging" | "probing" | "watching" | "waiting";

export const createReflector = (options: ReflectorOptions): Reflector => {
  const { selector, streams, random, trim = (object) => object } = options;
  const { objectsMax = collectionObjectsMax, isKnown = () => false } = options;
  const backoff = exponentialBackoff(retryLimits, random);
  const refused = exponentialBackoff(refusedLimits, random);
  let mode: Mode = "idle";
  let then: "list" | "probe" = "list";
  let state: ReflectorState = "starting";
  let reason = "";
  /** How far it is known; "" before the first list. */
  let version = "";
  let gathered = new Map<string, KubernetesObject>();
  let leftOut = 0;
  let pagings = 0;
  /** Histories that were gone since the last event. */
  let forgotten = 0;
  let wrongLines = 0;
  let watchedSinceMs = 0;

  const query = (...parts: readonly string[]): string => [...parts, selector].filter((part) => part !== "").join("&");
  const become = (next: ReflectorState, why: string): readonly ReflectorOutput[] => {
    if (state === next && reason === why) return [];
    state = next;
    reason = why;
    return [{ kind: "state", state, reason }];
  };
  const wait = (ms: number, next: "list" | "probe"): ReflectorOutput => {
    mode = "waiting";
    then = next;
    return { kind: "wait", ms };
  };
  const watchQuery = (...parts: readonly string[]): string => {
    const seconds = 240 + Math.floor(random() * 240);
    return query("watch=true", "allowWatchBookmarks=true", `timeoutSeconds=${seconds}`, ...parts);
  };
  const list = (): ReflectorOutput => {
    gathered = new Map();
    leftOut = 0;
    if (streams.works) {
      mode = "streaming";
      const watched = watchQuery("sendInitialEvents=true", "resourceVersionMatch=NotOlderThan");
      return { kind: "watch", query: watched, silenceMs: streamSilenceMs };
    }
    mode = "paging";
    return { kind: "get", query: query(pagings > pagingRestartsMax ? "" : `limit=${pageSize}`) };
  };
  const watch = (nowMs: number): ReflectorOutput => {
    mode = "watching";
    watchedSinceMs = nowMs;
    return { kind: "watch", query: watchQuery(`resourceVersion=${encodeURIComponent(version)}`), silenceMs };
  };
  /** Asks how far the server is: a watch from a time it has not reached would be silent for ever. */
  const probe = (): ReflectorOutput => {
    mode = "probing";
    return { kind: "get", query: query("limit=1"), small: true };
  };
  const listed = (at: string): readonly ReflectorOutput[] => {
    const older = version !== "" && isOlder(at, version);
    version = at;
    pagings = 0;
    wrongLines = 0;
    const objects = [...gathered.values()];
    gathered = new Map();
    backoff.reset();
    refused.reset();
    return [{ kind: "listed", objects, older, leftOut }, ...become("live", "")];
  };
  const gather = (object: KubernetesObject): void => {
    const key = gatheredKey(object);
    if (gathered.size < objectsMax || gathered.has(key) || isKnown(object)) gathered.set(key, trim(object));
    else leftOut++;
  };

  const failed = ({ status, reason: word, message, retryAfterMs }: Failure): readonly ReflectorOutput[] => {
    // Whatever it says against a stream: where pages do not help either, they will say it too.
    if (mode === "streaming" && status >= 400 && !sameForPages.has(status)) {
      streams.works = false;
      return [list()];
    }
    if (status === 410 || word === "Expired" || word === "Gone") {
      // The first time at once; a server that forgets faster than it is read gets its time.
      if (mode === "paging") pagings++;
      return forgotten++ === 0 ? [list()] : [wait(backoff.next(), "list")];
    }
    // A server that has just begun does not serve definitions yet that it had: what is deleted there until it is heard
    // again is told by a watch from where the former one was.
    const resume = version === "" ? "list" : "probe";
    if (status === 404)
      return [...become("absent", message), wait(version === "" ? absentEveryMs : refused.next(), resume)];
    if (status === 403) return [...become("forbidden", message), wait(refused.next(), resume)];
    const ms = Math.max(retryAfterMs ?? 0, backoff.next());
    const next = mode === "streaming" || mode === "paging" ? "list" : resume;
    return [...become("lost", message), wait(ms, next)];
  };

  const answered = (body: unknown, nowMs: number): readonly ReflectorOutput[] => {
    const page = listIn(body);
    if (!page) return failed({ status: 0, reason: "", message: "the answer is no list" });
    if (mode === "probing") {
      if (isOlder(page.version, version)) return [list()];
      backoff.reset();
      return [...become("live", ""), watch(nowMs)];
    }
    for (const object of page.objects) gather(object);
    if (page.next !== "")
      return [{ kind: "get", query: query(`limit=${pageSize}`, `continue=${encodeURIComponent(page.next)}`) }];
    return [...listed(page.version), watch(nowMs)];
  };

  const said = (text: string, nowMs: number): readonly ReflectorOutput[] => {
    const event = readEvent(text);
    if (event.kind === "wrong") {
      wrongLines++;
      if (wrongLines >= wrongLinesMax) version = "";
      return failed({ status: 0, reason: "", message: `a watch said what is no event: ${event.problem}` });
    }
    if (event.kind === "error") return failed(event.failure);
    wrongLines = 0;
    if (mode === "streaming") {
      if (event.kind !== "bookmark") {
        if (event.kind === "put") gather(event.object);
        else gathered.delete(gatheredKey(event.object));
        return [];
      }
      if (!event.listed) return [];
      const told = listed(event.version);
      mode = "watching";
      watchedSinceMs = nowMs;
      return [...told, { kind: "silence", ms: silenceMs }];
    }
    backoff.reset();
    refused.reset();
    forgotten = 0;
    version = event.version;
    return event.kind === "bookmark" ? [] : [{ kind: event.kind, object: trim(event.object) }];
  };

  const due = (): readonly ReflectorOutput[] => {
    if (mode === "waiting") return [then === "list" || version === "" ? list() : probe()];
    if (mode === "streaming") {
      streams.works = false;
      return [list()];
    }
    // Silence: nothing may be wrong, so it is no outage before the question how far the server is fails.
    return mode === "watching" ? [probe()] : [];
  };

  return {
    step(input, nowMs) {
      switch (input.kind) {
        case "start":
          return [list()];
        case "answer":
          return mode === "paging" || mode === "probing" ? answered(input.body, nowMs) : [];
        case "line":
          return mode === "streaming" || mode === "watching" ? said(input.text, nowMs) : [];
        case "failed":
          return mode === "idle" || mode === "waiting" ? [] : failed(input.failure);
        case "ended":
          if (mode === "streaming") return failed({ status: 0, reason: "", message: "the stream ended too soon" });
          if (mode !== "watching") return [];
          return nowMs - watchedSinceMs < shortWatchMs ? [wait(backoff.next(), "probe")] : [probe()];
        case "due":
          return due();
      }
    },
  };
};

const gatheredKey = ({ metadata }: KubernetesObject): string => `${metadata.namespace ?? ""}/${metadata.name}`;
