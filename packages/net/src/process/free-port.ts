import { randomInt } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";

/**
 * Ports to choose from where the system gives outgoing connections others: a port of its own choice can become some
 * connection's local port before a server listens on it, the more easily the more connections were just closed.
 */
const quietPorts = ((): { readonly from: number; readonly to: number } | undefined => {
  try {
    const [low = 0] = readFileSync("/proc/sys/net/ipv4/ip_local_port_range", "utf8").trim().split(/\s+/).map(Number);
    return low > 21_000 ? { from: 20_000, to: low } : undefined;
  } catch {
    return undefined;
  }
})();

const canListen = (host: string, port: number): Promise<number | undefined> =>
  new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(undefined));
    server.listen({ host, port, exclusive: true }, () => {
      const address = server.address();
      const bound = typeof address === "object" && address ? address.port : undefined;
      server.close(() => resolve(bound));
    });
  });

/**
 * A port of `host` that was free a moment ago: the preferred one if it is, else any outside `avoid`, and outside those
 * the system uses for outgoing connections where it says which these are. Somebody can take it before the caller does, so the caller still handles a failed bind.
 */
export const findFreePort = async (
  host: string,
  preferred: number,
  avoid: (port: number) => boolean = () => false,
): Promise<number> => {
  if (preferred !== 0 && (await canListen(host, preferred)) !== undefined) return preferred;
  for (let attempt = 0; attempt < 20; attempt++) {
    const port = await canListen(host, quietPorts === undefined ? 0 : randomInt(quietPorts.from, quietPorts.to));
    if (port !== undefined && !avoid(port)) return port;
  }
  throw new Error(`no free port on ${host}`);
};
