/**
 * Who of several control planes writes: decisions about one Lease of Kubernetes, without I/O. Clocks of two machines are
 * never compared. A lease that another holds counts as ended when its record did not change for its whole time to live
 * here; one's own counts from when the renewal was sent, and ends early enough that a write begun in it is over, done
 * or timed out, before anybody else can hold the lease.
 */
import type { Random } from "@weft/core/world";

/** What a Lease says, as far as it matters here. */
export interface LeaseRecord {
  /** Empty: released. */
  readonly holder: string;
  readonly ttlMs: number;
  readonly transitions: number;
  readonly acquireTime: string;
  /** Only ever compared for being the same. */
  readonly renewTime: string;
  readonly resourceVersion: string;
}

export type ElectionInput =
  | { readonly kind: "tick" }
  /** The answers: one for each output but `released`. */
  | { readonly kind: "read"; readonly lease: LeaseRecord | undefined }
  | { readonly kind: "written"; readonly lease: LeaseRecord }
  /** Somebody else wrote in between, or removed it. */
  | { readonly kind: "conflict" }
  /** No answer, or one that says nothing; a write may have been taken or may not. */
  | { readonly kind: "failed" }
  /** Writes nothing any more, and lets others in at once. */
  | { readonly kind: "stop" };

export type NewLease = Pick<LeaseRecord, "holder" | "ttlMs" | "transitions" | "acquireTime" | "renewTime">;

export type ElectionOutput =
  | { readonly kind: "read" }
  | { readonly kind: "create"; readonly lease: NewLease }
  /** Only if it is still of that version. */
  | { readonly kind: "replace"; readonly lease: NewLease; readonly resourceVersion: string }
  /** After `stop`: there is nothing left to do. */
  | { readonly kind: "released" };

/** Both clocks: a machine that slept has only its wall clock go on, a corrected one only its other. */
export interface Instant {
  readonly nowMs: number;
  readonly wallMs: number;
}

export interface ElectionOptions {
  /** Unique among all who ever ask for this lease. */
  readonly identity: string;
  readonly random: Random;
}

export const leaseTtlMs = 15_000;
/** A call about the lease, and every write that needs it, is given up after this long. */
export const writeTimeoutMs = 5_000;
const renewMs = 5_000;
const retryMs = 2_000;
const jitter = 0.2;
/** From the moment a renewal is sent; what is begun before ends before the time to live does. */
const writesForMs = leaseTtlMs - writeTimeoutMs;
/** A longer one of somebody else's is not waited for. */
const foreignTtlMaxMs = 3_600_000;

type Asked = "read" | "write" | "release";

export class Election {
  readonly #identity: string;
  readonly #random: Random;
  /** The last record seen, and when it was first seen so. */
  #seen: { readonly lease: LeaseRecord; readonly at: Instant } | undefined;
  /** When the last renewal that was taken was sent. */
  #heldFrom: Instant | undefined;
  #acquireTime = "";
  /** So that every renewal looks new, also from a clock that stands still or is set back. */
  #renewedWallMs = Number.NEGATIVE_INFINITY;
  #asked: { readonly kind: Asked; readonly at: Instant } | undefined;
  #nextMs = Number.NEGATIVE_INFINITY;
  #conflicts = 0;
  #stopping = false;
  #released = false;

  constructor({ identity, random }: ElectionOptions) {
    this.#identity = identity;
    this.#random = random;
  }

  /** Whether a write may be begun now, if it is given up after `writeTimeoutMs`. */
  mayWrite(now: Instant): boolean {
    return !this.#stopping && this.#heldFrom !== undefined && elapsed(this.#heldFrom, now) < writesForMs;
  }

  /** Who is known to hold the lease; empty when nobody is. */
  holder(): string {
    return this.#seen?.lease.holder ?? "";
  }

