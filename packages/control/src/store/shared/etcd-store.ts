/** The shared store on etcd: one connection at a time, whose end freezes the view until the next has caught up. */

import { WeftError } from "@weft/core/error";
import { grpcStatus } from "@weft/core/grpc-status";
import type { Clock, Logger, Random, SetTimer } from "@weft/core/world";
import type { GrpcChannel } from "@weft/net/grpc/client";
import { GrpcError } from "@weft/net/grpc/status";
import type { KeyValueStore } from "@weft/net/sqlite/key-value-store";
import {
  decodeLeaseAnswer,
  decodeTxnAnswer,
  decodeTxnGroupAnswer,
  type EtcdTxn,
  type EtcdTxnAnswer,
  encodeLeaseGrant,
  encodeLeaseId,
  encodeTxn,
  encodeTxnGroup,
  etcdWriteMethods,
} from "@weft/protocols/etcd/writes";
import { exponentialBackoff } from "@weft/xds/backoff";
import { authenticate } from "../../registries/etcd/etcd-calls.ts";
import type { SourceCredentials } from "../../registries/outside/driver.ts";
import { type EtcdSession, isOtherHistory, listShared, watchShared } from "./etcd-session.ts";
import { createGroupedWrites } from "./grouped-writes.ts";
import { keepShared, loadShared } from "./shared-disk.ts";
import { createSharedMirror, type SharedList, type SharedMirror } from "./shared-mirror.ts";
import { type SharedStore, type SharedWrite, storeUnavailable, type WriteOutcome } from "./shared-store.ts";
import { createStamps, stamped } from "./stamps.ts";
import { createStoreMender } from "./write-back.ts";

export interface EtcdStoreOptions {
  /** A channel to the next of the servers. */
  readonly dial: () => GrpcChannel;
  /** What all keys begin with, to the last slash. */
  readonly prefix: string;
  readonly credentials: (() => SourceCredentials) | undefined;
  readonly disk: KeyValueStore;
  readonly clock: Clock;
  readonly setTimer: SetTimer;
  readonly random: Random;
  readonly log: Logger;
}

const retryLimits = { baseMs: 100, maxMs: 2_000 };
const callDeadlineMs = 5_000;
/** How long a write waits to be seen here, or what was written before it. */
const seenWithinMs = 2_000;
/** How long a record that is asked for may be on its way, and how many may wait for such. */
const appearWithinMs = 1_000;
const appearingMax = 256;
/** How long a start waits for the store when it has a last good view, and when it has none. */
const firstWaitMs = { known: 3_000, unknown: 30_000 };

/** What tells one mesh from another: a store that has another, or none any more, is not the one we knew. */
export const rootRecordKey = "ca/root";

