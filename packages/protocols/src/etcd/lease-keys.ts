/** What etcd says of a lease: how long it has, and which keys go with it (etcdserverpb/rpc.proto). */
import { BinaryWriter } from "@bufbuild/protobuf/wire";
import { eachField } from "./messages.ts";

export const leaseTimeToLiveMethod = "/etcdserverpb.Lease/LeaseTimeToLive";

export interface EtcdLeaseKeys {
  /** Below 0: there is no such lease any more. */
  readonly ttlSeconds: number;
  readonly keys: readonly Uint8Array[];
}

/** Asks for the keys too. */
export const encodeLeaseTimeToLive = (id: bigint): Uint8Array =>
  new BinaryWriter().uint32(0o10).int64(id).uint32(0o20).bool(true).finish();

/** Throws for what is not such a message. */
export const decodeLeaseKeys = (bytes: Uint8Array): EtcdLeaseKeys => {
  const answer = { ttlSeconds: 0, keys: [] as Uint8Array[] };
  eachField(bytes, (field, reader) => {
    if (field === 3) answer.ttlSeconds = Number(reader.int64());
    else if (field === 5) answer.keys.push(reader.bytes());
    else return false;
    return true;
  });
  return answer;
};
