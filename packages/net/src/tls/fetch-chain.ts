/** The certificates that a TLS server shows, believed by nobody yet: for trust that is pinned by a fingerprint. */
import { connect } from "node:tls";
import type { SocketAddress } from "@weft/core/address";

export interface FetchChainOptions {
  readonly address: SocketAddress;
  readonly serverName: string;
  readonly timeoutMs: number;
}

/** Who asks a gRPC server of ours for this name is shown its roots too; others have them. */
export const rootServerName = "root.weft.invalid";

const certificatesMax = 10;

/** DER of each, the server's own first; nothing is sent over the connection. Rejects when there is none in time. */
export const fetchChain = ({ address, serverName, timeoutMs }: FetchChainOptions): Promise<readonly Buffer[]> =>
  new Promise((resolve, reject) => {
    const { host, port } = address;
    const socket = connect({ host, port, servername: serverName, rejectUnauthorized: false, ALPNProtocols: ["h2"] });
    const late = setTimeout(() => socket.destroy(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
    socket.once("error", reject);
    socket.once("close", () => clearTimeout(late));
    socket.once("secureConnect", () => {
      const chain: Buffer[] = [];
      let shown = socket.getPeerCertificate(true);
      while (shown?.raw && chain.length < certificatesMax && !chain.some((one) => one.equals(shown.raw))) {
        chain.push(shown.raw);
        shown = shown.issuerCertificate;
      }
      socket.destroy();
      resolve(chain);
    });
  });