  /** When to tick next, in `nowMs`; `undefined` while an answer is awaited or all is over. */
  deadlineMs(): number | undefined {
    if (this.#released) return undefined;
    const ends = this.#heldFrom && !this.#stopping ? this.#heldFrom.nowMs + writesForMs : undefined;
    if (this.#asked) return ends;
    return ends === undefined ? this.#nextMs : Math.min(this.#nextMs, ends);
  }

  handle(input: ElectionInput, now: Instant): ElectionOutput | undefined {
    if (this.#released) return undefined;
    if (this.#heldFrom && elapsed(this.#heldFrom, now) >= writesForMs) this.#heldFrom = undefined;
    const asked = this.#asked;
    if (input.kind === "stop") this.#stopping = true;
    else if (input.kind !== "tick") {
      this.#asked = undefined;
      this.#learn(input, asked, now);
    }
    if (this.#asked) return undefined;
    if (this.#stopping) return this.#release(asked, now);
    if (input.kind === "read") return this.#take(now);
    if (now.nowMs < this.#nextMs) return undefined;
    return this.#heldFrom && this.#seen?.lease.holder === this.#identity
      ? this.#replace(this.#seen.lease, now)
      : this.#ask("read", { kind: "read" }, now);
  }

  #learn(input: Exclude<ElectionInput, { kind: "tick" | "stop" }>, asked: Asking, now: Instant): void {
    switch (input.kind) {
      case "read":
        if (input.lease) this.#see(input.lease, now);
        else this.#seen = undefined;
        if (input.lease?.holder !== this.#identity) this.#heldFrom = undefined;
        return;
      case "written":
        this.#see(input.lease, now);
        this.#conflicts = 0;
        if (asked?.kind !== "write") return;
        this.#heldFrom = asked.at;
        this.#nextMs = asked.at.nowMs + renewMs;
        return;
      case "conflict":
        // The first is looked into at once; a row of them is a race that waiting ends.
        this.#nextMs = this.#conflicts++ === 0 ? now.nowMs : now.nowMs + this.#retryMs();
        this.#seen = undefined;
        return;
      case "failed":
        this.#nextMs = now.nowMs + this.#retryMs();
        return;
      default:
        input satisfies never;
    }
  }

  #see(lease: LeaseRecord, now: Instant): void {
    const at = this.#seen && sameTerm(this.#seen.lease, lease) ? this.#seen.at : now;
    this.#seen = { lease, at };
  }

  /** After a reading: takes what nobody holds, else waits. */
  #take(now: Instant): ElectionOutput | undefined {
    const seen = this.#seen;
    if (!seen) {
      this.#acquireTime = "";
      return this.#ask("write", { kind: "create", lease: this.#ours(undefined, now) }, now);
    }
    const { lease, at } = seen;
    const ttlMs = Math.min(Math.max(lease.ttlMs, 0), foreignTtlMaxMs);
    const endsMs = at.nowMs + ttlMs;
    if (lease.holder === this.#identity || lease.holder === "" || now.nowMs >= endsMs) return this.#replace(lease, now);
    this.#nextMs = Math.min(now.nowMs + this.#retryMs(), endsMs);
    return undefined;
  }

  #replace(lease: LeaseRecord, now: Instant): ElectionOutput {
    const { resourceVersion } = lease;
    return this.#ask("write", { kind: "replace", lease: this.#ours(lease, now), resourceVersion }, now);
  }

  #release(before: Asking, now: Instant): ElectionOutput | undefined {
    this.#heldFrom = undefined;
    const lease = this.#seen?.lease;
    if (!lease || lease.holder !== this.#identity || before?.kind === "release") {
      this.#released = true;
      return { kind: "released" };
    }
    const { transitions, resourceVersion } = lease;
    const time = microTime(now.wallMs);
    const empty = { holder: "", ttlMs: 1000, transitions, acquireTime: time, renewTime: time };
    return this.#ask("release", { kind: "replace", lease: empty, resourceVersion }, now);
  }

  #ours(before: LeaseRecord | undefined, now: Instant): NewLease {
    this.#renewedWallMs = Math.max(now.wallMs, this.#renewedWallMs + 1);
    const renewTime = microTime(this.#renewedWallMs);
    const own = before?.holder === this.#identity;
    this.#acquireTime = own && this.#acquireTime !== "" ? this.#acquireTime : renewTime;
    const transitions = before === undefined ? 0 : own ? before.transitions : before.transitions + 1;
    return { holder: this.#identity, ttlMs: leaseTtlMs, transitions, acquireTime: this.#acquireTime, renewTime };
  }

  #ask(kind: Asked, output: ElectionOutput, now: Instant): ElectionOutput {
    this.#asked = { kind, at: now };
    return output;
  }

  #retryMs(): number {
    return retryMs * (1 - jitter + 2 * jitter * this.#random());
  }
}

type Asking = { readonly kind: Asked; readonly at: Instant } | undefined;

const sameTerm = (a: LeaseRecord, b: LeaseRecord): boolean =>
  a.holder === b.holder && a.renewTime === b.renewTime && a.transitions === b.transitions && a.ttlMs === b.ttlMs;

/** The longer of what the two clocks say passed: whichever was set back or stood still says too little. */
const elapsed = (from: Instant, to: Instant): number => Math.max(to.nowMs - from.nowMs, to.wallMs - from.wallMs);

/** Kubernetes' MicroTime. */
const microTime = (wallMs: number): string => new Date(wallMs).toISOString().replace("Z", "000Z");
