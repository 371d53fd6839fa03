import { WeftError } from "@weft/core/error";
import { isIPv4, isIPv6 } from "@weft/core/ip";

/** What is intercepted, and what is left alone. Defaults are Istio's. */
export interface InterceptSettings {
  /**
   * How inbound connections reach the sidecar: `redirect` changes where they go; `tproxy` leaves them as they are, for a
   * listener that may take what is for other addresses. Outbound ones are redirected in both.
   */
  readonly mode: InterceptMode;
  /** Marks packets of tproxy, and the routing table that makes them local. */
  readonly mark: number;
  readonly routeTable: number;
  readonly outboundPort: number;
  readonly inboundPort: number;
  /** User and group ids the sidecar runs under: its own connections are never sent back to it. */
  readonly proxyUids: readonly number[];
  readonly proxyGids: readonly number[];
  /** `"all"` or the ports alone; the excluded ones win. */
  readonly includeInboundPorts: "all" | readonly number[];
  readonly excludeInboundPorts: readonly number[];
  readonly includeOutboundPorts: "all" | readonly number[];
  readonly excludeOutboundPorts: readonly number[];
  /** Destinations; `"all"` or CIDRs of either family alone; the excluded ones win. */
  readonly includeCidrs: "all" | readonly string[];
  readonly excludeCidrs: readonly string[];
  /** Programs of these users are left alone. */
  readonly excludeUids: readonly number[];
  readonly excludeGids: readonly number[];
  readonly ipv6: boolean;
  /** Where the sidecar answers DNS: all questions of UDP and TCP go there. Absent: names are left alone. */
  readonly dnsPort?: number | undefined;
}

export type InterceptMode = "redirect" | "tproxy";

export const defaultSettings: InterceptSettings = {
  mode: "redirect",
  mark: 1337,
  routeTable: 133,
  outboundPort: 15_001,
  inboundPort: 15_006,
  proxyUids: [1337],
  proxyGids: [1337],
  includeInboundPorts: "all",
  // Health, merged metrics and the proxy's own statistics answer on the real ports.
  excludeInboundPorts: [15_020, 15_021, 15_090],
  includeOutboundPorts: "all",
  excludeOutboundPorts: [],
  includeCidrs: "all",
  excludeCidrs: [],
  excludeUids: [],
  excludeGids: [],
  ipv6: true,
};

const listMax = 200;

const bad = (flag: string, value: string, wanted: string): WeftError =>
  new WeftError("WF6001", `${flag}: "${value}" is not ${wanted}`, { next: "weft intercept plan --help" });

const items = (flag: string, text: string): readonly string[] => {
  const found = text.split(",").filter((item) => item !== "");
  if (found.length > listMax)
    throw new WeftError("WF6002", `${flag} has ${found.length} entries; ${listMax} is the most`);
  return found;
};

/** `80,443`; `*` where the flag allows all. */
export const parsePorts = (flag: string, text: string): readonly number[] =>
  items(flag, text).map((item) => {
    const port = Number(item);
    if (!/^\d+$/.test(item) || port < 1 || port > 65_535) throw bad(flag, item, "a port from 1 to 65535");
    return port;
  });

export const parseIds = (flag: string, text: string): readonly number[] =>
  items(flag, text).map((item) => {
    const id = Number(item);
    if (!/^\d+$/.test(item) || id > 4_294_967_294) throw bad(flag, item, "a numeric user or group id");
    return id;
  });

/** `10.0.0.0/8,fd00::/8`; a bare address is that address alone. */
export const parseCidrs = (flag: string, text: string): readonly string[] =>
  items(flag, text).map((item) => {
    const [address = "", length] = item.split("/");
    const bits = isIPv4(address) ? 32 : isIPv6(address) ? 128 : undefined;
    if (bits === undefined) throw bad(flag, item, "an address or CIDR");
    if (length === undefined) return `${address}/${bits}`;
    if (!/^\d+$/.test(length) || Number(length) > bits) throw bad(flag, item, `a CIDR (prefix 0 to ${bits})`);
    return item;
  });

export const parseAllOr = <T>(text: string, parse: (text: string) => readonly T[]): "all" | readonly T[] =>
  text === "*" ? "all" : parse(text);

export const parseMode = (flag: string, text: string): InterceptMode => {
  if (text === "redirect" || text === "tproxy") return text;
  throw bad(flag, text, "redirect or tproxy");
};

/** A mark of packets or a number of a routing table. */
export const parseNumber = (flag: string, text: string, most: number): number => {
  const number = Number(text);
  if (!/^\d+$/.test(text) || number < 1 || number > most) throw bad(flag, text, `a number from 1 to ${most}`);
  return number;
};
