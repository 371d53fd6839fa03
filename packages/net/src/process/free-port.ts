import { createServer } from "node:net";

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
 * A port of `host` that was free a moment ago: the preferred one if it is, else one the system chooses outside
 * `avoid`. Somebody can take it before the caller does, so the caller still handles a failed bind.
 */
export const findFreePort = async (
  host: string,
  preferred: number,
  avoid: (port: number) => boolean = () => false,
): Promise<number> => {
  if (preferred !== 0 && (await canListen(host, preferred)) !== undefined) return preferred;
  for (let attempt = 0; attempt < 20; attempt++) {
    const port = await canListen(host, 0);
    if (port !== undefined && !avoid(port)) return port;
  }
  throw new Error(`no free port on ${host}`);
};
