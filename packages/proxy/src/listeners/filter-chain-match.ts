import { ConfigError } from "@weft/core/config-error";
import type { FilterChainMatchJson } from "@weft/xds/gen/envoy/config/listener/v3/listener_components";
import { member, refuseOthers, unsigned } from "../compile/fields.ts";
import { compileIpRange, type IpRange } from "./ip-range.ts";

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
  for (const port of [match.destinationPort, ...(match.sourcePorts ?? [])]) {
    if (port === 0 || Number(port ?? 1) > 65_535) throw new ConfigError(at, `${port} is not a port from 1 to 65535`);
  }
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
