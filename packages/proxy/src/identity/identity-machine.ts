/**
 * When a workload's certificate is asked for, renewed and complained about, without any I/O: inputs and wall time go
 * in, what to do comes out. A certificate that works is kept until a newer one does, also past its end: a peer then
 * refuses it for a reason everybody can read.
 */
import { formatIdentity, type Identity } from "@weft/core/identity";
import type { LogLevel, Random } from "@weft/core/world";
import { type Backoff, exponentialBackoff } from "@weft/xds/backoff";
import { type IdentityMaterial, readMaterial, type StoredIdentity } from "./identity-material.ts";

export type IdentityInput =
  /** What the store had, first of all. */
  | { readonly kind: "loaded"; readonly stored: StoredIdentity | undefined }
  | { readonly kind: "tick" }
  | { readonly kind: "issued"; readonly attempt: number; readonly answer: StoredIdentity }
  | { readonly kind: "failed"; readonly attempt: number; readonly reason: string };

export type IdentityOutput =
  /** Make a key, ask the CA, and answer with `issued` or `failed` of that attempt. */
  | { readonly kind: "request"; readonly attempt: number }
  /** Hand these out instead of what was before. */
  | { readonly kind: "use"; readonly material: IdentityMaterial }
  | { readonly kind: "store"; readonly stored: StoredIdentity }
  | { readonly kind: "log"; readonly level: Extract<LogLevel, "info" | "warn" | "error">; readonly message: string };

export interface IdentityMachineOptions {
  readonly identity: Identity;
  readonly random: Random;
}

/** Renewal is due at this share of a certificate's life, give or take the spread: a fleet must not come at once. */
const renewalShare = 0.5;
const renewalSpread = 0.1;
const requestTimeoutMs = 30_000;
const backoffLimits = { baseMs: 1000, maxMs: 60_000 };
/** Failures are warnings from this share of a certificate's life on; before that nothing is in danger yet. */
const worryShare = 0.75;

export class IdentityMachine {
  private readonly identity: Identity;
  private readonly random: Random;
  private readonly backoff: Backoff;
  private current: IdentityMaterial | undefined;
  private attempts = 0;
  private pending: { readonly attempt: number; readonly untilMs: number } | undefined;
  private requestAtMs: number | undefined;
  private failures = 0;
  private lastFailure = "";
  private expiryTold = false;

  constructor({ identity, random }: IdentityMachineOptions) {
    this.identity = identity;
    this.random = random;
    this.backoff = exponentialBackoff(backoffLimits, random);
  }

  /** What is in use; may be past its end. */
  get material(): IdentityMaterial | undefined {
    return this.current;
  }

  handle(input: IdentityInput, nowMs: number): readonly IdentityOutput[] {
    switch (input.kind) {
      case "loaded":
        return [...this.load(input.stored, nowMs), ...this.tick(nowMs)];
      case "tick":
        return this.tick(nowMs);
      case "issued":
        return input.attempt === this.pending?.attempt ? this.take(input.answer, nowMs) : [];
      case "failed":
        return input.attempt === this.pending?.attempt ? this.fail(input.reason, nowMs) : [];
      default:
        return input satisfies never;
    }
  }

  /** When to come with a tick if nothing else comes first, in wall time. */
  deadlineMs(): number | undefined {
    const times = [this.pending?.untilMs ?? this.requestAtMs];
    if (this.current && !this.expiryTold) times.push(this.current.notAfterMs);
    const known = times.filter((time) => time !== undefined);
    return known.length === 0 ? undefined : Math.min(...known);
  }

