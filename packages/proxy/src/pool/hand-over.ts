import type { Connection } from "@weft/net/tcp/connection";
import type { UpstreamIdentities } from "../http/streams.ts";
import type { PoolWaiter } from "./pool-waiter.ts";

/** Gives a connection to the pool of the version it turned out to speak, with the requests that waited for it. */
export type HandOver = (
  connection: Connection,
  tls: UpstreamIdentities | undefined,
  waiters: readonly PoolWaiter[],
) => void;

/** Whether HTTP/2 was agreed on; all else, and nothing, is HTTP/1. */
export const isHttp2Alpn = (alpn: string): boolean => alpn === "h2" || alpn === "istio-h2";
