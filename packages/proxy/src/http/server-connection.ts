import type { Connection } from "@weft/net/tcp/connection";
import type { IdleConnection } from "../overload/idle-closer.ts";
import type { DownstreamInfo } from "./exchange.ts";
import type { ConnectionCount } from "./hcm-counters.ts";
import type { HcmSlot } from "./hcm-settings.ts";

/** What a connection that serves HTTP is given once its filter chain is known and TLS, if any, is done. */
export interface ServerStart {
  readonly slot: HcmSlot;
  readonly connection: Connection;
  readonly downstream: DownstreamInfo;
  /** Where the connection is counted; absent where nobody counts. */
  readonly count?: ConnectionCount;
}

/** A connection in the hands of a protocol, which may be idle in them. */
export interface ServedConnection extends IdleConnection {
  /** Tells the client to go elsewhere; closes once nothing is in flight. */
  drain(): void;
  /** Closes now. */
  close(): void;
}
