/** A watch of a prefix, until it ends: each change is told, and a server that has gone quiet is asked whether it is there. */
import type { GrpcStream } from "@weft/net/grpc/client";
import {
  decodeWatchAnswer,
  type EtcdEvent,
  type EtcdWatchAnswer,
  encodeProgressRequest,
  encodeWatch,
  etcdMethods,
  prefixEnd,
} from "@weft/protocols/etcd/messages";
import { askLease } from "./etcd-calls.ts";
import type { EtcdKeys } from "./etcd-keys.ts";
import { readEtcdRecord } from "./etcd-record.ts";
import type { EtcdSession } from "./etcd-source.ts";

/** How often the watch is asked how far it is; that costs the server nothing where nothing changed. */
export const resyncMs = 30_000;

export type EtcdWatchEnd =
  | { readonly kind: "ended"; readonly reason: string }
  /** History is gone up to here. */
  | { readonly kind: "compacted"; readonly revision: number };

/** Never rejects. */
export const watchEtcd = (session: EtcdSession, keys: EtcdKeys, startRevision: number): Promise<EtcdWatchEnd> =>
  new Promise((resolve) => {
    const { channel, prefix, metadata, tools } = session;
    let timer: Disposable | undefined;
    let stream: GrpcStream | undefined;
    /** Asked, and nothing heard since; servers before 3.4 do not know the question. */
    let asked = false;
    let answers = false;
    const end = (result: EtcdWatchEnd): void => {
      timer?.[Symbol.dispose]();
      resolve(result);
      stream?.cancel();
    };
    const ask = (): void => {
      if (asked && answers) {
        end({ kind: "ended", reason: `the watch has not answered for ${resyncMs / 1000} s` });
        return;
      }
      asked = true;
      stream?.send(encodeProgressRequest());
      timer = tools.setTimer(ask, resyncMs);
    };
    const message = (bytes: Uint8Array): void => {
      let answer: EtcdWatchAnswer;
      try {
        answer = decodeWatchAnswer(bytes);
      } catch (error) {
        end({ kind: "ended", reason: `an answer of the watch cannot be read: ${(error as Error).message}` });
        return;
      }
      if (answer.canceled) {
        if (answer.compactRevision > 0) end({ kind: "compacted", revision: answer.compactRevision });
        else end({ kind: "ended", reason: `etcd ended the watch: ${answer.cancelReason || "it does not say why"}` });
        return;
      }
      answers ||= asked;
      asked = false;
      for (const event of answer.events) tell(session, keys, event);
      if (answer.fragment) return;
      for (const { record } of answer.events) keys.followed(record.modRevision);
    };
    stream = channel.open(
      // Without it, a server that was cut off from the others goes on with a watch that tells nothing.
      { path: etcdMethods.watch, metadata: { ...metadata, hasleader: "true" } },
      {
        onMessage: message,
        onEnd: (error) => end({ kind: "ended", reason: error?.message ?? "etcd ended the stream of the watch" }),
      },
    );
    const key = Buffer.from(prefix);
    stream.send(encodeWatch({ key, rangeEnd: prefixEnd(key), startRevision }));
    timer = tools.setTimer(ask, resyncMs);
  });

const tell = (session: EtcdSession, keys: EtcdKeys, { kind, record, before }: EtcdEvent): void => {
  const { prefix, tools, leases } = session;
  const key = Buffer.from(record.key).toString("utf8");
  if (!keys.isNews(key, kind, record.modRevision)) return;
  if (kind === "delete") {
    const lease = before?.lease ?? 0n;
    // Without a lease nothing can expire.
    const because = lease === 0n ? "deleted" : leases.gone(key, lease, askLease(session));
    tools.emit({ kind: "removed", key, because });
    return;
  }
  leases.put(key, record.lease);
  const read = readEtcdRecord(prefix, key, record.value);
  if (read.kind === "instance") tools.emit({ kind: "put", instance: read.instance });
  else tools.emit({ kind: "unreadable", key, problem: read.problem });
};
