/** Turns settings into netfilter rules. Pure: nothing is run here. */
import { isIPv4 } from "@weft/core/ip";
import type { InterceptSettings } from "./settings.ts";

export type Family = "ipv4" | "ipv6";

export type Table = "nat" | "mangle";

/** The rules of one table of one address family, in the order they are appended; all empty where nothing is to be. */
export interface TablePlan {
  readonly family: Family;
  readonly table: Table;
  /** Our own chains, also those that this plan leaves out. */
  readonly chains: readonly string[];
  /** Rules in iptables' argument form, `-A CHAIN …`. */
  readonly rules: readonly string[];
  /** The rules that hook our chains into the kernel's. */
  readonly hooks: readonly string[];
}

const chains = {
  redirect: "WEFT_REDIRECT",
  inRedirect: "WEFT_IN_REDIRECT",
  inbound: "WEFT_INBOUND",
  output: "WEFT_OUTPUT",
  dns: "WEFT_DNS",
};
const mangleChains = {
  divert: "WEFT_DIVERT",
  tproxy: "WEFT_TPROXY",
  inbound: "WEFT_TPROXY_INBOUND",
  output: "WEFT_TPROXY_OUTPUT",
};

/**
 * Only the packet that opens a connection is looked at: one that was there before the kernel tracked connections would
 * pass for a new one with its next packet, whichever side sends it, and be torn from its program.
 */
const opening = "-p tcp --syn";

/** Where the sidecar's own pass-through connections to the application come from; they must reach it as they are. */
export const passthroughSource: Readonly<Record<Family, string>> = { ipv4: "127.0.0.6/32", ipv6: "::6/128" };
const loopback: Readonly<Record<Family, string>> = { ipv4: "127.0.0.1/32", ipv6: "::1/128" };

const ofFamily = (family: Family, cidrs: readonly string[]): readonly string[] =>
  cidrs.filter((cidr) => isIPv4(cidr.split("/")[0] ?? "") === (family === "ipv4"));

const append = (chain: string, rule: string): string => `-A ${chain} ${rule}`;

/** Rules for inbound ports: the excluded ones return, the included ones go to `target`. */
const inboundRules = (settings: InterceptSettings, chain: string, target: string): readonly string[] => {
  const of = (ports: readonly number[], jump: string): readonly string[] =>
    ports.map((port) => append(chain, `-p tcp --dport ${port} -j ${jump}`));
  const { includeInboundPorts: included } = settings;
  return [
    ...of(settings.excludeInboundPorts, "RETURN"),
    ...(included === "all" ? [append(chain, `-p tcp -j ${target}`)] : of(included, target)),
  ];
};

const markOf = ({ mark }: InterceptSettings): string => `0x${mark.toString(16)}`;

const outputRules = (settings: InterceptSettings, family: Family): readonly string[] => {
  const out = (rule: string): string => append(chains.output, rule);
  const owners = [
    ...settings.proxyUids.map((uid) => `--uid-owner ${uid}`),
    ...settings.proxyGids.map((gid) => `--gid-owner ${gid}`),
  ];
  const leftAlone = [
    ...settings.excludeUids.map((uid) => `--uid-owner ${uid}`),
    ...settings.excludeGids.map((gid) => `--gid-owner ${gid}`),
  ];
  const ports = settings.includeOutboundPorts;
  const redirect = (match: string): readonly string[] =>
    ports === "all"
      ? [out(`${match}-j ${chains.redirect}`)]
      : ports.map((port) => out(`-p tcp ${match}--dport ${port} -j ${chains.redirect}`));
  const destinations =
    settings.includeCidrs === "all" ? [""] : ofFamily(family, settings.includeCidrs).map((cidr) => `-d ${cidr} `);
  return [
    // What the sidecar sends to its application in its client's name.
    ...(settings.mode === "tproxy" ? [out(`-m mark --mark ${markOf(settings)} -j RETURN`)] : []),
    out(`-s ${passthroughSource[family]} -o lo -j RETURN`),
    // The sidecar calling its own workload by the service's address goes in by the front door, as from any other.
    ...owners.map((owner) => out(`! -d ${loopback[family]} -o lo -m owner ${owner} -j ${chains.inRedirect}`)),
    ...owners.map((owner) => out(`-m owner ${owner} -j RETURN`)),
    // The application talking to itself over loopback stays with itself.
    out("-o lo -j RETURN"),
    ...leftAlone.map((owner) => out(`-m owner ${owner} -j RETURN`)),
    out(`-d ${loopback[family]} -j RETURN`),
    ...settings.excludeOutboundPorts.map((port) => out(`-p tcp --dport ${port} -j RETURN`)),
    ...ofFamily(family, settings.excludeCidrs).map((cidr) => out(`-d ${cidr} -j RETURN`)),
    ...destinations.flatMap(redirect),
  ];
};