  private load(stored: StoredIdentity | undefined, nowMs: number): IdentityOutput[] {
    this.requestAtMs = nowMs;
    if (!stored) return [];
    let material: IdentityMaterial;
    try {
      material = readMaterial(stored, this.identity);
    } catch (error) {
      return [log("warn", `WF7003 the stored certificate is not used: ${textOf(error)}; asking the CA for a new one`)];
    }
    if (material.notAfterMs <= nowMs) {
      return [log("warn", `WF7002 the stored certificate of ${this.name} expired at ${iso(material.notAfterMs)}`)];
    }
    this.current = material;
    this.requestAtMs = this.renewalMs(material, material.notBeforeMs);
    return [{ kind: "use", material }];
  }

  private tick(nowMs: number): IdentityOutput[] {
    const outputs: IdentityOutput[] = [];
    if (this.pending && this.pending.untilMs <= nowMs) {
      outputs.push(...this.fail(`the CA did not answer within ${requestTimeoutMs / 1000} s`, nowMs));
    }
    if (this.current && this.current.notAfterMs <= nowMs && !this.expiryTold) {
      this.expiryTold = true;
      const cause = this.failures === 0 ? "" : ` after ${this.failures} failed renewals: ${this.lastFailure}`;
      outputs.push(
        log("error", `WF7002 the certificate of ${this.name} expired at ${iso(this.current.notAfterMs)}${cause}`),
      );
    }
    if (!this.pending && this.requestAtMs !== undefined && this.requestAtMs <= nowMs) {
      this.requestAtMs = undefined;
      this.pending = { attempt: ++this.attempts, untilMs: nowMs + requestTimeoutMs };
      outputs.push({ kind: "request", attempt: this.attempts });
    }
    return outputs;
  }

  private take(answer: StoredIdentity, nowMs: number): IdentityOutput[] {
    let material: IdentityMaterial;
    try {
      material = readMaterial(answer, this.identity);
      if (material.notAfterMs <= nowMs) throw new Error("it expired already; is this machine's clock right?");
      if (material.notBeforeMs > nowMs) throw new Error("it is not valid yet; is this machine's clock right?");
    } catch (error) {
      return this.fail(`WF7004 the certificate the CA gave cannot be used: ${textOf(error)}`, nowMs);
    }
    const first = this.current === undefined;
    this.pending = undefined;
    this.failures = 0;
    this.expiryTold = false;
    this.backoff.reset();
    this.current = material;
    this.requestAtMs = this.renewalMs(material, nowMs);
    const verb = first ? "issued" : "renewed";
    return [
      { kind: "use", material },
      { kind: "store", stored: answer },
      log("info", `certificate of ${this.name} ${verb}, good until ${iso(material.notAfterMs)}`),
    ];
  }

  private fail(reason: string, nowMs: number): IdentityOutput[] {
    this.pending = undefined;
    this.failures++;
    this.lastFailure = reason;
    this.requestAtMs = nowMs + this.backoff.next();
    if (!this.current) return [log("warn", `WF7001 no certificate for ${this.name} yet: ${reason}; trying again`)];
    const { notBeforeMs, notAfterMs } = this.current;
    const worrying = nowMs > notBeforeMs + (notAfterMs - notBeforeMs) * worryShare;
    const minutes = Math.max(0, Math.floor((notAfterMs - nowMs) / 60_000));
    const tries = this.failures === 1 ? "the last renewal" : `the last ${this.failures} renewals`;
    const expires = minutes === 0 && notAfterMs <= nowMs ? "has expired" : `expires in ${minutes} min`;
    return [
      log(
        worrying ? "warn" : "info",
        `WF7002 the certificate of ${this.name} ${expires} and ${tries} failed: ${reason}`,
      ),
    ];
  }

  private renewalMs({ notAfterMs }: IdentityMaterial, sinceMs: number): number {
    const share = renewalShare * (1 + renewalSpread * (2 * this.random() - 1));
    return sinceMs + (notAfterMs - sinceMs) * share;
  }

  private get name(): string {
    return formatIdentity(this.identity);
  }
}

const log = (level: "info" | "warn" | "error", message: string): IdentityOutput => ({ kind: "log", level, message });
const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
const iso = (ms: number): string => new Date(ms).toISOString();
