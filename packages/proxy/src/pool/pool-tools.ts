import type { Logger } from "@weft/core/world";
import type { SocketLoop } from "@weft/net/tcp/socket-loop";
import type { TlsPeer } from "@weft/net/tls/peer";
import type { TlsContext } from "@weft/net/tls/tls-material";
import type { Http2Workspace } from "@weft/protocols/http2/workspace";
import { acceptsPins } from "../clusters/certificate-pins.ts";
import type { UpstreamTls } from "../clusters/cluster.ts";
import { acceptsNames } from "../clusters/tls-context.ts";
import type { IdleConnection } from "../overload/idle-closer.ts";
import type { TimerWheel } from "../timers/timer-wheel.ts";

/** Whose idle connections can be seen. */
export interface IdleHost {
  visitIdle(visit: (connection: IdleConnection) => void): void;
}

/** How a client context is made of a transport's current secrets; the reason when it cannot be. */
export type ClientContext =
  | {
      readonly kind: "ready";
      readonly context: TlsContext;
      readonly verifies: boolean;
      readonly localUris: readonly string[];
    }
  | { readonly kind: "missing"; readonly reason: string };

/** What pools need of the rest of the data plane. */
export interface PoolTools {
  readonly loop: SocketLoop;
  readonly wheel: TimerWheel;
  readonly workspace: Http2Workspace;
  readonly log?: Logger;
  /** The pools of all hosts, which enter and leave by themselves. */
  readonly hosts: Set<IdleHost>;
  /** The context of that transport with the secrets of now; cached until a secret changes. */
  readonly clientContext: (transport: UpstreamTls) => ClientContext;
}

/** Why a server's certificate is not good where those names are accepted; `undefined` when it is. */
export const refusePeer = (
  { sans, pins }: Pick<UpstreamTls, "sans" | "pins">,
  verifies: boolean,
  peer: TlsPeer,
): string | undefined => {
  if (!verifies) return undefined;
  if (!peer.verified) return `certificate verify failed: ${peer.verifyError || "no certificate"}`;
  if (pins !== undefined && !acceptsPins(pins, peer)) return "verify hash: neither certificate nor key is accepted";
  if (sans.length === 0) return undefined;
  return acceptsNames(sans, peer.names) ? undefined : "verify SAN list: no name of the certificate is accepted";
};
