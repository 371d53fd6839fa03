/** Compares planned rules with those in place, and writes what `iptables-restore` needs to make them the same. */
import type { TablePlan } from "./plan.ts";

/** Rules as `iptables-save -t TABLE` printed them, for what is there now. */
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

export const noRules: CurrentRules = { chains: new Set(), rules: [] };

/** Rules of the kernel's chains that lead into ours, however they came there. */
const hooksInPlace = (plan: TablePlan, current: CurrentRules): readonly string[] =>
  current.rules.filter((rule) => {
    const [, chain = "", target = ""] = /^-A (\S+) .*?-j (\S+)/.exec(rule) ?? [];
    return plan.chains.includes(target) && !plan.chains.includes(chain);
  });

const deletion = (rule: string): string => rule.replace(/^-A/, "-D");

/**
 * Input for `iptables-restore --noflush` that puts the plan in place in one step whatever was there of it before:
 * our chains are emptied and filled, hooks that are not planned go, and those that are missing come.
 */
export const restoreInput = (plan: TablePlan, current: CurrentRules): string => {
  if (plan.hooks.length === 0) return removeInput(plan, current);
  const wanted = plan.hooks.map(canonical);
  const stale = hooksInPlace(plan, current).filter((rule) => !wanted.includes(rule));
  const missing = plan.hooks.filter((hook) => !current.rules.includes(canonical(hook)));
  return [
    `*${plan.table}`,
    ...plan.chains.map((chain) => `:${chain} - [0:0]`),
    ...plan.rules,
    ...stale.map(deletion),
    ...missing,
    "COMMIT",
    "",
  ].join("\n");
};

/** Input for `iptables-restore --noflush` that takes every trace of us out; empty when there is none. */
export const removeInput = (plan: TablePlan, current: CurrentRules): string => {
  const present = plan.chains.filter((chain) => current.chains.has(chain));
  if (present.length === 0) return "";
  return [
    `*${plan.table}`,
    ...hooksInPlace(plan, current).map(deletion),
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
export const compareRules = (plan: TablePlan, current: CurrentRules): readonly Mismatch[] => {
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
  const wanted = plan.hooks.map(canonical);
  for (const found of hooksInPlace(plan, current)) {
    if (!wanted.includes(found)) mismatches.push({ chain: found.split(" ")[1] ?? "", wanted: undefined, found });
  }
  return mismatches;
};

/** The same rule as `iptables-save` spells it: it names the match module that an option implies, and orders by kind. */
const canonical = (rule: string): string => {
  const take = (pattern: RegExp): string => {
    const match = pattern.exec(rule);
    return match ? ` ${match[0].trim()}` : "";
  };
  const chain = /^-A \S+/.exec(rule)?.[0] ?? "";
  const port = /--dport \d+/.exec(rule)?.[0];
  const protocol = / -p udp\b/.test(rule) ? "udp" : "tcp";
  const syn = /(?:! )?--syn/.exec(rule)?.[0];
  return [
    chain,
    take(/(?:^| )-s \S+/),
    take(/(?:! )?-d \S+/),
    take(/(?:^| )-i \S+/),
    take(/(?:^| )-o \S+/),
    take(/-p (?:tcp|udp)/),
    port === undefined ? "" : ` -m ${protocol} ${port}`,
    syn === undefined ? "" : ` -m tcp ${syn.replace("--syn", "--tcp-flags FIN,SYN,RST,ACK SYN")}`,
    take(/-m socket --transparent/),
    take(/-m mark --mark \S+/),
    take(/-m connmark --mark \S+/),
    take(/-m owner --[ug]id-owner \d+/),
    take(/-j \S+.*$/),
  ].join("");
};
