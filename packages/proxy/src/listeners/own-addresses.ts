import { parseAddress, type SocketAddress } from "@weft/core/address";
import { inCidr, parseCidr, parseIp } from "../matching/cidr.ts";

/** A listener with sockets of its own. */
export interface Bound {
  /** Where its sockets are. */
  readonly bound: readonly SocketAddress[];
  readonly config: { readonly useOriginalDst: boolean };
}

const cidr = (addressPrefix: string, prefixLen: number) => parseCidr({ addressPrefix, prefixLen }, "");
const loopback = [cidr("127.0.0.0", 8), cidr("::1", 128)];
/** Connecting there is connecting to this machine. */
const unspecified = [cidr("0.0.0.0", 32), cidr("::", 128)];

/** Whether connecting to `ip:port` would end at one of those listeners: a connection that did would go round for ever. */
export const isOwnAddress = (
  address: string,
  listeners: Iterable<Bound>,
  localHosts: () => readonly string[],
): boolean => {
  const port = Number(address.slice(address.lastIndexOf(":") + 1));
  for (const { bound, config } of listeners) {
    for (const own of bound) {
      if (own.port !== port) continue;
      // Who intercepts gets what any address is dialled for at that port, as in Envoy under Istio.
      if (config.useOriginalDst || reaches(address, own.host, localHosts)) return true;
    }
  }
  return false;
};

const reaches = (address: string, own: string, localHosts: () => readonly string[]): boolean => {
  const named = parseIp(parseAddress(address)?.host ?? "");
  const at = parseIp(own);
  if (named === undefined || at === undefined) return false;
  const same = (other: readonly number[] | undefined): boolean =>
    other?.every((word, index) => word === named[index]) === true;
  if (same(at)) return true;
  const anyHost = unspecified.some((range) => inCidr(range, at));
  if (unspecified.some((range) => inCidr(range, named))) return anyHost || loopback.some((range) => inCidr(range, at));
  if (!anyHost) return false;
  return loopback.some((range) => inCidr(range, named)) || localHosts().some((host) => same(parseIp(host)));
};
