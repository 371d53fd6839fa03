/** A way between two programs that can be cut: both sides of every connection are reset, and new ones refused. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { parseAddress } from "@weft/core/address";

export interface Relay extends AsyncDisposable {
  readonly address: string;
  cut(): void;
  mend(): void;
  /** What stands is kept open and passes nothing any more, in neither direction; what comes is connected as before. */
  swallow(): void;
  /** From now on what the target sends arrives so much later. */
  slow(delayMs: number): void;
}

export const startRelay = async (target: string): Promise<Relay> => {
  const to = parseAddress(target);
  if (!to) throw new Error(`${target} is no address`);
  const sockets = new Set<Socket>();
  const swallowed = new WeakSet<Socket>();
  let isCut = false;
  let delayMs = 0;
  /** As `pipe`, later; what was sent first arrives first. */
  const passLater = (from: Socket, to: Socket): void => {
    let lastMs = 0;
    from.on("data", (chunk) => {
      if (swallowed.has(from)) return;
      lastMs = Math.max(lastMs, performance.now() + delayMs);
      const waitMs = lastMs - performance.now();
      if (waitMs < 1) to.write(chunk);
      else setTimeout(() => to.write(chunk), waitMs).unref();
    });
    from.on("end", () => setTimeout(() => to.end(), Math.max(0, lastMs - performance.now())).unref());
  };
  const server = createServer((from) => {
    if (isCut) {
      from.resetAndDestroy();
      return;
    }
    const onward = connect(to);
    for (const [one, other] of [
      [from, onward],
      [onward, from],
    ] as const) {
      sockets.add(one);
      one.on("error", () => other.destroy());
      one.on("close", () => sockets.delete(one));
    }
    from.pipe(onward);
    passLater(onward, from);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const destroyAll = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    cut: () => {
      isCut = true;
      destroyAll();
    },
    mend: () => {
      isCut = false;
    },
    swallow: () => {
      for (const socket of sockets) {
        swallowed.add(socket);
        socket.unpipe();
        socket.resume();
      }
    },
    slow: (ms) => {
      delayMs = ms;
    },
    [Symbol.asyncDispose]: async () => {
      destroyAll();
      server.close();
      await once(server, "close");
    },
  };
};
