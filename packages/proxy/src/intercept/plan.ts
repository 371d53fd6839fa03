/** Turns settings into netfilter rules. Pure: nothing is run here. */
import { isIPv4 } from "@weft/core/ip";
import type { InterceptSettings } from "./settings.ts";

export type Family = "ipv4" | "ipv6";

/** The rules of one address family, in the order they are appended. */
export interface FamilyPlan {
  readonly family: Family;
  /** Our own chains. */
  readonly chains: readonly string[];
  /** Rules in iptables' argument form, `-A CHAIN …`, of the nat table. */
  readonly rules: readonly string[];
  /** The rules that hook our chains into the kernel's. */
  readonly hooks: readonly string[];
}

const chains = {
  redirect: "WEFT_REDIRECT",
  inRedirect: "WEFT_IN_REDIRECT",
  inbound: "WEFT_INBOUND",
  output: "WEFT_OUTPUT",
};

/** Where the sidecar's own pass-through connections to the application come from; they must reach it as they are. */
const passthroughSource: Readonly<Record<Family, string>> = { ipv4: "127.0.0.6/32", ipv6: "::6/128" };
const loopback: Readonly<Record<Family, string>> = { ipv4: "127.0.0.1/32", ipv6: "::1/128" };

const ofFamily = (family: Family, cidrs: readonly string[]): readonly string[] =>
  cidrs.filter((cidr) => isIPv4(cidr.split("/")[0] ?? "") === (family === "ipv4"));

const append = (chain: string, rule: string): string => `-A ${chain} ${rule}`;

const inboundRules = (settings: InterceptSettings): readonly string[] => {
  const excluded = settings.excludeInboundPorts.map((port) =>
    append(chains.inbound, `-p tcp --dport ${port} -j RETURN`),
  );
  const included =
    settings.includeInboundPorts === "all"
      ? [append(chains.inbound, `-p tcp -j ${chains.inRedirect}`)]
      : settings.includeInboundPorts.map((port) =>
          append(chains.inbound, `-p tcp --dport ${port} -j ${chains.inRedirect}`),
        );
  return [...excluded, ...included];
};

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

/** The rules for each family the settings ask for. */
export const planIntercept = (settings: InterceptSettings): readonly FamilyPlan[] => {
  const families: readonly Family[] = settings.ipv6 ? ["ipv4", "ipv6"] : ["ipv4"];
  return families.map((family) => ({
    family,
    chains: Object.values(chains),
    rules: [
      append(chains.redirect, `-p tcp -j REDIRECT --to-ports ${settings.outboundPort}`),
      append(chains.inRedirect, `-p tcp -j REDIRECT --to-ports ${settings.inboundPort}`),
      ...inboundRules(settings),
      ...outputRules(settings, family),
    ],
    hooks: [append("PREROUTING", `-p tcp -j ${chains.inbound}`), append("OUTPUT", `-p tcp -j ${chains.output}`)],
  }));
};

/** Rules as `iptables-save -t nat` printed them, for what is there now. */
export interface CurrentRules {
  readonly chains: ReadonlySet<string>;
  readonly rules: readonly string[];
}

export const parseSave = (text: string): CurrentRules => {
  const lines = text.split("\n").map((line) => line.trim());
  return {
    chains: new Set(lines.filter((line) => line.startsWith(":")).map((line) => line.slice(1).split(" ")[0] ?? "")),
    rules: lines.filter((line) => line.startsWith("-A ")),
  };
};

/**
 * Input for `iptables-restore --noflush` that puts the plan in place in one step whatever was there of it before:
 * our chains are emptied and filled, the hooks are added only where they are missing.
 */
export const restoreInput = (plan: FamilyPlan, current: CurrentRules): string => {
  const missing = plan.hooks.filter((hook) => !current.rules.includes(canonical(hook)));
  return ["*nat", ...plan.chains.map((chain) => `:${chain} - [0:0]`), ...plan.rules, ...missing, "COMMIT", ""].join(
    "\n",
  );
};

/** Input for `iptables-restore --noflush` that takes every trace of us out; empty when there is none. */
export const removeInput = (plan: FamilyPlan, current: CurrentRules): string => {
  const present = plan.chains.filter((chain) => current.chains.has(chain));
  if (present.length === 0) return "";
  const hooks = current.rules.filter((rule) => plan.hooks.some((hook) => canonical(hook) === rule));
  return [
    "*nat",
    ...hooks.map((hook) => hook.replace(/^-A/, "-D")),
    ...present.map((chain) => `-F ${chain}`),
    ...present.map((chain) => `-X ${chain}`),
    "COMMIT",
    "",
  ].join("\n");
};

export interface Mismatch {
  readonly chain: string;
  readonly wanted: string | undefined;
  readonly found: string | undefined;
}

/** Where what is there differs from the plan, rule by rule in order; empty when the plan holds. */
export const compareRules = (plan: FamilyPlan, current: CurrentRules): readonly Mismatch[] => {
  const mismatches: Mismatch[] = [];
  for (const chain of plan.chains) {
    const wanted = plan.rules.filter((rule) => rule.startsWith(`-A ${chain} `)).map(canonical);
    const found = current.rules.filter((rule) => rule.startsWith(`-A ${chain} `));
    for (let i = 0; i < Math.max(wanted.length, found.length); i++) {
      if (wanted[i] !== found[i]) mismatches.push({ chain, wanted: wanted[i], found: found[i] });
    }
  }
  for (const hook of plan.hooks) {
    if (!current.rules.includes(canonical(hook)))
      mismatches.push({ chain: hook.split(" ")[1] ?? "", wanted: hook, found: undefined });
  }
  return mismatches;
};

/** The same rule as `iptables-save` spells it: it names the match module that `-p tcp --dport` implies, and orders by kind. */
const canonical = (rule: string): string => {
  const take = (pattern: RegExp): string => {
    const match = pattern.exec(rule);
    return match ? ` ${match[0].trim()}` : "";
  };
  const chain = /^-A \S+/.exec(rule)?.[0] ?? "";
  const port = /--dport \d+/.exec(rule)?.[0];
  return [
    chain,
    take(/(?:^| )-s \S+/),
    take(/(?:! )?-d \S+/),
    take(/-o \S+/),
    take(/-p tcp/),
    port === undefined ? "" : ` -m tcp ${port}`,
    take(/-m owner --[ug]id-owner \d+/),
    take(/-j \S+.*$/),
  ].join("");
};
