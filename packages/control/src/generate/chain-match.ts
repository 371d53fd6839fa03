/** Filter chain matches: Envoy refuses a listener in which two chains take the same connections. */
import { parseIPv4, parseIPv6 } from "@weft/core/ip";
import type { CidrRangeJson } from "@weft/xds/gen/envoy/config/core/v3/address";
import type { FilterChainMatchJson } from "@weft/xds/gen/envoy/config/listener/v3/listener_components";

export interface ChainConditions {
  readonly serverNames: readonly string[];
  /** Address or CIDR. */
  readonly cidrs: readonly string[];
  readonly alpn: readonly string[];
  readonly transport: string;
}

/** The range an address or CIDR means, its host bits cleared. `undefined` for what is neither. */
export const cidrRange = (text: string): CidrRangeJson | undefined => {
  const [address = "", bits] = text.split("/");
  const bytes = parseIPv4(address) ?? parseIPv6(address);
  if (!bytes) return undefined;
  const prefixLen = bits === undefined ? bytes.length * 8 : Number(bits);
  if (!Number.isInteger(prefixLen) || prefixLen < 0 || prefixLen > bytes.length * 8) return undefined;
  const masked = bytes.map((byte, at) => byte & (0xff << Math.min(8, Math.max(0, 8 - (prefixLen - at * 8)))));
  return { addressPrefix: formatBytes(masked), prefixLen };
};

const formatBytes = (bytes: Uint8Array): string => {
  if (bytes.length === 4) return bytes.join(".");
  const groups = Array.from({ length: 8 }, (_, at) =>
    (((bytes[at * 2] ?? 0) << 8) | (bytes[at * 2 + 1] ?? 0)).toString(16),
  );
  return groups.join(":");
};

const realNames = ({ serverNames }: ChainConditions): readonly string[] =>
  serverNames.includes("*") ? [] : serverNames.map((name) => name.toLowerCase());

/** Takes whatever comes, so it is the listener's default chain. */
export const takesAll = (chain: ChainConditions): boolean =>
  realNames(chain).length === 0 && chain.cidrs.length === 0 && chain.alpn.length === 0 && chain.transport === "";

export const chainMatch = (chain: ChainConditions): FilterChainMatchJson => {
  const names = [...realNames(chain)].sort();
  const ranges = chain.cidrs.flatMap((text) => cidrRange(text) ?? []);
  return {
    ...(ranges.length > 0 ? { prefixRanges: ranges } : {}),
    ...(names.length > 0 ? { serverNames: names } : {}),
    ...(chain.transport === "" ? {} : { transportProtocol: chain.transport }),
    ...(chain.alpn.length > 0 ? { applicationProtocols: [...chain.alpn] } : {}),
  };
};

/**
 * The chains with everything taken away that an earlier one takes already: server names, else destinations, else the
 * chain. What was taken away is told.
 */
export const withoutOverlap = <C extends ChainConditions>(
  chains: readonly C[],
  lost: (chain: C, what: readonly string[]) => void = () => {},
): readonly C[] => {
  const taken = new Set<string>();
  const keysOf = (chain: C, name: string): readonly string[] => {
    const protocols = chain.alpn.length > 0 ? chain.alpn : [""];
    const ranges = chain.cidrs.length > 0 ? chain.cidrs : [""];
    return ranges.flatMap((cidr) =>
      protocols.map((alpn) => JSON.stringify([cidr === "" ? "" : cidrRange(cidr), name, chain.transport, alpn])),
    );
  };
  return chains.flatMap((chain): readonly C[] => {
    const names = realNames(chain);
    const wanted = names.length > 0 ? names : [""];
    const free = [...new Set(wanted)].filter((name) => keysOf(chain, name).every((key) => !taken.has(key)));
    for (const name of free) for (const key of keysOf(chain, name)) taken.add(key);
    if (free.length === new Set(wanted).size) return [chain];
    lost(
      chain,
      wanted.filter((name) => !free.includes(name)),
    );
    return free.length === 0 ? [] : [{ ...chain, serverNames: free }];
  });
};
