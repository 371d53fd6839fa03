/** The listening sockets a thread has open, for whoever takes over. */
import type { SocketAddress } from "@weft/core/address";
import type { OpenListener, TcpListener } from "@weft/net/tcp/accept";
import { duplicateDescriptor } from "@weft/net/tcp/libc";
import type { PassedSocket } from "@weft/net/tcp/pass-sockets";
import { type SocketClaim, socketName } from "./socket-name.ts";

export interface OpenSockets {
  /** Opens a listener whose sockets are kept note of while it is open. */
  readonly listen: OpenListener;
  /** Duplicates of the descriptors of all that are bound, the caller's to close. */
  readonly duplicates: () => readonly PassedSocket[];
}

interface Entry {
  readonly claim: SocketClaim;
  readonly listener: TcpListener;
  bound: SocketAddress | undefined;
}

/** A duplicate under the name it is passed on by; nothing where it cannot be duplicated. */
export const passedSocket = (claim: SocketClaim, port: number, descriptor: number): readonly PassedSocket[] => {
  const copy = duplicateDescriptor(descriptor);
  return copy === undefined ? [] : [{ name: socketName(claim, port), descriptor: copy }];
};

export const createOpenSockets = (open: OpenListener): OpenSockets => {
  const entries = new Set<Entry>();
  return {
    listen: (options, onConnection) => {
      const { address, ipv6Only = false, name = "" } = options;
      const listener = open(options, onConnection);
      const claim = { listener: name, address: { host: address.host, port: address.port }, ipv6Only };
      const entry: Entry = { claim, listener, bound: undefined };
      entries.add(entry);
      listener.bound.then(
        (bound) => {
          entry.bound = bound;
        },
        () => entries.delete(entry),
      );
      return {
        bound: listener.bound,
        close: () => {
          entries.delete(entry);
          listener.close();
        },
        get descriptors() {
          return listener.descriptors;
        },
      };
    },
    duplicates: () =>
      [...entries].flatMap(({ claim, listener, bound }) =>
        bound === undefined
          ? []
          : listener.descriptors.flatMap((descriptor) => passedSocket(claim, bound.port, descriptor)),
      ),
  };
};
