/** An etcd in memory behind the seam of a channel, with history, compaction and bad days; for tests. */
import { grpcStatus } from "@weft/core/grpc-status";
import type { GrpcCall, GrpcChannel, GrpcStream, GrpcStreamHandlers } from "@weft/net/grpc/client";
import { GrpcError } from "@weft/net/grpc/status";
import { type EtcdEvent, type EtcdKeyValue, type EtcdWatchAnswer, etcdMethods } from "@weft/protocols/etcd/messages";
import {
  encodeLeaseTimeToLive,
  encodeRangeAnswer,
  encodeWatchAnswer,
  readMessage,
} from "@weft/protocols/etcd/testing/server-messages";

export interface FakeEtcd {
  readonly dial: () => GrpcChannel;
  /** Calls seen, by method and what matters of them. */
  readonly calls: string[];
  /** Under that lease, where one is named. */
  put(key: string, value: string, lease?: bigint): void;
  delete(key: string): void;
  compact(): void;
  /** Whole seconds that leases have, from now on; a lease that is not among them is gone. */
  readonly leases: Map<bigint, number>;
  /** Keeps changes back from the watches until `deliver`; asked how far it is, it tells all the same. */
  lag(): void;
  deliver(): void;
  /** Another store under the same address. */
  replace(clusterId: string): void;
  /** Ends every call, and refuses new ones while it is down. */
  down(reason: string): void;
  up(): void;
  /** Answers with more records are refused. */
  recordsMax: number;
  /** Whether a watch answers when it is asked how far it is. */
  answersProgress: boolean;
  /** Answers every list so. */
  lie: (() => Uint8Array) | undefined;
  /** Sends these bytes to every watch. */
  say(bytes: Uint8Array): void;
  /** Sends to every watch. */
  send(answer: Partial<EtcdWatchAnswer>): void;
}

interface Watch {
  readonly handlers: GrpcStreamHandlers;
  readonly open: { is: boolean };
}

const text = (bytes: number | Uint8Array | undefined): string =>
  typeof bytes === "object" ? Buffer.from(bytes).toString() : "";
const unavailable = (reason: string): GrpcError => new GrpcError(grpcStatus.unavailable, reason);

export const createFakeEtcd = (): FakeEtcd => {
  let clusterId = "1";
  let revision = 1;
  let compacted = 0;
  let downFor: string | undefined;
  let records = new Map<string, EtcdKeyValue>();
  let history: EtcdEvent[] = [];
  const watches = new Set<Watch>();
  let withheld: EtcdEvent[] | undefined;
  const calls: string[] = [];
  const answer = (over: Partial<EtcdWatchAnswer>): Uint8Array =>
    encodeWatchAnswer({
      ...{ clusterId, revision, created: false, canceled: false, compactRevision: 0, cancelReason: "" },
      ...{ fragment: false, events: [], ...over },
    });
  const happened = (event: EtcdEvent): void => {
    history.push(event);
    if (withheld) {
      withheld.push(event);
      return;
    }
    for (const { handlers, open } of [...watches]) if (open.is) handlers.onMessage(answer({ events: [event] }));
  };

  const range = (request: Uint8Array): Uint8Array => {
    const fields = readMessage(request);
    const [from, end, limit] = [text(fields.get(1)), text(fields.get(2)), Number(fields.get(3) ?? 0)];
    calls.push(`range ${from} ${limit}`);
    const found = [...records.keys()]
      .filter((key) => key >= from && key < end)
      .sort()
      .map((key) => records.get(key) as EtcdKeyValue);
    const page = found.slice(0, limit);
    if (page.length > fake.recordsMax) throw new GrpcError(grpcStatus.resourceExhausted, "too large");
    const more = page.length < found.length;
    return encodeRangeAnswer({ clusterId, revision, records: page, more, count: found.length });
  };
  const startWatch = (watch: Watch, create: Uint8Array): void => {
    const start = Number(readMessage(create).get(3));
    calls.push(`watch ${start}`);
    watch.handlers.onMessage(answer({ created: true }));
    if (start <= compacted) {
      watch.handlers.onMessage(answer({ canceled: true, compactRevision: compacted }));
      return;
    }
    const events = history.filter(({ record }) => record.modRevision >= start);
    if (events.length > 0) watch.handlers.onMessage(answer({ events }));
  };
  const open = ({ path }: GrpcCall, handlers: GrpcStreamHandlers): GrpcStream => {
    const watch: Watch = { handlers, open: { is: true } };
    watches.add(watch);
    const end = (error: GrpcError | undefined): void => {
      if (!watch.open.is) return;
      watch.open.is = false;
      watches.delete(watch);
      handlers.onEnd(error);
    };
    if (downFor !== undefined || path !== etcdMethods.watch) queueMicrotask(() => end(unavailable(downFor ?? path)));
    return {
      send: (message) => {
        const [[field, body] = [0, 0]] = readMessage(message);
        if (!watch.open.is || downFor !== undefined) return;
        if (field === 1) startWatch(watch, body as Uint8Array);
        else {
          calls.push("progress");
          if (fake.answersProgress) handlers.onMessage(answer({}));
        }
      },
      finish: () => undefined,
      pause: () => undefined,
      resume: () => undefined,
      cancel: () => end(new GrpcError(grpcStatus.cancelled, "cancelled here")),
    };
  };
  const unary = async (call: GrpcCall, message: Uint8Array): Promise<Uint8Array> => {
    if (downFor !== undefined) throw unavailable(downFor);
    if (call.path === etcdMethods.range) return fake.lie?.() ?? range(message);
    if (call.path === etcdMethods.leaseTimeToLive) {
      const lease = BigInt(Number(readMessage(message).get(1)));
      calls.push(`lease ${lease}`);
      return encodeLeaseTimeToLive(fake.leases.get(lease) ?? -1);
    }
    throw new GrpcError(grpcStatus.unauthenticated, "no such user");
  };

  const fake: FakeEtcd = {
    calls,
    recordsMax: Number.POSITIVE_INFINITY,
    answersProgress: true,
    lie: undefined,
    say: (bytes) => {
      for (const { handlers } of [...watches]) handlers.onMessage(bytes);
    },
    dial: () => ({ open, unary, [Symbol.dispose]: () => undefined }),
    leases: new Map(),
    put: (key, value, lease = 0n) => {
      revision++;
      const record = { key: Buffer.from(key), value: Buffer.from(value), modRevision: revision, lease };
      const before = records.get(key);
      records.set(key, record);
      happened({ kind: "put", record, before });
    },
    delete: (key) => {
      revision++;
      const before = records.get(key);
      records.delete(key);
      const record = { key: Buffer.from(key), value: Buffer.alloc(0), modRevision: revision, lease: 0n };
      happened({ kind: "delete", record, before });
    },
    compact: () => {
      compacted = revision;
      history = [];
    },
    replace: (id) => {
      clusterId = id;
      revision = 1;
      compacted = 0;
      records = new Map();
      history = [];
    },
    down: (reason) => {
      downFor = reason;
      withheld = undefined;
      for (const { handlers, open: is } of [...watches]) {
        is.is = false;
        handlers.onEnd(unavailable(reason));
      }
      watches.clear();
    },
    lag: () => {
      withheld ??= [];
    },
    deliver: () => {
      const events = withheld ?? [];
      withheld = undefined;
      if (events.length > 0) fake.send({ events });
    },
    up: () => {
      downFor = undefined;
    },
    send: (over) => {
      for (const { handlers } of [...watches]) handlers.onMessage(answer(over));
    },
  };
  return fake;
};
