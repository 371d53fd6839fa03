/** Single calls to etcd with a deadline. */

import type { GrpcChannel } from "@weft/net/grpc/client";
import {
  decodeAuthenticateAnswer,
  decodeLeaseTimeToLive,
  encodeAuthenticate,
  etcdMethods,
} from "@weft/protocols/etcd/messages";
import { encodeLeaseId } from "@weft/protocols/etcd/writes";
import type { SourceCredentials } from "../outside/driver.ts";

export const callDeadlineMs = 15_000;

/** What later calls carry. Rejects when etcd refuses the user. */
export const authenticate = async (
  channel: GrpcChannel,
  { username, password }: SourceCredentials,
): Promise<Readonly<Record<string, string>>> => {
  const call = { path: etcdMethods.authenticate, deadlineMs: callDeadlineMs };
  const token = decodeAuthenticateAnswer(await channel.unary(call, encodeAuthenticate(username, password)));
  return { token };
};

/** How long a lease has at least, in whole seconds. */
export const askLease =
  ({ channel, metadata }: { readonly channel: GrpcChannel; readonly metadata: Readonly<Record<string, string>> }) =>
  async (lease: bigint): Promise<number> => {
    const call = { path: etcdMethods.leaseTimeToLive, metadata, deadlineMs: callDeadlineMs };
    return decodeLeaseTimeToLive(await channel.unary(call, encodeLeaseId(lease)));
  };
