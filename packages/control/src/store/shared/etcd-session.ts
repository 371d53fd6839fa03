/** One connection's time with etcd: everything under the prefix is listed, then watched until the connection ends. */
import { grpcStatus } from "@weft/core/grpc-status";
import type { SetTimer } from "@weft/core/world";
import type { GrpcChannel, GrpcStream } from "@weft/net/grpc/client";
import { GrpcError } from "@weft/net/grpc/status";
import {
  decodeRangeAnswer,
  decodeWatchAnswer,
  type EtcdEvent,
  type EtcdRangeAnswer,
  encodeProgressRequest,
  encodeRange,
  encodeWatch,
  etcdMethods,
  keyAfter,
  prefixEnd,
} from "@weft/protocols/etcd/messages";
import type { SharedList, SharedMirror, SharedRecord } from "./shared-mirror.ts";

export interface EtcdSession {
  readonly channel: GrpcChannel;
  /** Asked for every call: a token may be taken anew. */
  readonly metadata: () => Readonly<Record<string, string>>;
  readonly prefix: string;
  readonly setTimer: SetTimer;
}

const pageRecords = 1_000;
const listDeadlineMs = 15_000;
/** A watch that has been quiet so long is asked whether it is there, and given up when it does not say so in as long. */
export const quietMs = 3_000;
/** Pieces of one answer kept until the last has come. */
const piecesMax = 200_000;

/** Everything under the prefix as of one revision, read in pages. */
export const listShared = async ({ channel, metadata, prefix }: EtcdSession): Promise<SharedList> => {
  const records: SharedRecord[] = [];
  const rangeEnd = prefixEnd(Buffer.from(prefix));
  let key: Uint8Array = Buffer.from(prefix);
  let limit = pageRecords;
  let first: EtcdRangeAnswer | undefined;
  for (;;) {
    let page: EtcdRangeAnswer;
    try {
      const request = encodeRange({ key, rangeEnd, limit, revision: first?.revision ?? 0 });
      const call = { path: etcdMethods.range, metadata: metadata(), deadlineMs: listDeadlineMs };
      page = decodeRangeAnswer(await channel.unary(call, request));
    } catch (error) {
      // Large values make large pages: fewer of them pass.
      if (!(error instanceof GrpcError) || error.status !== grpcStatus.resourceExhausted || limit === 1) throw error;
      limit = Math.ceil(limit / 4);
      continue;
    }
    first ??= page;
    for (const { key: name, value, modRevision, lease } of page.records) {
      const text = Buffer.from(name).toString("utf8").slice(prefix.length);
      const leased = lease !== 0n;
      records.push({ key: text, value: Buffer.from(value).toString("utf8"), revision: modRevision, leased });
    }
    const last = page.records.at(-1);
    if (!page.more || !last) return { clusterId: first.clusterId, revision: first.revision, records };
    key = keyAfter(last.key);
  }
};

/**
 * Whether the store's history lacks this record as it was when it was written: a copy of another day was put in its place.
 * False where that is compacted, or the store has not come so far, which its revision says.
 */
export const isOtherHistory = async (
  { channel, metadata, prefix }: EtcdSession,
  newest: SharedRecord | undefined,
  revision: number,
): Promise<boolean> => {
  if (!newest || newest.revision > revision) return false;
  const request = encodeRange({ key: Buffer.from(prefix + newest.key), revision: newest.revision });
  try {
    const call = { path: etcdMethods.range, metadata: metadata(), deadlineMs: listDeadlineMs };
    const [was] = decodeRangeAnswer(await channel.unary(call, request)).records;
    return was?.modRevision !== newest.revision || Buffer.from(was.value).toString("utf8") !== newest.value;
  } catch (error) {
    if (error instanceof GrpcError && error.status === grpcStatus.outOfRange) return false;
    throw error;
  }
};

/** Tells the mirror of every change from its revision on; resolves with why it ended, never rejects. */
export const watchShared = (session: EtcdSession, mirror: SharedMirror): Promise<string> => {
  const { channel, prefix, metadata, setTimer } = session;
  const { promise: ended, resolve } = Promise.withResolvers<string>();
  let timer: Disposable | undefined;
  let asked = false;
  let pieces: EtcdEvent[] = [];
  const end = (reason: string): void => {
    timer?.[Symbol.dispose]();
    resolve(reason);
    stream.cancel();
  };
  const wait = (): void => {
    timer?.[Symbol.dispose]();
    timer = setTimer(() => {
      if (asked) {
        end(`the watch has not answered for ${quietMs / 1000} s`);
        return;
      }
      asked = true;
      stream.send(encodeProgressRequest());
      wait();
    }, quietMs);
  };
  const message = (bytes: Uint8Array): void => {
    asked = false;
    wait();
    const answer = decodeWatchAnswer(bytes);
    if (answer.canceled) {
      const why = answer.compactRevision > 0 ? "its history is compacted" : answer.cancelReason;
      end(`etcd ended the watch: ${why || "it does not say why"}`);
      return;
    }
    pieces.push(...answer.events);
    if (pieces.length > piecesMax) end("one answer of etcd's has no end");
    if (answer.fragment) return;
    const events = pieces;
    pieces = [];
    if (events.length > 0) mirror.takeChanges(events.map((event) => changeOf(event, prefix)));
  };
  const stream: GrpcStream = channel.open(
    // Without it, a server that was cut off from the others goes on with a watch that tells nothing.
    { path: etcdMethods.watch, metadata: { ...metadata(), hasleader: "true" } },
    {
      onMessage: message,
      onEnd: (error) => {
        timer?.[Symbol.dispose]();
        resolve(error?.message ?? "etcd ended the stream of the watch");
      },
    },
  );
  const key = Buffer.from(prefix);
  stream.send(encodeWatch({ key, rangeEnd: prefixEnd(key), startRevision: mirror.revision() + 1 }));
  wait();
  return ended;
};

const changeOf = ({ kind, record }: EtcdEvent, prefix: string) => ({
  key: Buffer.from(record.key).toString("utf8").slice(prefix.length),
  ...(kind === "put" ? { value: Buffer.from(record.value).toString("utf8"), leased: record.lease !== 0n } : {}),
  revision: record.modRevision,
});
