/**
 * Follows a prefix of etcd: lists it in pages of one revision, then watches from where it last was, so that what was
 * deleted in between is told as deleted and not only missing. History that is compacted away is made good by a new list.
 */
import type { GrpcChannel } from "@weft/net/grpc/client";
import { exponentialBackoff } from "@weft/xds/backoff";
import type { SourceCredentials } from "../outside/driver.ts";
import { sourceInstancesMax } from "../outside/held-instances.ts";
import type { OpenSource, SourceTools } from "../outside/source-events.ts";
import { authenticate } from "./etcd-calls.ts";
import { createEtcdKeys, type EtcdKeys } from "./etcd-keys.ts";
import { createEtcdLeases, type EtcdLeases } from "./etcd-leases.ts";
import { listEtcd } from "./etcd-list.ts";
import { watchEtcd } from "./etcd-watch.ts";

export interface EtcdSourceOptions {
  /** What all keys begin with. */
  readonly prefix: string;
  readonly credentials: (() => SourceCredentials) | undefined;
  /** Keys that are read; the others are counted. Absent: as many as a source may have instances. */
  readonly keysMax?: number;
  /** A channel to the next of the servers. */
  readonly dial: () => GrpcChannel;
}

const retryLimits = { baseMs: 250, maxMs: 10_000 };

/** What one session needs. */
export interface EtcdSession {
  readonly channel: GrpcChannel;
  readonly prefix: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly tools: SourceTools;
  readonly leases: EtcdLeases;
  readonly keysMax: number;
}

export const openEtcdSource =
  ({ prefix, credentials, dial, keysMax = sourceInstancesMax }: EtcdSourceOptions): OpenSource =>
  (tools) => {
    const backoff = exponentialBackoff(retryLimits, tools.random);
    const keys = createEtcdKeys();
    const leases = createEtcdLeases(tools.clock, (key) => {
      if (!disposed) tools.emit({ kind: "removed", key, because: "deleted" });
    });
    let disposed = false;
    let channel: GrpcChannel | undefined;
    let timer: Disposable | undefined;

    const start = (): void => {
      timer = undefined;
      const own = dial();
      channel = own;
      const run = async (): Promise<string> => {
        const metadata = credentials ? await authenticate(own, credentials()) : {};
        return await follow({ channel: own, prefix, metadata, tools, leases, keysMax }, keys, backoff.reset);
      };
      run().then(ended, (error: unknown) => ended(error instanceof Error ? error.message : String(error)));
    };
    const ended = (reason: string): void => {
      channel?.[Symbol.dispose]();
      if (disposed) return;
      tools.emit({ kind: "lost", reason });
      timer = tools.setTimer(start, backoff.next());
    };
    // What opens a source is done before the source speaks.
    timer = tools.setTimer(start, 0);
    return {
      [Symbol.dispose]: () => {
        disposed = true;
        timer?.[Symbol.dispose]();
        channel?.[Symbol.dispose]();
      },
    };
  };

/** Lists and watches until the connection ends; gives why it did. A watch whose history is gone begins with a list again. */
const follow = async (session: EtcdSession, keys: EtcdKeys, worked: () => void): Promise<string> => {
  for (;;) {
    const list = await listEtcd(session);
    const replayFrom = keys.listed(list);
    session.leases.listed(list.leases);
    session.tools.emit({ kind: "listed", instances: list.instances, readTo: list.readTo });
    worked();
    let end = await watchEtcd(session, keys, replayFrom);
    // What is left of the history is still told.
    if (end.kind === "compacted" && replayFrom <= list.revision)
      end = await watchEtcd(session, keys, Math.min(end.revision, list.revision) + 1);
    if (end.kind === "ended") return end.reason;
  }
};
