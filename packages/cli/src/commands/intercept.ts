import { WeftError } from "@weft/core/error";
import { exec } from "@weft/net/process/exec";
import {
  type CurrentRules,
  compareRules,
  type FamilyPlan,
  parseSave,
  planIntercept,
  removeInput,
  restoreInput,
} from "@weft/proxy/intercept/plan";
import {
  defaultSettings,
  type InterceptSettings,
  parseAllOr,
  parseCidrs,
  parseIds,
  parsePorts,
} from "@weft/proxy/intercept/settings";
import type { Command as Program } from "commander";
import { type Command, type Context, type ExitCode, exitCodes } from "../command.ts";
import { action } from "../mesh/flags.ts";

interface InterceptFlags {
  readonly outboundPort: string;
  readonly inboundPort: string;
  readonly proxyUids: string;
  readonly proxyGids: string;
  readonly includePorts: string;
  readonly excludePorts: string;
  readonly includeInboundPorts: string;
  readonly excludeInboundPorts: string;
  readonly includeCidrs: string;
  readonly excludeCidrs: string;
  readonly excludeUids: string;
  readonly excludeGids: string;
  readonly ipv6: boolean;
}

const verbs = [
  ["plan", "print the rules, change nothing"],
  ["apply", "put the rules in place, in one step; again is harmless (root)"],
  ["verify", "check that the rules in place are the planned ones; exit 3 where not (root)"],
  ["remove", "take every rule of ours out (root)"],
] as const;
type Verb = (typeof verbs)[number][0];

/** Redirects a machine's or a network namespace's connections into the sidecar, by iptables. */
export const interceptCommand: Command = {
  name: "intercept",
  define(program, context) {
    const parent = program
      .command("intercept")
      .description("send connections through the sidecar without the programs knowing");
    for (const [verb, summary] of verbs) {
      withInterceptFlags(parent.command(verb).description(summary)).action(
        action(context, (flags: InterceptFlags) => intercept(context, verb, settingsOf(flags))),
      );
    }
  },
};

const list = (values: "all" | readonly (number | string)[]): string => (values === "all" ? "*" : values.join(","));

const withInterceptFlags = (program: Program): Program => {
  const defaults = defaultSettings;
  return program
    .option("--outbound-port <port>", "where the sidecar takes outbound connections", String(defaults.outboundPort))
    .option("--inbound-port <port>", "where the sidecar takes inbound connections", String(defaults.inboundPort))
    .option("--proxy-uids <ids>", "users the sidecar runs as; never intercepted", list(defaults.proxyUids))
    .option("--proxy-gids <ids>", "groups the sidecar runs as; never intercepted", list(defaults.proxyGids))
    .option("--include-ports <ports>", "outbound destination ports, or *", list(defaults.includeOutboundPorts))
    .option("--exclude-ports <ports>", "outbound destination ports left alone", "")
    .option("--include-inbound-ports <ports>", "inbound ports, or *", list(defaults.includeInboundPorts))
    .option("--exclude-inbound-ports <ports>", "inbound ports left alone", list(defaults.excludeInboundPorts))
    .option("--include-cidrs <cidrs>", "outbound destinations, or *", list(defaults.includeCidrs))
    .option("--exclude-cidrs <cidrs>", "outbound destinations left alone", "")
    .option("--exclude-uids <ids>", "users whose programs are left alone", "")
    .option("--exclude-gids <ids>", "groups whose programs are left alone", "")
    .option("--no-ipv6", "leave IPv6 alone");
};

const onePort = (flag: string, text: string): number => {
  const [port, ...more] = parsePorts(flag, text);
  if (port === undefined || more.length > 0)
    throw new WeftError("WF6001", `${flag}: one port is wanted, not "${text}"`);
  return port;
};

const settingsOf = (flags: InterceptFlags): InterceptSettings => ({
  outboundPort: onePort("--outbound-port", flags.outboundPort),
  inboundPort: onePort("--inbound-port", flags.inboundPort),
  proxyUids: parseIds("--proxy-uids", flags.proxyUids),
  proxyGids: parseIds("--proxy-gids", flags.proxyGids),
  includeInboundPorts: parseAllOr(flags.includeInboundPorts, (text) => parsePorts("--include-inbound-ports", text)),
  excludeInboundPorts: parsePorts("--exclude-inbound-ports", flags.excludeInboundPorts),
  includeOutboundPorts: parseAllOr(flags.includePorts, (text) => parsePorts("--include-ports", text)),
  excludeOutboundPorts: parsePorts("--exclude-ports", flags.excludePorts),
  includeCidrs: parseAllOr(flags.includeCidrs, (text) => parseCidrs("--include-cidrs", text)),
  excludeCidrs: parseCidrs("--exclude-cidrs", flags.excludeCidrs),
  excludeUids: parseIds("--exclude-uids", flags.excludeUids),
  excludeGids: parseIds("--exclude-gids", flags.excludeGids),
  ipv6: flags.ipv6,
});

const intercept = (context: Context, verb: Verb, settings: InterceptSettings): ExitCode => {
  const plans = planIntercept(settings);
  if (verb === "plan") {
    const empty = { chains: new Set<string>(), rules: [] };
    for (const plan of plans) context.print(`# ${toolOf(plan)}-restore --noflush\n${restoreInput(plan, empty)}`);
    return exitCodes.ok;
  }
  let differs = false;
  for (const plan of plans) {
    const current = readRules(plan);
    if (verb === "verify") differs = report(context, plan, current) || differs;
    else restore(plan, verb === "apply" ? restoreInput(plan, current) : removeInput(plan, current));
  }
  if (verb !== "verify") context.print(verb === "apply" ? "interception is in place\n" : "interception is removed\n");
  return differs ? exitCodes.findings : exitCodes.ok;
};

const toolOf = ({ family }: FamilyPlan): string => (family === "ipv4" ? "iptables" : "ip6tables");

const readRules = (plan: FamilyPlan): CurrentRules => {
  const tool = `${toolOf(plan)}-save`;
  const { code, stdout, stderr } = exec(tool, ["-t", "nat"]);
  if (code === 0) return parseSave(stdout);
  throw new WeftError("WF6003", `${tool} failed: ${stderr.trim() || `exit ${code}`}`, {
    next:
      code === undefined
        ? "install iptables"
        : "run as root (or with CAP_NET_ADMIN), or pass --no-ipv6 where the kernel has none",
  });
};

const restore = (plan: FamilyPlan, input: string): void => {
  if (input === "") return;
  const tool = `${toolOf(plan)}-restore`;
  const { code, stderr } = exec(tool, ["--noflush"], input);
  if (code === 0) return;
  throw new WeftError("WF6004", `${tool} refused the rules, nothing was changed: ${stderr.trim() || `exit ${code}`}`, {
    next: "weft intercept plan shows them; run as root",
  });
};

const report = (context: Context, plan: FamilyPlan, current: CurrentRules): boolean => {
  const mismatches = compareRules(plan, current);
  for (const { chain, wanted, found } of mismatches) {
    context.print(`WF6005 ${plan.family} ${chain}: wanted "${wanted ?? "nothing"}", found "${found ?? "nothing"}"\n`);
  }
  if (mismatches.length === 0) context.print(`${plan.family}: the rules are in place\n`);
  return mismatches.length > 0;
};
