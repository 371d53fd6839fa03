/**
 * Who of the workers listens where. The first that asks for an address has it tried out as if nobody shared ports, so
 * that a port of another process is refused and port 0 becomes one port for all; the others get what it got.
 */
import { formatAddress, type SocketAddress } from "@weft/core/address";
import { WeftError } from "@weft/core/error";
import type { SetTimer } from "@weft/core/world";
import { closeDescriptors } from "@weft/net/tcp/hold";
import type { InheritedSockets } from "../takeover/inherited.ts";
import type { Claim } from "./protocol.ts";

/** How long a listener waits for the one it replaces to let go of its port. */
const handOverMs = 1_000;

export interface PortClaims {
  /** Rejects with WF5001 and the like. */
  claim(lane: number, claim: Claim): Promise<SocketAddress>;
  /** Sockets that were there before us and that this lane is to accept on; they stay this table's. */
  socketsOf(lane: number, claim: Claim): readonly number[];
  release(lane: number, claim: Claim): void;
  /** That worker is gone. */
  drop(lane: number): void;
}

export interface PortClaimsTools {
  /** Binds the address alone and lets go of it: gives the address that was had. */
  readonly probe: (claim: Claim) => Promise<SocketAddress>;
  /** Sockets that another process had at the address; the table's from then on. */
  readonly inherit?: ((claim: Claim) => InheritedSockets | undefined) | undefined;
  /** How many lanes share what was inherited. */
  readonly lanes?: number;
  readonly setTimer: SetTimer;
}

interface Held {
  readonly bound: Promise<SocketAddress>;
  /** Kept open here as well, so that a worker which is started anew finds them. */
  readonly inherited: readonly number[];
  /** Listeners by name, with the lanes they are open in. */
  readonly holders: Map<string, Set<number>>;
  readonly waiting: Set<() => void>;
}

const keyOf = ({ listener, address, ipv6Only }: Claim): string =>
  `${formatAddress(address)}${ipv6Only ? " v6" : ""}${address.port === 0 ? ` ${listener}` : ""}`;

export const createPortClaims = ({ probe, inherit, lanes = 1, setTimer }: PortClaimsTools): PortClaims => {
  const table = new Map<string, Held>();

  const leave = (key: string, held: Held, listener: string, lane: number): void => {
    const lanes = held.holders.get(listener);
    if (!lanes?.delete(lane) || lanes.size > 0) return;
    held.holders.delete(listener);
    if (held.holders.size === 0 && table.get(key) === held) {
      table.delete(key);
      closeDescriptors(held.inherited);
    }
    for (const wake of held.waiting) wake();
  };

  /** Resolves when nothing but that listener holds the address, or enough time has passed. */
  const untilAlone = async (key: string, listener: string): Promise<boolean> => {
    const others = (): Held | undefined => {
      const held = table.get(key);
      return held && [...held.holders.keys()].some((name) => name !== listener) ? held : undefined;
    };
    let late = false;
    const { promise, resolve } = Promise.withResolvers<void>();
    using _timer = setTimer(() => {
      late = true;
      resolve();
    }, handOverMs);
    for (let held = others(); held && !late; held = others()) {
      const { waiting } = held;
      const freed = Promise.withResolvers<void>();
      waiting.add(freed.resolve);
      await Promise.race([freed.promise, promise]);
      waiting.delete(freed.resolve);
    }
    return others() === undefined;
  };

  const take = (claim: Claim): Held => {
    const sockets = inherit?.(claim);
    const bound = sockets === undefined ? probe(claim) : Promise.resolve(sockets.address);
    return { bound, inherited: sockets?.descriptors ?? [], holders: new Map(), waiting: new Set() };
  };

  return {
    claim: async (lane, claim) => {
      const key = keyOf(claim);
      if (!(await untilAlone(key, claim.listener)))
        throw new WeftError("WF5001", `cannot listen on ${formatAddress(claim.address)}: the port is in use`, {
          next: "another listener of this proxy has it: choose another port",
        });
      const held = table.get(key) ?? take(claim);
      table.set(key, held);
      const lanes = held.holders.get(claim.listener) ?? new Set();
      held.holders.set(claim.listener, lanes.add(lane));
      try {
        return await held.bound;
      } catch (error) {
        leave(key, held, claim.listener, lane);
        throw error;
      }
    },
    socketsOf: (lane, claim) => {
      const { inherited = [] } = table.get(keyOf(claim)) ?? {};
      // Each socket has a queue of its own that somebody must empty; with fewer sockets than lanes, lanes share.
      if (inherited.length <= lanes) return inherited.filter((_, at) => at === (lane - 1) % inherited.length);
      return inherited.filter((_, at) => at % lanes === lane - 1);
    },
    release: (lane, claim) => {
      const key = keyOf(claim);
      const held = table.get(key);
      if (held) leave(key, held, claim.listener, lane);
    },
    drop: (lane) => {
      for (const [key, held] of [...table])
        for (const listener of [...held.holders.keys()]) leave(key, held, listener, lane);
    },
  };
};
