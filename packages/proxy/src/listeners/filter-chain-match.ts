import { isLoopback } from "@weft/core/address";
import { ConfigError } from "@weft/core/config-error";
import type { FilterChainMatchJson } from "@weft/xds/gen/envoy/config/listener/v3/listener_components";
import { member, refuseOthers, unsigned } from "../compile/fields.ts";
import { compileIpRange, type IpNumber, type IpRange, longestHolding, parseIp } from "./ip-range.ts";

/** What listener filters found out of a connection before any of it was served. */
export interface ConnectionFacts {
  readonly destinationHost: string;
  readonly destinationPort: number;
  readonly sourceHost: string;
  readonly sourcePort: number;
  /** The socket's own peer, where that is not the source; the source when absent. */
  readonly directSourceHost?: string;
  /** Lower case; empty when the client named none. */
  readonly serverName: string;
  readonly transportProtocol: "tls" | "raw_buffer";
  /** What the client offers by ALPN in its order, or what its first bytes speak: `http/1.1`, `h2c`. */
  readonly applicationProtocols: readonly string[];
}

export interface CompiledMatch {
  readonly destinationPort: number | undefined;
  readonly destinationRanges: readonly IpRange[];
  readonly serverNames: readonly string[];
  readonly transportProtocol: string;
  readonly applicationProtocols: readonly string[];
  readonly directSourceRanges: readonly IpRange[];
  readonly sourceType: "ANY" | "SAME_IP_OR_LOOPBACK" | "EXTERNAL";
  readonly sourceRanges: readonly IpRange[];
  readonly sourcePorts: readonly number[];
  /** Equal for two matches that hold for the same connections with the same strength. */
  readonly identity: string;
}

export const compileMatch = (json: FilterChainMatchJson | undefined, at: string): CompiledMatch => {
  const match = json ?? {};
  refuseOthers(match, "FilterChainMatch", at, [
    "destinationPort",
    "prefixRanges",
    "serverNames",
    "transportProtocol",
    "applicationProtocols",
    "directSourcePrefixRanges",
    "sourceType",
    "sourcePrefixRanges",
    "sourcePorts",
  ]);
  const serverNames = (match.serverNames ?? []).map((name) => name.toLowerCase());
  const partial = serverNames.find((name) => name.includes("*") && !/^\*\.[^*]+$/.test(name));
  if (partial !== undefined) {
    throw new ConfigError(member(at, "serverNames"), `"${partial}": only a whole first label can be a wildcard`);
  }
  return {
    destinationPort: unsigned(match.destinationPort ?? undefined, member(at, "destinationPort")),
    destinationRanges: (match.prefixRanges ?? []).map((range) => compileIpRange(range, member(at, "prefixRanges"))),
    serverNames,
    transportProtocol: match.transportProtocol ?? "",
    applicationProtocols: match.applicationProtocols ?? [],
    directSourceRanges: (match.directSourcePrefixRanges ?? []).map((range) =>
      compileIpRange(range, member(at, "directSourcePrefixRanges")),
    ),
    sourceType: (match.sourceType as CompiledMatch["sourceType"] | undefined) ?? "ANY",
    sourceRanges: (match.sourcePrefixRanges ?? []).map((range) =>
      compileIpRange(range, member(at, "sourcePrefixRanges")),
    ),
    sourcePorts: match.sourcePorts ?? [],
    identity: JSON.stringify(Object.entries(match).sort(([a], [b]) => (a < b ? -1 : 1))),
  };
};

interface Facts extends ConnectionFacts {
  readonly destinationIp: IpNumber | undefined;
  readonly sourceIp: IpNumber | undefined;
  readonly directSourceIp: IpNumber | undefined;
}

/** How strongly a match holds for one property: -1 not at all, 0 it says nothing of it, more is more specific. */
type Strength = (match: CompiledMatch, facts: Facts) => number;

const serverName: Strength = ({ serverNames }, facts) => {
  if (serverNames.length === 0) return 0;
  let best = -1;
  for (const name of serverNames) {
    if (name === facts.serverName) return 1000;
    if (name.startsWith("*.") && facts.serverName.endsWith(name.slice(1))) best = Math.max(best, name.length);
  }
  return best;
};

const applicationProtocol: Strength = ({ applicationProtocols }, facts) => {
  if (applicationProtocols.length === 0) return 0;
  const first = facts.applicationProtocols.findIndex((name) => applicationProtocols.includes(name));
  return first < 0 ? -1 : 1000 - first;
};

const sourceType: Strength = ({ sourceType: wanted }, facts) => {
  if (wanted === "ANY") return 0;
  const local = isLoopback(facts.sourceHost) || facts.sourceHost === facts.destinationHost;
  return (wanted === "SAME_IP_OR_LOOPBACK") === local ? 1 : -1;
};

/** In Envoy's order of precedence; a chain left out at one step does not come back at a later one. */
const steps: readonly Strength[] = [
  ({ destinationPort }, facts) => {
    if (destinationPort === undefined) return 0;
    return destinationPort === facts.destinationPort ? 1 : -1;
  },
  ({ destinationRanges }, facts) => longestHolding(destinationRanges, facts.destinationIp),
  serverName,
  ({ transportProtocol }, facts) => {
    if (transportProtocol === "") return 0;
    return transportProtocol === facts.transportProtocol ? 1 : -1;
  },
  applicationProtocol,
  ({ directSourceRanges }, facts) => longestHolding(directSourceRanges, facts.directSourceIp),
  sourceType,
  ({ sourceRanges }, facts) => longestHolding(sourceRanges, facts.sourceIp),
  ({ sourcePorts }, facts) => {
    if (sourcePorts.length === 0) return 0;
    return sourcePorts.includes(facts.sourcePort) ? 1 : -1;
  },
];

/** The chain whose match is the most specific, property by property in order of precedence; `undefined`: none matches. */
export const chooseChain = <T extends { readonly match: CompiledMatch }>(
  chains: readonly T[],
  facts: ConnectionFacts,
): T | undefined => {
  const all: Facts = {
    ...facts,
    destinationIp: parseIp(facts.destinationHost),
    sourceIp: parseIp(facts.sourceHost),
    directSourceIp: parseIp(facts.directSourceHost ?? facts.sourceHost),
  };
  let left = chains;
  for (const strength of steps) {
    if (left.length === 0) return undefined;
    let best = -1;
    let kept: T[] = [];
    for (const chain of left) {
      const held = strength(chain.match, all);
      if (held < 0 || held < best) continue;
      if (held > best) {
        best = held;
        kept = [];
      }
      kept.push(chain);
    }
    left = kept;
  }
  return left[0];
};
