/**
 * The client's side of aggregated discovery as a pure machine: inputs in, requests and offers out. One machine lives
 * as long as the proxy and outlives its streams: what it holds is what it resumes with.
 */
import type { Random } from "@weft/core/world";
import type { NodeJson } from "@weft/xds/gen/envoy/config/core/v3/base";
import { type BackoffLimits, exponentialBackoff } from "./backoff.ts";
import { type ClientRequest, type ClientResponse, deltaDialect, sotwDialect } from "./client-dialect.ts";
import {
  changeInterest,
  createInterests,
  drop,
  endStream,
  type Interest,
  isWanted,
  startWaiting,
} from "./client-interest.ts";
import { type Lifetime, type OfferedChange, type Refusal, readResponse } from "./client-offer.ts";
import { type SubscribedKind, subscribedTypes } from "./resource.ts";

export type ClientInput =
  /** The stream is really connected: requests may be sent. */
  | { readonly kind: "opened" }
  | { readonly kind: "response"; readonly response: ClientResponse }
  /** How the proxy took an offer; no rejections is an ACK. */
  | { readonly kind: "verdict"; readonly offer: number; readonly rejections: readonly Refusal[] }
  /** From now on these names of that kind are wanted, or all there are: `*`, by itself or among names. */
  | { readonly kind: "want"; readonly of: SubscribedKind; readonly names: ReadonlySet<string> | "*" }
  /** The proxy runs these already, from disk: from the next stream on they are held. */
  | { readonly kind: "resume"; readonly of: SubscribedKind; readonly versions: ReadonlyMap<string, string> }
  | { readonly kind: "tick" }
  | { readonly kind: "closed" };

export type ClientOutput =
  | { readonly kind: "open" }
  | { readonly kind: "send"; readonly request: ClientRequest }
  | {
      readonly kind: "offer";
      readonly offer: number;
      readonly of: SubscribedKind;
      readonly changes: readonly OfferedChange[];
    }
  /** Asked for on a connected stream and not given in time: waiting for it makes no sense any more. */
  | { readonly kind: "missing"; readonly of: SubscribedKind; readonly name: string }
  /** Their lifetime ended without a refresh: they are to be taken for removed. */
  | { readonly kind: "expired"; readonly of: SubscribedKind; readonly names: readonly string[] };

export interface ClientStream {
  handle(input: ClientInput, nowMs: number): readonly ClientOutput[];
  /** When a `tick` is due. */
  deadlineMs(): number | undefined;
  /** Names and versions accepted of a kind. */
  held(kind: SubscribedKind): ReadonlyMap<string, string>;
}

export interface ClientStreamOptions {
  readonly form: "delta" | "sotw";
  readonly node: NodeJson;
  readonly random: Random;
  readonly resourceTimeoutMs?: number;
  readonly backoff?: BackoffLimits;
}

const defaultResourceTimeoutMs = 15_000;
const defaultBackoff: BackoffLimits = { baseMs: 500, maxMs: 30_000 };
const reasonLengthMax = 4_000;
/** google.rpc.Code of a NACK. */
const invalidArgument = 3;

interface Offer {
  readonly id: number;
  readonly interest: Interest;
  readonly nonce: string;
  readonly version: string;
  readonly changes: readonly OfferedChange[];
  readonly refusals: readonly Refusal[];
  /** Name → when its lifetime ends, counted from the arrival. */
  readonly ends: ReadonlyMap<string, number | undefined>;
}

const typeUrls: ReadonlyMap<SubscribedKind, string> = new Map(
  subscribedTypes.map(({ kind, typeUrl }) => [kind, typeUrl]),
);

const setEnd = (interest: Interest, name: string, atMs: number | undefined): void => {
  if (atMs === undefined) interest.expires.delete(name);
  else interest.expires.set(name, atMs);
};

const nackText = (refusals: readonly Refusal[]): string => {
  const text = refusals.map(({ name, reason }) => `${name === "" ? "(unnamed)" : name}: ${reason}`).join("; ");
  return text.length <= reasonLengthMax ? text : `${text.slice(0, reasonLengthMax)}…`;
};