/** Resolves when the store was read, or a last good view stands in for it. Rejects with WF2201 when there is neither. */
export const openEtcdStore = async (options: EtcdStoreOptions): Promise<SharedStore & Disposable> => {
  const { clock, setTimer, log, prefix, credentials } = options;
  const known = loadShared(options.disk, prefix);
  const mirror = createSharedMirror(known);
  const keeping = keepShared(mirror, { disk: options.disk, origin: prefix, setTimer, log });
  const backoff = exponentialBackoff(retryLimits, options.random);
  const first = Promise.withResolvers<void>();
  let live: EtcdSession | undefined;
  let channel: GrpcChannel | undefined;
  let timer: Disposable | undefined;
  let disposed = false;
  let reason = "it was not reached yet";
  let lostAtMs = clock.nowMs();
  let token: Readonly<Record<string, string>> = {};
  let appearing = 0;

  const run = async (own: GrpcChannel): Promise<string> => {
    if (credentials) token = await authenticate(own, credentials());
    const session: EtcdSession = { channel: own, metadata: () => token, prefix, setTimer };
    const list = await listShared(session);
    refuseOther(mirror, list);
    const isOther = await isOtherHistory(session, mirror.newest(), list.revision);
    mender.take({ ...list, isOther });
    const watching = watchShared(session, mirror);
    live = session;
    void mender.mend(() => disposed || live !== session);
    backoff.reset();
    if (reason !== "")
      log.info("the shared store is followed", { revision: list.revision, records: list.records.length });
    reason = "";
    first.resolve();
    return await watching;
  };
  const start = (): void => {
    channel = options.dial();
    run(channel).then(ended, (error: unknown) => ended(error instanceof Error ? error.message : String(error)));
  };
  const ended = (why: string): void => {
    channel?.[Symbol.dispose]();
    if (disposed) return;
    if (live) lostAtMs = clock.nowMs();
    const fields = { code: why.startsWith(otherMesh) ? "WF2205" : "WF2202", reason: why };
    if (live || reason !== why)
      log.error("the shared store is away: the last good view stays, changes are refused", fields);
    live = undefined;
    reason = why;
    timer = setTimer(start, backoff.next());
  };

  const call = async (path: string, message: Uint8Array): Promise<Uint8Array> => {
    const now = live;
    if (!now) throw storeUnavailable(reason);
    const ask = () => now.channel.unary({ path, metadata: token, deadlineMs: callDeadlineMs }, message);
    try {
      return await ask();
    } catch (error) {
      const isStale = credentials && error instanceof GrpcError && error.status === grpcStatus.unauthenticated;
      if (!isStale) throw error;
      token = await authenticate(now.channel, credentials());
      return await ask();
    }
  };
  const within = async (condition: () => boolean, ms: number): Promise<boolean> => {
    using waiting = mirror.when(condition);
    return await inTime(waiting.held, ms, setTimer);
  };
  /** Later than that it is told all the same: what is written is written. */
  const seen = (condition: () => boolean): Promise<boolean> => within(condition, seenWithinMs);
  const markId = (): string => `${clock.wallMs()}-${options.random()}`;
  const write = createWrites({ prefix, call, seen, mirror, stamp: createStamps(markId()) });
  const mender = createStoreMender({ mirror, write, markId, setTimer, log });

  start();
  if (!(await inTime(first.promise, known ? firstWaitMs.known : firstWaitMs.unknown, setTimer))) {
    if (!known) {
      disposed = true;
      timer?.[Symbol.dispose]();
      channel?.[Symbol.dispose]();
      throw new WeftError("WF2201", `the shared store cannot be reached: ${reason}`, {
        next: "check --store, its credentials and that etcd runs; there is no last good view to start from",
      });
    }
    log.warn("started from the last good view of the shared store", {
      code: "WF2202",
      records: known.records.length,
      reason,
    });
  }
  return {
    get: mirror.get,
    group: mirror.group,
    revision: mirror.revision,
    listedAt: mirror.listedAt,
    follow: mirror.follow,
    appears: async (key) => {
      if (mirror.get(key) || !live || appearing >= appearingMax) return mirror.get(key) !== undefined;
      appearing++;
      const found = await within(() => mirror.get(key) !== undefined, appearWithinMs);
      appearing--;
      return found;
    },
    write,
    grant: async (ttlSeconds) => {
      const { id, error } = decodeLeaseAnswer(
        await refusing(call(etcdWriteMethods.leaseGrant, encodeLeaseGrant(ttlSeconds))),
      );
      if (error !== "" || id === 0n) throw storeUnavailable(error || "it gave no lease");
      return String(id);
    },
    renew: async (lease) => {
      const answer = await refusing(call(etcdWriteMethods.leaseKeepAlive, encodeLeaseId(BigInt(lease))));
      return decodeLeaseAnswer(answer).ttlSeconds > 0;
    },
    revoke: async (lease) => {
      await call(etcdWriteMethods.leaseRevoke, encodeLeaseId(BigInt(lease))).catch(() => undefined);
    },
    status: () => ({
      connected: live !== undefined,
      reason,
      ageMs: live ? 0 : clock.nowMs() - lostAtMs,
      revision: mirror.revision(),
      goneBack: mender.counts(),
    }),
    [Symbol.dispose]: () => {
      disposed = true;
      timer?.[Symbol.dispose]();
      channel?.[Symbol.dispose]();
      keeping[Symbol.dispose]();
    },
  };
};

const otherMesh = "the store is not the one known here";

/** A store without our root, or with another, would take every endpoint and every certificate away. */
const refuseOther = (mirror: SharedMirror, list: SharedList): void => {
  const ours = mirror.get(rootRecordKey);
  if (!ours) return;
  const theirs = list.records.find(({ key }) => key === rootRecordKey);
  if (theirs?.value === ours.value) return;
  throw new Error(`${otherMesh}: it has ${theirs ? "another root" : "no root"} under the prefix`);
};

