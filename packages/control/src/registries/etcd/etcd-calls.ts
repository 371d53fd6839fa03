/** Single calls to etcd with a deadline. */

import type { GrpcChannel } from "@weft/net/grpc/client";
import { decodeAuthenticateAnswer, encodeAuthenticate, etcdMethods } from "@weft/protocols/etcd/messages";
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
