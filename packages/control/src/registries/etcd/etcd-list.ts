/** Everything under a prefix as of one revision, read in pages. */
import { grpcStatus } from "@weft/core/grpc-status";
import { GrpcError } from "@weft/net/grpc/status";
import {
  decodeRangeAnswer,
  type EtcdRangeAnswer,
  encodeRange,
  etcdMethods,
  keyAfter,
  prefixEnd,
} from "@weft/protocols/etcd/messages";
import type { SourceInstance } from "../outside/source-events.ts";
import { callDeadlineMs } from "./etcd-calls.ts";
import { readEtcdRecord } from "./etcd-record.ts";
import type { EtcdSession } from "./etcd-source.ts";

export const pageRecords = 1_000;

export interface EtcdList {
  readonly clusterId: string;
  readonly revision: number;
  /** Of all records, also those that cannot be read. */
  readonly keys: ReadonlySet<string>;
  /** Of the keys that go with one. */
  readonly leases: ReadonlyMap<string, bigint>;
  readonly instances: readonly SourceInstance[];
  /** There are more keys than are read: the last one that was; nothing is known of those after it. */
  readonly readTo: string | undefined;
}

/** Tells `connected` at the first answer, `unreadable` for each record that is, and how many keys are too many. */
export const listEtcd = async ({ channel, prefix, metadata, tools, keysMax }: EtcdSession): Promise<EtcdList> => {
  const keys = new Set<string>();
  const leases = new Map<string, bigint>();
  const instances: SourceInstance[] = [];
  const rangeEnd = prefixEnd(Buffer.from(prefix));
  let key: Uint8Array = Buffer.from(prefix);
  let limit = pageRecords;
  let first: EtcdRangeAnswer | undefined;
  for (;;) {
    const call = { path: etcdMethods.range, metadata, deadlineMs: callDeadlineMs };
    let page: EtcdRangeAnswer;
    try {
      const asked = Math.min(limit, keysMax - keys.size);
      const request = encodeRange({ key, rangeEnd, limit: asked, revision: first?.revision ?? 0 });
      page = decodeRangeAnswer(await channel.unary(call, request));
    } catch (error) {
      // Large values make large pages: fewer of them pass.
      if (!(error instanceof GrpcError) || error.status !== grpcStatus.resourceExhausted || limit === 1) throw error;
      limit = Math.ceil(limit / 4);
      continue;
    }
    if (!first) tools.emit({ kind: "connected" });
    first ??= page;
    for (const { key: bytes, value, lease } of page.records) {
      const name = Buffer.from(bytes).toString("utf8");
      if (Buffer.compare(bytes, key) < 0) throw new Error("etcd answers with keys before those that were asked for");
      keys.add(name);
      if (lease !== 0n) leases.set(name, lease);
      const record = readEtcdRecord(prefix, name, value);
      if (record.kind === "instance") instances.push(record.instance);
      else tools.emit({ kind: "unreadable", key: name, problem: record.problem });
    }
    const last = page.records.at(-1);
    const isCut = page.more && last !== undefined && keys.size >= keysMax;
    if (!page.more || !last || isCut) {
      const left = isCut ? Math.max(1, (page.count ?? 0) - page.records.length) : 0;
      if (isCut) tools.emit({ kind: "left-out", key: prefix, left: { what: "keys", count: left, max: keysMax } });
      const readTo = isCut ? Buffer.from(last.key).toString("utf8") : undefined;
      return { clusterId: first.clusterId, revision: first.revision, keys, leases, instances, readTo };
    }
    key = keyAfter(last.key);
  }
};