const inTime = async (promise: Promise<void>, ms: number, setTimer: SetTimer): Promise<boolean> => {
  const late = Promise.withResolvers<boolean>();
  using _timer = setTimer(() => late.resolve(false), ms);
  return await Promise.race([promise.then(() => true), late.promise]);
};

/** What etcd or the way to it refuses is 503; a refusal of our own stays. */
const refusing = async <T>(answer: Promise<T>): Promise<T> => {
  try {
    return await answer;
  } catch (error) {
    throw error instanceof GrpcError ? storeUnavailable(error.message) : error;
  }
};

interface Writing {
  readonly prefix: string;
  readonly call: (path: string, message: Uint8Array) => Promise<Uint8Array>;
  readonly seen: (condition: () => boolean) => Promise<unknown>;
  readonly mirror: SharedMirror;
  readonly stamp: () => string;
}

/** The store is away for whatever is asked of it. */
const awayStatuses: ReadonlySet<number> = new Set([
  grpcStatus.unavailable,
  grpcStatus.deadlineExceeded,
  grpcStatus.cancelled,
  grpcStatus.unauthenticated,
]);

const isOfOne = (error: unknown): boolean => error instanceof GrpcError && !awayStatuses.has(error.status);

const createWrites = (writing: Writing): ((change: SharedWrite) => Promise<WriteOutcome>) => {
  const { call, prefix, stamp } = writing;
  const grouped = createGroupedWrites({
    isOfOne,
    send: async (changes) => {
      const txns = changes.map((change) => txnOf(change, prefix, stamp));
      const [only] = txns;
      if (only && txns.length === 1) {
        const answer = decodeTxnAnswer(await call(etcdWriteMethods.txn, encodeTxn(only)));
        return outcomesOf(changes, [answer], answer.revision, writing);
      }
      const { answers, revision } = decodeTxnGroupAnswer(await call(etcdWriteMethods.txn, encodeTxnGroup(txns)));
      return outcomesOf(changes, answers, revision, writing);
    },
  });
  return async (change) => {
    try {
      return await grouped(change);
    } catch (error) {
      // A lease that ended meanwhile: the record went with it, or is about to.
      if (error instanceof GrpcError && error.status === grpcStatus.notFound) return { kind: "conflict" };
      throw error instanceof GrpcError ? storeUnavailable(error.message) : error;
    }
  };
};

const txnOf = ({ seen, puts = [], deletes = [] }: SharedWrite, prefix: string, stamp: () => string): EtcdTxn => {
  const keyOf = (key: string): Uint8Array => Buffer.from(prefix + key);
  return {
    compares: seen.map(({ key, revision }) => ({ key: keyOf(key), modRevision: revision })),
    puts: puts.map(({ key, value, lease, isSame = false }) => ({
      key: keyOf(key),
      value: Buffer.from(isSame ? value : stamped({ key, value }, stamp)),
      lease: lease === undefined ? undefined : BigInt(lease),
    })),
    deletes: deletes.map(keyOf),
  };
};

/** What became of each, once it is seen here. */
const outcomesOf = async (
  changes: readonly SharedWrite[],
  answers: readonly EtcdTxnAnswer[],
  revision: number,
  { prefix, seen, mirror }: Writing,
): Promise<readonly WriteOutcome[]> => {
  if (answers.length !== changes.length) throw storeUnavailable("it did not answer all that it was asked");
  const isDone = ({ puts = [], deletes = [] }: SharedWrite, at: number): boolean =>
    puts.length + deletes.length > 0 && answers[at]?.succeeded === true;
  if (changes.some(isDone)) await seen(() => mirror.revision() >= revision);
  return await Promise.all(
    changes.map(async (change, at): Promise<WriteOutcome> => {
      const { succeeded, found } = answers[at] as EtcdTxnAnswer;
      if (succeeded) return { kind: "written", revision };
      const now = new Map(found.map(({ key, modRevision }) => [Buffer.from(key).toString("utf8"), modRevision]));
      await seen(() =>
        change.seen.every(({ key, revision }) => {
          const known = mirror.get(key)?.revision ?? 0;
          const there = now.get(prefix + key) ?? 0;
          // What is gone there may be back here already.
          return there === 0 ? known === 0 || known > revision : known >= there;
        }),
      );
      return { kind: "conflict" };
    }),
  );
};
