/**
 * The Lease under which one of several control planes writes to Kubernetes. Nothing that is served depends on it: who
 * does not have it, or loses the API server, only writes nothing.
 */
import type { Clock, Logger, Random, SetTimer } from "@weft/core/world";
import type { KubernetesApi, KubernetesCall } from "@weft/net/kubernetes/kubernetes-api";
import { KubernetesError } from "@weft/net/kubernetes/kubernetes-error";
import { Election, type ElectionInput, type ElectionOutput, type Instant, writeTimeoutMs } from "./election.ts";
import { leaseObject, readLease } from "./lease-object.ts";

export interface WriterLease extends AsyncDisposable {
  /** Whether a write may be begun now. */
  mayWrite(): boolean;
  /** Who holds the lease, as far as is known; empty: nobody. */
  holder(): string;
  /** Makes a call that changes something. Rejects with a KubernetesError; without the lease it is not made. */
  write(call: KubernetesCall): Promise<unknown>;
}

export interface WriterLeaseOptions {
  readonly api: Pick<KubernetesApi, "call">;
  readonly namespace: string;
  readonly name: string;
  /** Unique among all processes that ever ask. */
  readonly identity: string;
  readonly clock: Clock;
  readonly setTimer: SetTimer;
  readonly random: Random;
  readonly log: Logger;
  /** Called when it began or ceased to be the one who writes. */
  readonly changed: (writes: boolean) => void;
}

const stopTimeoutMs = 2_500;

/** What `write` rejects with where the lease is another's. */
export const notHolder = "NotLeaseHolder";

/** Asks for the lease until disposed, which ends what is being written and lets the next in at once. */
export const openWriterLease = (options: WriterLeaseOptions): WriterLease => {
  const { api, name, namespace, identity, clock, setTimer, random, log } = options;
  const election = new Election({ identity, random });
  const path = `/apis/coordination.k8s.io/v1/namespaces/${encodeURIComponent(namespace)}/leases`;
  const writing = new Set<Promise<unknown>>();
  const now = (): Instant => ({ nowMs: clock.nowMs(), wallMs: clock.wallMs() });
  let timer: Disposable | undefined;
  let wrote = false;
  let failing = false;
  let stopping = false;
  let released: () => void = () => {};
  const over = new Promise<void>((resolve) => {
    released = resolve;
  });

  const bounded = async (call: KubernetesCall): Promise<unknown> => {
    const given = new AbortController();
    using _timer = setTimer(() => given.abort(), writeTimeoutMs);
    return await api.call({ ...call, timeoutMs: writeTimeoutMs, signal: given.signal });
  };
  const answerOf = async (output: Exclude<ElectionOutput, { kind: "released" }>): Promise<ElectionInput> => {
    if (output.kind === "read") {
      const lease = readLease(await bounded({ method: "GET", path: `${path}/${name}` }));
      return lease ? { kind: "read", lease } : { kind: "failed" };
    }
    const replaces = output.kind === "replace";
    const body = leaseObject(name, namespace, output.lease, replaces ? output.resourceVersion : undefined);
    const call: KubernetesCall = replaces
      ? { method: "PUT", path: `${path}/${name}`, body }
      : { method: "POST", path, body };
    const lease = readLease(await bounded(call));
    return lease ? { kind: "written", lease } : { kind: "failed" };
  };
  const failure = (output: ElectionOutput, error: unknown): ElectionInput => {
    const { status, message } = error as KubernetesError;
    if (status === 404 && output.kind === "read") return { kind: "read", lease: undefined };
    if (status === 409 || (status === 404 && output.kind === "replace")) return { kind: "conflict" };
    if (!failing)
      log.warn("the lease of those who write cannot be asked for", { code: "WF2186", name, error: message });
    failing = true;
    return { kind: "failed" };
  };
  const perform = async (output: Exclude<ElectionOutput, { kind: "released" }>): Promise<void> => {
    let input: ElectionInput;
    try {
      input = await answerOf(output);
      failing = false;
    } catch (error) {
      input = failure(output, error);
    }
    advance(input);
  };
  const advance = (input: ElectionInput): void => {
    const output = election.handle(input, now());
    if (output?.kind === "released") released();
    else if (output) void perform(output);
    tell();
    timer?.[Symbol.dispose]();
    const deadlineMs = election.deadlineMs();
    timer = deadlineMs === undefined ? undefined : setTimer(() => advance({ kind: "tick" }), delayTo(deadlineMs));
  };
  const delayTo = (deadlineMs: number): number =>
    deadlineMs === Number.NEGATIVE_INFINITY ? 0 : Math.max(0, Math.ceil(deadlineMs - clock.nowMs()));
  const tell = (): void => {
    const writes = election.mayWrite(now());
    if (writes === wrote) return;
    wrote = writes;
    log.info(writes ? "this control plane writes to Kubernetes" : "this control plane writes no longer", {
      lease: `${namespace}/${name}`,
      holder: election.holder(),
    });
    options.changed(writes);
  };

  advance({ kind: "tick" });
  const mayWrite = (): boolean => !stopping && election.mayWrite(now());
  return {
    mayWrite,
    holder: () => election.holder(),
    write: async (call) => {
      if (!mayWrite()) throw new KubernetesError(0, notHolder, `another writes: ${election.holder()}`);
      const made = bounded(call);
      writing.add(made);
      try {
        return await made;
      } finally {
        writing.delete(made);
      }
    },
    [Symbol.asyncDispose]: async () => {
      stopping = true;
      const ended = await within(Promise.allSettled(writing), stopTimeoutMs, setTimer);
      // With a write still under way the lease must run out by itself.
      if (ended) {
        advance({ kind: "stop" });
        await within(over, stopTimeoutMs, setTimer);
      }
      timer?.[Symbol.dispose]();
    },
  };
};

/** Whether it settled in time. */
const within = async (work: Promise<unknown>, ms: number, setTimer: SetTimer): Promise<boolean> => {
  const late = Promise.withResolvers<boolean>();
  using _timer = setTimer(() => late.resolve(false), ms);
  return await Promise.race([work.then(() => true), late.promise]);
};
