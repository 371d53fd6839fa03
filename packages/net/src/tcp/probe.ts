import { createServer } from "node:net";
import type { SocketAddress } from "@weft/core/address";
import { bindError } from "./accept.ts";

/**
 * Has an address for a moment, alone, as a listener that shares ports would not find out that somebody else has it.
 * Gives the address that was had; rejects as a listener would.
 */
export const probeTcp = (address: SocketAddress, ipv6Only: boolean): Promise<SocketAddress> =>
  new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", (error: NodeJS.ErrnoException) => reject(bindError(address, error)));
    server.listen({ host: address.host, port: address.port, ipv6Only, exclusive: true }, () => {
      const at = server.address();
      const port = at !== null && typeof at === "object" ? at.port : address.port;
      server.close(() => resolve({ host: address.host, port }));
    });
  });
