/** Listening sockets that came from the process that served before, and when they may be accepted on. */
import type { SocketAddress } from "@weft/core/address";
import { listenTcp, type OpenListener } from "@weft/net/tcp/accept";
import { holdTcp } from "@weft/net/tcp/hold";
import type { TakenSockets } from "@weft/net/tcp/take-sockets";
import { fittingAddress, type SocketClaim } from "./socket-name.ts";

export interface InheritedSockets {
  readonly address: SocketAddress;
  /** All sockets there are at it: the kernel has put connections into the queue of each. */
  readonly descriptors: readonly number[];
}

export interface Inherited {
  /** Resolves when the other process has let go: what was accepted before would be lost if this one failed. */
  readonly accepting: Promise<void>;
  /** The sockets are the caller's from then on. `undefined`: nobody had the address. */
  readonly take: (claim: SocketClaim) => InheritedSockets | undefined;
}

export const createInherited = (taken: Pick<TakenSockets, "names" | "claim">, accepting: Promise<void>): Inherited => ({
  accepting,
  take: (claim) => {
    const descriptors: number[] = [];
    let address: SocketAddress | undefined;
    for (const name of taken.names()) {
      const fitting = fittingAddress(name, claim);
      if (fitting === undefined || (address !== undefined && fitting.port !== address.port)) continue;
      const descriptor = taken.claim(name);
      if (descriptor === undefined) continue;
      address = fitting;
      descriptors.push(descriptor);
    }
    return address === undefined ? undefined : { address, descriptors };
  },
});

/** Listens on what was inherited where there is something, and binds the rest. */
export const inheritingListen =
  (inherited: Inherited, onError: (error: Error) => void): OpenListener =>
  (options, onConnection) => {
    const { address, ipv6Only = false, name = "" } = options;
    const sockets = inherited.take({ listener: name, address, ipv6Only });
    if (sockets === undefined) return listenTcp(options, onConnection);
    const { accepting } = inherited;
    const held = { descriptors: sockets.descriptors, accepting, onError };
    return holdTcp({ ...options, address: sockets.address }, held, onConnection);
  };
