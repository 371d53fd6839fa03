/** What a listening socket is called between two processes: by its address, so that listeners may change their names. */
import { formatAddress, parseAddress, type SocketAddress } from "@weft/core/address";

/** What a listener asks for. Port 0: any. */
export interface SocketClaim {
  readonly listener: string;
  readonly address: SocketAddress;
  readonly ipv6Only: boolean;
}

/** More of a listener's name is not told. */
const nameMax = 100;

const shortName = (listener: string): string => listener.slice(0, nameMax);

export const socketName = ({ listener, address, ipv6Only }: SocketClaim, port: number): string =>
  [formatAddress({ host: address.host, port }), ipv6Only ? "v6" : "", shortName(listener)].join("\n");

/** The bound address where a socket of that name is what the listener asks for; any port only fits the same listener. */
export const fittingAddress = (name: string, claim: SocketClaim): SocketAddress | undefined => {
  const [at = "", v6, listener] = name.split("\n");
  const address = parseAddress(at);
  if (address === undefined || address.host !== claim.address.host || (v6 === "v6") !== claim.ipv6Only)
    return undefined;
  const fits = claim.address.port === 0 ? listener === shortName(claim.listener) : address.port === claim.address.port;
  return fits ? address : undefined;
};
