import { closeSync } from "node:fs";
import { type ListenOptions, listenTcp, type TcpListener } from "./accept.ts";
import type { Connection } from "./connection.ts";

/** Sockets that listen already, at one address. */
export interface HeldSockets {
  readonly descriptors: readonly number[];
  /** Nothing is accepted before it resolves; what connects waits with the kernel. */
  readonly accepting: Promise<void>;
  /** A socket could not be accepted on after all. */
  readonly onError: (error: Error) => void;
}

export const closeDescriptors = (descriptors: readonly number[]): void => {
  for (const descriptor of descriptors) closeSync(descriptor);
};

/** Has sockets that came from another process for its own, bound from the start, and accepts on all of them in time. */
export const holdTcp = (
  options: ListenOptions,
  { descriptors, accepting, onError }: HeldSockets,
  onConnection: (connection: Connection) => void,
): TcpListener => {
  let waiting = descriptors;
  let open: readonly TcpListener[] = [];
  void accepting.then(() => {
    const begin = waiting;
    waiting = [];
    open = begin.map((descriptor) => listenTcp({ ...options, descriptor }, onConnection));
    for (const { bound } of open) bound.catch(onError);
  });
  return {
    bound: Promise.resolve(options.address),
    close: () => {
      closeDescriptors(waiting);
      waiting = [];
      for (const listener of open) listener.close();
    },
    get descriptors() {
      return [...waiting, ...open.flatMap((listener) => listener.descriptors)];
    },
  };
};
