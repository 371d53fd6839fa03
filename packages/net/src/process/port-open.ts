import { connect } from "node:net";

const retryMs = 25;

/** Something accepts connections at the port now. */
export const isPortOpen = (host: string, port: number, localAddress?: string): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect({ host, port, ...(localAddress === undefined ? {} : { localAddress }) });
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });

/** Resolves true once something accepts connections at the port, false when `signal` aborts first. */
export const untilPortOpens = async (host: string, port: number, signal: AbortSignal): Promise<boolean> => {
  while (!signal.aborted) {
    if (await isPortOpen(host, port)) return true;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(done, retryMs);
      function done(): void {
        clearTimeout(timer);
        signal.removeEventListener("abort", done);
        resolve();
      }
      signal.addEventListener("abort", done, { once: true });
    });
  }
  return false;
};