/** Makes the machine; it asks for a stream with its first `tick`. */
export const createClientStream = (options: ClientStreamOptions): ClientStream => {
  const dialect = options.form === "delta" ? deltaDialect : sotwDialect;
  const resourceTimeoutMs = options.resourceTimeoutMs ?? defaultResourceTimeoutMs;
  const backoff = exponentialBackoff(options.backoff ?? defaultBackoff, options.random);
  const interests = createInterests();
  const interestOf = (kind: SubscribedKind): Interest => interests.get(typeUrls.get(kind) ?? "") as Interest;

  const offers = new Map<number, Offer>();
  let offerCount = 0;
  let nodeSent = false;
  let state: "idle" | "opening" | "open" = "idle";
  let openAtMs: number | undefined = Number.NEGATIVE_INFINITY;

  const send = (request: ClientRequest): ClientOutput => {
    const node = nodeSent ? undefined : options.node;
    nodeSent = true;
    return { kind: "send", request: { ...request, node } };
  };

  /** Brings the stream's view of one type up to what is wanted. */
  const sync = (interest: Interest, nowMs: number): readonly ClientOutput[] => {
    if (state !== "open") return [];
    const isNew = !interest.requested && (interest.wildcard || interest.wanted.size > 0);
    if (!isNew && !interest.requested) return [];
    const request = isNew ? dialect.first(interest) : dialect.change(interest);
    interest.requested = true;
    if (request) startWaiting(interest, nowMs + resourceTimeoutMs);
    return request ? [send(request)] : [];
  };

  const opened = (nowMs: number): readonly ClientOutput[] => {
    state = "open";
    nodeSent = false;
    // In push order: clusters are asked for before endpoints, listeners before routes.
    return [...interests.values()].flatMap((interest) => sync(interest, nowMs));
  };

  const closed = (nowMs: number): readonly ClientOutput[] => {
    state = "idle";
    openAtMs = nowMs + backoff.next();
    offers.clear();
    for (const interest of interests.values()) endStream(interest);
    return [];
  };

  const respond = (response: ClientResponse, nowMs: number): readonly ClientOutput[] => {
    backoff.reset();
    const interest = interests.get(response.typeUrl);
    // Never asked for on this stream: an answer would be read as a subscription.
    if (!interest?.requested) return [];
    interest.nonce = response.nonce;
    interest.unjudged++;
    const { changes, refusals, lifetimes, heartbeats } = readResponse(interest, response);
    const endOf = ({ ttlMs }: Lifetime): number | undefined => (ttlMs === undefined ? undefined : nowMs + ttlMs);
    for (const beat of heartbeats) setEnd(interest, beat.name, endOf(beat));
    const ends = new Map(lifetimes.map((one) => [one.name, endOf(one)]));
    for (const { name, aliases = [] } of changes) for (const one of [name, ...aliases]) interest.waiting.delete(one);
    const version = response.form === "sotw" ? response.versionInfo : "";
    const offer: Offer = { id: ++offerCount, interest, nonce: response.nonce, version, changes, refusals, ends };
    offers.set(offer.id, offer);
    return [{ kind: "offer", offer: offer.id, of: interest.type.kind, changes }];
  };

  const judge = (id: number, rejections: readonly Refusal[], nowMs: number): readonly ClientOutput[] => {
    const offer = offers.get(id);
    if (!offer) return [];
    offers.delete(id);
    const { interest } = offer;
    interest.unjudged--;
    const rejected = new Set(rejections.map(({ name }) => name));
    for (const { name, version, json } of offer.changes) {
      if (rejected.has(name)) continue;
      if (json === undefined) drop(interest, name);
      else if (isWanted(interest, name)) {
        interest.held.set(name, version);
        setEnd(interest, name, offer.ends.get(name));
      }
    }
    const refusals = [...offer.refusals, ...rejections];
    if (refusals.length > 0) interest.mixed ||= offer.changes.some(({ name }) => !rejected.has(name));
    else if (offer.version !== "") {
      interest.version = offer.version;
      interest.mixed = false;
    }
    const error = refusals.length === 0 ? undefined : { code: invalidArgument, message: nackText(refusals) };
    const answer = dialect.answer(interest, offer.nonce, error);
    return [...(answer ? [send(answer)] : []), ...sync(interest, nowMs)];
  };

  const tick = (nowMs: number): readonly ClientOutput[] => {
    const outputs: ClientOutput[] = [];
    if (state === "idle" && openAtMs !== undefined && nowMs >= openAtMs) {
      state = "opening";
      openAtMs = undefined;
      outputs.push({ kind: "open" });
    }
    for (const interest of interests.values())
      for (const [name, untilMs] of interest.waiting) {
        if (nowMs < untilMs) continue;
        interest.waiting.delete(name);
        outputs.push({ kind: "missing", of: interest.type.kind, name });
      }
    return [...outputs, ...expire(nowMs)];
  };

  const expire = (nowMs: number): readonly ClientOutput[] =>
    [...interests.values()].flatMap((interest): ClientOutput[] => {
      const names = [...interest.expires].flatMap(([name, atMs]) => (nowMs >= atMs ? [name] : []));
      if (names.length === 0) return [];
      for (const name of names) drop(interest, name);
      interest.mixed = true;
      return [{ kind: "expired", of: interest.type.kind, names }];
    });

  return {
    handle: (input, nowMs) => {
      switch (input.kind) {
        case "opened":
          return state === "opening" ? opened(nowMs) : [];
        case "response":
          return state === "open" ? respond(input.response, nowMs) : [];
        case "verdict":
          return judge(input.offer, input.rejections, nowMs);
        case "want": {
          const interest = interestOf(input.of);
          changeInterest(interest, input.names);
          return sync(interest, nowMs);
        }
        case "resume":
          for (const [name, version] of input.versions) interestOf(input.of).held.set(name, version);
          return [];
        case "tick":
          return tick(nowMs);
        case "closed":
          return closed(nowMs);
        default:
          return input satisfies never;
      }
    },
    deadlineMs: () => {
      let first = state === "idle" ? openAtMs : undefined;
      for (const { waiting, expires } of interests.values())
        for (const times of [waiting, expires])
          for (const atMs of times.values()) if (first === undefined || atMs < first) first = atMs;
      return first;
    },
    held: (kind) => interestOf(kind).held,
  };
};