const dnsQuestions = (protocol: "tcp" | "udp"): string => `-p ${protocol} --dport 53`;

/** Questions for whichever server, also one on loopback, go to the sidecar; its own go to that server. */
const dnsRules = (settings: InterceptSettings, family: Family): readonly string[] => {
  const { dnsPort } = settings;
  if (dnsPort === undefined) return [];
  const owners = [
    ...[...settings.proxyUids, ...settings.excludeUids].map((uid) => `--uid-owner ${uid}`),
    ...[...settings.proxyGids, ...settings.excludeGids].map((gid) => `--gid-owner ${gid}`),
  ];
  return [
    ...owners.map((owner) => append(chains.dns, `-m owner ${owner} -j RETURN`)),
    ...ofFamily(family, settings.excludeCidrs).map((cidr) => append(chains.dns, `-d ${cidr} -j RETURN`)),
    ...["udp", "tcp"].map((protocol) => append(chains.dns, `-p ${protocol} -j REDIRECT --to-ports ${dnsPort}`)),
    // Ahead of everything that leaves loopback alone.
    append(chains.output, `${dnsQuestions("tcp")} -j ${chains.dns}`),
  ];
};

const natPlan = (settings: InterceptSettings, family: Family): TablePlan => {
  const redirectsInbound = settings.mode === "redirect";
  return {
    family,
    table: "nat",
    chains: Object.values(chains),
    rules: [
      append(chains.redirect, `-p tcp -j REDIRECT --to-ports ${settings.outboundPort}`),
      append(chains.inRedirect, `-p tcp -j REDIRECT --to-ports ${settings.inboundPort}`),
      ...(redirectsInbound ? inboundRules(settings, chains.inbound, chains.inRedirect) : []),
      ...dnsRules(settings, family),
      ...outputRules(settings, family),
    ],
    hooks: [
      ...(redirectsInbound ? [append("PREROUTING", `${opening} -j ${chains.inbound}`)] : []),
      append("OUTPUT", `${opening} -j ${chains.output}`),
      ...(settings.dnsPort === undefined ? [] : [append("OUTPUT", `${dnsQuestions("udp")} -j ${chains.dns}`)]),
    ],
  };
};

/**
 * What arrives for the workload is given to the sidecar as it is, with the address it was sent to. Connections that the
 * sidecar makes in its client's name carry the mark: the application's answers, which are addressed to the client, get
 * it from the connection they belong to, and so stay on this machine.
 */
const manglePlan = (settings: InterceptSettings, family: Family): TablePlan => {
  const { divert, tproxy, inbound, output } = mangleChains;
  if (settings.mode === "redirect") {
    return { family, table: "mangle", chains: Object.values(mangleChains), rules: [], hooks: [] };
  }
  const only = markOf(settings);
  const mark = `${only}/0xffffffff`;
  const whole = "--nfmask 0xffffffff --ctmask 0xffffffff";
  const anywhere = family === "ipv4" ? "0.0.0.0" : "::";
  return {
    family,
    table: "mangle",
    chains: Object.values(mangleChains),
    rules: [
      append(divert, `-j MARK --set-xmark ${mark}`),
      append(divert, "-j ACCEPT"),
      append(tproxy, `-p tcp -j TPROXY --on-port ${settings.inboundPort} --on-ip ${anywhere} --tproxy-mark ${mark}`),
      append(inbound, `-i lo -p tcp -m mark --mark ${only} -j CONNMARK --save-mark ${whole}`),
      // What goes over loopback is the sidecar's call of its application, or the application's of itself.
      append(inbound, "-i lo -j RETURN"),
      append(inbound, `-p tcp -m socket --transparent -j ${divert}`),
      append(inbound, "-p tcp ! --syn -j RETURN"),
      ...inboundRules(settings, inbound, tproxy),
      append(output, `-p tcp -m connmark --mark ${only} -j CONNMARK --restore-mark ${whole}`),
    ],
    hooks: [append("PREROUTING", `-p tcp -j ${inbound}`), append("OUTPUT", `-p tcp -j ${output}`)],
  };
};

/** The rules of each table for each family the settings ask for. */
export const planIntercept = (settings: InterceptSettings): readonly TablePlan[] => {
  const families: readonly Family[] = settings.ipv6 ? ["ipv4", "ipv6"] : ["ipv4"];
  return families.flatMap((family) => [natPlan(settings, family), manglePlan(settings, family)]);
};
