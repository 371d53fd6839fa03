/**
 * The server's side of one xDS stream, state of the world or delta, without any I/O. It keeps a cursor per type and never a
 * queue: what is sent is the way from what the client holds to what it should have now. Changes go out make before
 * break: clusters, endpoints, listeners, routes, secrets, then the removals of clusters and endpoints.
 */
import { VersionedMap } from "@weft/core/versioned-map";
import type { Differ, Versioned } from "./diff.ts";
import { AwaitedEndpoints, endpointsNamesOf } from "./endpoints-names.ts";
import { Grants, planHosts } from "./on-demand.ts";
import { resourceType, virtualHostType } from "./resource.ts";
import {
  emptyType,
  type OnDemandSnapshot,
  type Snapshot,
  type SnapshotEntry,
  type TypeSnapshot,
  versionOf,
} from "./snapshot.ts";
import type { StreamInput, StreamMode, StreamOutput, StreamRequest, TypeSync } from "./stream-messages.ts";
import { concerns, overlay, type Plan, planDelta, planSotw } from "./stream-plan.ts";
import { refusalOf } from "./stream-refusal.ts";
import { cut, fit } from "./stream-size.ts";
import { noSubscription, rankOf, type Subscribed, TypeState } from "./type-state.ts";

export interface ServerStreamOptions {
  readonly mode: StreamMode;
  readonly diff: Differ;
  /** A number no push of this process had: for what goes to one stream only. */
  readonly nextEpoch: () => number;
  /** How long an order of sending waits for a client that does not answer. */
  readonly ackTimeoutMs?: number;
  /** Where a response can be cut, its parts stay under this. */
  readonly responseBytesMax?: number;
  /** What the client takes in one message. What is larger and cannot be cut is not sent. */
  readonly messageBytesMax?: () => number;
  /**
   * Whether endpoints that a returning client already holds are skipped. Only for clients that never ask while a cluster
   * of theirs warms: Envoy does, and then waits for endpoints it has the version of.
   */
  readonly skipsHeldEndpoints?: () => boolean;
  /**
   * Whether a state-of-the-world client that comes with a version holds exactly what that version stands for, so that it
   * is not answered when we have the same. Envoy and gRPC clients take the good part of a response they refuse and come
   * back with the version before it.
   */
  readonly versionIsExact?: () => boolean;
}

/** gRPC clients take 4 MiB unless told otherwise; some room is left for names and framing. */
const responseBytesDefault = 4 * 1024 * 1024 - 64 * 1024;
const ackTimeoutDefaultMs = 15_000;
/** Unanswered responses of a type after which a delta client's changes wait for it. */
const deltaUnansweredMax = 4;
/** Removals of one type held back per stream. */
const heldMax = 10_000;

const clusterUrl = resourceType("cluster").typeUrl;
const endpointsUrl = resourceType("endpoints").typeUrl;
const listenerUrl = resourceType("listener").typeUrl;
const routeUrl = resourceType("route").typeUrl;
const hostUrl = virtualHostType.typeUrl;
const usesClusters = new Set([listenerUrl, routeUrl, hostUrl]);
const removedLast = new Set([clusterUrl, endpointsUrl]);
const nothing: readonly string[] = [];

export class ServerStream {
  readonly #options: ServerStreamOptions;
  readonly #ackTimeoutMs: number;
  readonly #types = new Map<string, TypeState>();
  /** The same in push order. */
  #ordered: readonly TypeState[] = [];
  #empty: Map<string, TypeSnapshot> | undefined;
  #snapshot: Snapshot | undefined;
  #identified = false;
  #writable = true;
  #closed = false;
  #flushedAtMs = 0;
  readonly #awaited = new AwaitedEndpoints();
  readonly #grants = new Grants();

  constructor(options: ServerStreamOptions) {
    this.#options = options;
    this.#ackTimeoutMs = options.ackTimeoutMs ?? ackTimeoutDefaultMs;
  }

