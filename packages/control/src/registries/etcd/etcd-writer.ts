/** Instances of the mesh as keys of etcd, in weft's own layout, all under one lease that is kept alive. */
import { grpcStatus } from "@weft/core/grpc-status";
import type { GrpcChannel } from "@weft/net/grpc/client";
import { GrpcError } from "@weft/net/grpc/status";
import { decodeLeaseKeys, encodeLeaseTimeToLive, leaseTimeToLiveMethod } from "@weft/protocols/etcd/lease-keys";
import {
  decodeLeaseAnswer,
  encodeLeaseGrant,
  encodeLeaseId,
  encodeTxn,
  etcdWriteMethods,
} from "@weft/protocols/etcd/writes";
import type { SourceCredentials } from "../outside/driver.ts";
import { type OpenWriter, WriteRefusal, type WrittenInstance, writtenTtlMs } from "../outside/write-session.ts";
import { authenticate, callDeadlineMs } from "./etcd-calls.ts";

export interface EtcdWriterOptions {
  /** What all keys begin with. */
  readonly prefix: string;
  readonly credentials: (() => SourceCredentials) | undefined;
  /** A channel to the next of the servers. */
  readonly dial: () => GrpcChannel;
}

export const openEtcdWriter =
  ({ prefix, credentials, dial }: EtcdWriterOptions): OpenWriter =>
  async () => {
    const channel = dial();
    try {
      const metadata = credentials ? await authenticate(channel, credentials()) : {};
      const call = (path: string, message: Uint8Array): Promise<Uint8Array> =>
        channel.unary({ path, metadata, deadlineMs: callDeadlineMs }, message);
      const granted = decodeLeaseAnswer(
        await call(etcdWriteMethods.leaseGrant, encodeLeaseGrant(writtenTtlMs / 1_000)),
      );
      if (granted.error !== "") throw new Error(`etcd grants no lease: ${granted.error}`);
      const lease = granted.id;
      const nothing = { compares: [], puts: [], deletes: [] };
      return {
        async put(instance) {
          const put = { key: keyOf(prefix, instance), value: Buffer.from(etcdRecord(instance)), lease };
          await unlessRefused(call(etcdWriteMethods.txn, encodeTxn({ ...nothing, puts: [put] })));
        },
        async remove(instance) {
          await call(etcdWriteMethods.txn, encodeTxn({ ...nothing, deletes: [keyOf(prefix, instance)] }));
        },
        async renew(instances) {
          const { ttlSeconds } = decodeLeaseAnswer(await call(etcdWriteMethods.leaseKeepAlive, encodeLeaseId(lease)));
          if (ttlSeconds <= 0) throw new Error("the lease has ended");
          // A key that another wrote since goes with its lease, not with this one.
          const { keys } = decodeLeaseKeys(await call(leaseTimeToLiveMethod, encodeLeaseTimeToLive(lease)));
          const there = new Set(keys.map((key) => Buffer.from(key).toString("utf8")));
          const missing = [...instances].filter(([, one]) => !there.has(String(keyOf(prefix, one))));
          return missing.map(([key]) => key);
        },
        [Symbol.dispose]: () => channel[Symbol.dispose](),
      };
    } catch (error) {
      channel[Symbol.dispose]();
      throw error;
    }
  };

/** Two ports of an instance are two records. */
const keyOf = (prefix: string, { namespace, service, id, port }: WrittenInstance): Buffer =>
  Buffer.from(`${prefix}${namespace}/${service}/${id}:${port}`);

/** The value of an instance in weft's own layout. */
export const etcdRecord = (instance: WrittenInstance): string => {
  const { address, port, servicePort, protocol, labels, weight, locality, serviceAccount, health } = instance;
  return JSON.stringify({ address, port, servicePort, protocol, labels, weight, locality, serviceAccount, health });
};

/** What is wrong with one record, such as its size, does not end the session. */
const unlessRefused = async (call: Promise<unknown>): Promise<void> => {
  try {
    await call;
  } catch (error) {
    if (error instanceof GrpcError && error.status === grpcStatus.invalidArgument)
      throw new WriteRefusal(error.message);
    throw error;
  }
};