  /** Gives what to do, in order. Input after a `close` gives nothing. */
  handle(input: StreamInput, nowMs: number): readonly StreamOutput[] {
    if (this.#closed) return [];
    const out: StreamOutput[] = [];
    switch (input.kind) {
      case "request":
        this.#request(input.request, nowMs, out);
        break;
      case "push":
        this.#snapshot = input.snapshot;
        break;
      case "writable":
        this.#writable = input.writable;
        break;
      case "tick":
        break;
      default:
        input satisfies never;
    }
    if (!this.#closed) this.#flush(nowMs, out);
    return out;
  }

  /** When to call with a tick, if nothing else comes first. */
  deadlineMs(): number | undefined {
    if (!this.#writable || !this.#snapshot || this.#closed) return undefined;
    if (!this.#ordered.some(({ waits }) => waits)) return undefined;
    const times = this.#ordered.flatMap((state) => [
      ...(state.held.size > 0 ? [state.heldSinceMs + this.#ackTimeoutMs] : []),
      ...(state.changesWait ? [state.blockedUntilMs] : []),
      ...state.sent.map(({ sentAtMs }) => sentAtMs + this.#ackTimeoutMs),
    ]);
    times.push((this.#grants.sinceMs ?? Number.NEGATIVE_INFINITY) + this.#ackTimeoutMs);
    // What was due at the last flush and still waits does so for an event, not for a time.
    const deadline = Math.min(...times.filter((at) => at > this.#flushedAtMs));
    return deadline === Number.POSITIVE_INFINITY ? undefined : deadline;
  }

  /** Per type the client asked for, in push order. */
  syncz(): readonly TypeSync[] {
    return this.#ordered.map((state) => state.sync(this.#isBehind(state)));
  }

  isSubscribed(typeUrl: string, name: string): boolean {
    return this.#types.get(typeUrl)?.covers(name) === true;
  }

  /** What of that type it is subscribed to; a view that changes with it. */
  subscribed(typeUrl: string): Subscribed {
    return this.#types.get(typeUrl) ?? noSubscription;
  }

  #stateOf(typeUrl: string): TypeState {
    const known = this.#types.get(typeUrl);
    if (known) return known;
    const state = new TypeState(typeUrl);
    this.#types.set(typeUrl, state);
    this.#ordered = [...this.#types.values()].sort((a, b) => rankOf(a) - rankOf(b));
    return state;
  }

  #isBehind(state: TypeState): boolean {
    return state.owed.size > 0 || state.answerDue || state.held.size > 0 || this.#hasChanges(state);
  }

  #hasChanges(state: TypeState): boolean {
    if (state.typeUrl === hostUrl && this.#snapshot?.onDemand) return state.changesWait;
    return concerns(state, state.cursor, this.#target(state.typeUrl).entries, this.#options.diff);
  }

  #request(request: StreamRequest, nowMs: number, out: StreamOutput[]): void {
    const refusal = refusalOf(request, this.#options.mode, this.#types, this.#identified);
    if (refusal) {
      this.#closed = true;
      out.push({ kind: "close", status: refusal[0], message: refusal[1] });
      return;
    }
    if (!this.#identified && request.node) {
      this.#identified = true;
      out.push({ kind: "node", node: request.node });
    }
    const state = this.#stateOf(request.typeUrl);
    const first = !state.requested;
    state.requested = true;
    // A nonce of an earlier stream means nothing here, so on the first request it is not looked at.
    const answered = first ? undefined : state.answer(request.nonce);
    if (answered && request.error === undefined) {
      state.ack(answered, nowMs);
      const { sentAtMs, epoch } = answered;
      out.push({ kind: "acked", typeUrl: state.typeUrl, sentAtMs, epoch });
    } else if (answered && request.error !== undefined) {
      const names = state.nack(answered, request.error, nowMs);
      out.push({ kind: "nacked", typeUrl: state.typeUrl, error: request.error, names });
    }
    if (request.mode === "delta") {
      state.subscribeDelta(request, first);
    } else {
      const stale = !first && request.nonce !== "" && request.nonce !== state.lastNonce;
      if (stale) return;
      const again = first || request.nonce === "";
      state.subscribeSotw(request, again);
      if (first && state.wildcard && state.names.size === 0) state.claimedVersion = request.version;
    }
    if (first && state.typeUrl === endpointsUrl) {
      if (!this.#options.skipsHeldEndpoints?.()) state.oweAll();
      this.#awaited.oweTo(state);
    }
  }

  /** A wildcard client that comes back with exactly what it should have is not answered. */
  #resumeSotw(state: TypeState, target: TypeSnapshot): void {
    const claimed = state.claimedVersion;
    state.claimedVersion = "";
    if (claimed === "" || claimed !== target.version() || !state.wildcard) return;
    if (!this.#options.versionIsExact?.()) return;
    state.cursor = target.entries;
    state.answerDue = false;
    state.resumedEqual = true;
  }

  #target(typeUrl: string): TypeSnapshot {
    const known = this.#snapshot?.types.get(typeUrl) ?? this.#empty?.get(typeUrl);
    if (known) return known;
    const made = emptyType(typeUrl);
    this.#empty ??= new Map();
    this.#empty.set(typeUrl, made);
    return made;
  }

  #flush(nowMs: number, out: StreamOutput[]): void {
    if (!this.#snapshot || !this.#writable) return;
    this.#flushedAtMs = nowMs;
    const clusters = this.#types.get(clusterUrl);
    if (clusters) {
      const to = { snapshot: this.#snapshot.onDemand, entries: this.#target(clusterUrl).entries };
      this.#grants.update(clusters, this.#types.get(hostUrl), to, nowMs);
    }
    for (const state of this.#ordered) this.#serve(state, nowMs, out);
    for (const state of this.#ordered) if (state.held.size > 0) this.#release(state, nowMs, out);
  }

  /** Hosts wait for the clusters that they lead to, those asked for too. */
  #serveHosts(state: TypeState, onDemand: OnDemandSnapshot, nowMs: number, out: StreamOutput[]): void {
    const due = state.answerDue || state.owed.size > 0;
    state.demanded = true;
    if (!due && state.servedFrom === onDemand) return;
    state.changesWait = this.#mustWait(state, nowMs);
    if (state.changesWait) return;
    const before = state.cursor;
    const plan = planHosts(state, this.#grants.answered, onDemand);
    state.servedHosts(onDemand, plan.cursor);
    if (due || plan.entries.length + plan.removed.length > 0) this.#send(state, plan, { nowMs, before }, out);
  }

  #serve(state: TypeState, nowMs: number, out: StreamOutput[]): void {
    const { onDemand } = this.#snapshot ?? {};
    // Who asked for hosts one by one keeps them until its tables have them all.
    if (state.typeUrl === hostUrl && (onDemand || state.demanded))
      return void (onDemand && this.#serveHosts(state, onDemand, nowMs, out));
    const target = this.#target(state.typeUrl);
    if (state.claimedVersion !== "") this.#resumeSotw(state, target);
    const due = state.answerDue || state.owed.size > 0;
    if (!due && state.cursor === target.entries) {
      state.changesWait = false;
      return;
    }
    const waits = this.#mustWait(state, nowMs);
    state.changesWait = waits && this.#hasChanges(state);
    // An answer without what waits would read as if there were none of it.
    const says = this.#options.mode === "sotw" || state.owed.size > 0 || !state.changesWait;
    if (waits && !(due && says)) return;
    const plan = this.#options.mode === "delta" ? planDelta : planSotw;
    const { entries, removed, parts } = plan(state, target.entries, waits, this.#options.diff);
    const before = state.cursor;
    if (waits && !(state.fullState && this.#options.mode === "sotw")) {
      state.cursor = overlay(before, entries, removed);
    } else {
      this.#hold(state, target.entries, nowMs);
      state.cursor = target.entries;
      state.changesWait = false;
      state.resumed ||= state.resuming;
      state.resuming = false;
    }
    const goesNow = removed.filter((name) => !state.held.has(name));
    const answer = state.answerDue || entries.length > 0 || goesNow.length > 0;
    const sendSotw =
      this.#options.mode === "sotw" &&
      state.fullState &&
      (due || concerns(state, before, target.entries, this.#options.diff));
    state.owed.clear();
    state.answerDue = false;
    if (this.#options.mode === "sotw" && state.fullState ? sendSotw : answer) {
      this.#send(state, { entries: this.#withHeld(state, entries), removed: goesNow, parts }, { nowMs, before }, out);
    }
    if (state.typeUrl === clusterUrl) for (const part of parts ?? [entries]) this.#oweEndpoints(part, before);
  }

  /** Clusters whose removal is held back are still part of the world. */
  #withHeld(state: TypeState, entries: readonly SnapshotEntry[]): readonly SnapshotEntry[] {
    if (this.#options.mode === "delta" || state.held.size === 0) return entries;
    return [...entries, ...(state.held.values() as Iterable<SnapshotEntry>)];
  }

  #hold(state: TypeState, target: ReadonlyMap<string, SnapshotEntry>, nowMs: number): void {
    if (!removedLast.has(state.typeUrl)) return;
    for (const name of state.held.keys()) if (target.has(name) && state.covers(name)) state.held.delete(name);
    if (state.cursor.size === 0 || VersionedMap.areVersions<Versioned>(state.cursor, target)) return;
    if (this.#options.mode === "sotw" && !state.fullState) return;
    const { removed } = this.#options.diff(state.cursor, target);
    for (const name of removed) {
      const versioned = state.cursor.get(name);
      if (!versioned || state.owed.has(name) || !(state.covers(name) || state.resuming)) continue;
      if (state.held.size === 0) state.heldSinceMs = nowMs;
      state.held.set(name, versioned);
    }
  }

  /** Sends held removals once the listeners and routes that used them are gone for certain. */
  #release(state: TypeState, nowMs: number, out: StreamOutput[]): void {
    const users = [listenerUrl, routeUrl, ...(this.#snapshot?.onDemand ? [hostUrl] : [])];
    const late = nowMs >= state.heldSinceMs + this.#ackTimeoutMs;
    if (!late && users.some((typeUrl) => this.#mayUseClusters(typeUrl, state))) return;
    // A client that refused the new routes goes on with the old ones, which need their clusters.
    if (state.held.size < heldMax && users.some((typeUrl) => this.#types.get(typeUrl)?.nacked)) return;
    const removed = [...state.held.keys()].sort();
    state.held.clear();
    state.resumed = false;
    const { entries } = this.#target(state.typeUrl);
    if (this.#options.mode === "delta") {
      this.#send(state, { entries: [], removed }, { nowMs, before: state.cursor }, out);
    } else {
      const world = [...entries.values()].filter(({ name }) => state.covers(name));
      this.#send(state, { entries: world, removed: [] }, { nowMs, before: state.cursor }, out);
    }
  }

  #mayUseClusters(typeUrl: string, clusters: TypeState): boolean {
    const state = this.#types.get(typeUrl);
    // On a resumed stream the client has yet to come for its listeners and routes.
    if (!state) return clusters.resumed;
    return state.sent.length > 0 || state.changesWait;
  }

  /** Whether changes (not what the client itself asked for) have to wait. */
  #mustWait(state: TypeState, nowMs: number): boolean {
    if (nowMs < state.blockedUntilMs) return true;
    const fresh = (sentAtMs: number): boolean => nowMs < sentAtMs + this.#ackTimeoutMs;
    let unanswered = 0;
    for (const { sentAtMs } of state.sent) if (fresh(sentAtMs)) unanswered++;
    if (unanswered >= (this.#options.mode === "sotw" ? 1 : deltaUnansweredMax)) return true;
    if (!usesClusters.has(state.typeUrl)) return false;
    const clusters = this.#types.get(clusterUrl);
    const late = nowMs - this.#ackTimeoutMs;
    if (state.typeUrl === hostUrl && this.#grants.mustWait(clusters, this.#types.get(endpointsUrl), late)) return true;
    if (!clusters) return false;
    return clusters.changesWait || clusters.sent.some(({ addsClusters, sentAtMs }) => addsClusters && fresh(sentAtMs));
  }

  /** A cluster that is sent warms until its endpoints come, even where they did not change. */
  #oweEndpoints(clusters: readonly SnapshotEntry[], before: ReadonlyMap<string, Versioned>): void {
    const isNew = ({ name, version }: SnapshotEntry): boolean => before.get(name)?.version !== version;
    const names = endpointsNamesOf(this.#options.mode === "sotw" ? clusters.filter(isNew) : clusters);
    const endpoints = this.#types.get(endpointsUrl);
    if (!endpoints) this.#awaited.add(names);
    else for (const name of names) if (endpoints.covers(name)) endpoints.owed.add(name);
  }

  #send(
    state: TypeState,
    plan: Plan,
    context: { readonly nowMs: number; readonly before: ReadonlyMap<string, Versioned> },
    out: StreamOutput[],
  ): void {
    const snapshotEpoch = this.#snapshot?.epoch ?? 0;
    const epoch = snapshotEpoch > state.lastEpoch ? snapshotEpoch : this.#options.nextEpoch();
    const sotw = this.#options.mode === "sotw";
    const whole = sotw && state.fullState;
    const { fitting, errors } = fit(state, plan, this.#options.mode, this.#options.messageBytesMax?.());
    for (const error of errors) out.push({ kind: "tooLarge", typeUrl: state.typeUrl, error });
    if (!fitting) return;
    const bytesMax = this.#options.responseBytesMax ?? responseBytesDefault;
    const parts = whole ? [fitting] : cut(state, fitting, plan, bytesMax);
    for (const [part, entries] of parts.entries()) {
      const removed = part === parts.length - 1 ? plan.removed : nothing;
      const response = {
        mode: this.#options.mode,
        typeUrl: state.typeUrl,
        nonce: part === 0 ? `${epoch}-${state.label}` : `${epoch}-${state.label}-${part}`,
        version: sotw ? this.#sotwVersion(state, entries) : String(epoch),
        entries,
        removed: state.removable ? removed : nothing,
        ...(plan.aliases ? { aliases: plan.aliases } : {}),
      };
      const addsClusters = state.typeUrl === clusterUrl && this.#hasNew(entries, context.before);
      const { nonce, version } = response;
      state.remember({ nonce, version, epoch, sentAtMs: context.nowMs, entries, addsClusters });
      out.push({ kind: "send", response });
    }
    state.forgetRejected(plan.removed);
  }

  /** Asks for all of them: who was granted one is told that it is taken. */
  #hasNew(entries: readonly SnapshotEntry[], before: ReadonlyMap<string, Versioned>): boolean {
    if (before.size === 0 && !this.#grants.anyUnsent) return entries.length > 0;
    return entries.filter(({ name }) => !before.has(name) || this.#grants.takes(name)).length > 0;
  }

  #sotwVersion(state: TypeState, entries: readonly SnapshotEntry[]): string {
    const target = this.#target(state.typeUrl);
    return !state.fullState || entries.length === target.entries.size ? target.version() : versionOf(entries);
  }
}
