import { WeftError } from "@weft/core/error";
import { exec } from "@weft/net/process/exec";
import { planIntercept, type TablePlan } from "@weft/proxy/intercept/plan";
import { planRouting, type RoutingStep } from "@weft/proxy/intercept/routing";
import {
  type CurrentRules,
  compareRules,
  noRules,
  parseSave,
  removeInput,
  restoreInput,
} from "@weft/proxy/intercept/rules";
import {
  defaultSettings,
  type InterceptSettings,
  parseAllOr,
  parseCidrs,
  parseIds,
  parseMode,
  parseNumber,
  parsePorts,
} from "@weft/proxy/intercept/settings";
import type { Command as Program } from "commander";
import { type Command, type Context, type ExitCode, exitCodes } from "../command.ts";
import { action } from "../mesh/flags.ts";

interface InterceptFlags {
  readonly mode: string;
  readonly tproxyMark: string;
  readonly tproxyTable: string;
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
  readonly dns?: boolean;
  readonly dnsPort: string;
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
    .option("--mode <mode>", "how inbound connections reach the sidecar: redirect or tproxy", defaults.mode)
    .option("--tproxy-mark <mark>", "mark of the packets that tproxy makes local", String(defaults.mark))
    .option("--tproxy-table <table>", "routing table that makes them local", String(defaults.routeTable))
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
    .option("--dns", "send questions for names to the sidecar too (it needs --dns as well)")
    .option("--dns-port <port>", "where the sidecar answers them", "15053")
    .option("--no-ipv6", "leave IPv6 alone");
};

const onePort = (flag: string, text: string): number => {
  const [port, ...more] = parsePorts(flag, text);
  if (port === undefined || more.length > 0)
    throw new WeftError("WF6001", `${flag}: one port is wanted, not "${text}"`);
  return port;
};

const markMost = 0xffff_ffff;

const settingsOf = (flags: InterceptFlags): InterceptSettings => ({
  mode: parseMode("--mode", flags.mode),
  mark: parseNumber("--tproxy-mark", flags.tproxyMark, markMost),
  routeTable: parseNumber("--tproxy-table", flags.tproxyTable, markMost),
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
  ...(flags.dns ? { dnsPort: onePort("--dns-port", flags.dnsPort) } : {}),
});

const intercept = (context: Context, verb: Verb, settings: InterceptSettings): ExitCode => {
  const plans = planIntercept(settings);
  const routing = planRouting(settings);
  switch (verb) {
    case "plan":
      printPlan(context, plans, routing.wanted);
      return exitCodes.ok;
    case "apply": {
      // Who may not read changes nothing. Then where packets go: a mark without its route would lead nowhere.
      const inputs = plans.map((plan) => [plan, restoreInput(plan, readRules(plan))] as const);
      for (const step of routing.wanted) addRouting(step);
      for (const [plan, input] of inputs) restore(plan, input);
      for (const step of routing.unwanted) removeRouting(step);
      context.print("interception is in place\n");
      return exitCodes.ok;
    }
    case "remove":
      for (const plan of plans) restore(plan, removeInput(plan, readRules(plan)));
      for (const step of [...routing.wanted, ...routing.unwanted]) removeRouting(step);
      context.print("interception is removed\n");
      return exitCodes.ok;
    case "verify":
      return verify(context, plans, routing);
  }
};

const printPlan = (context: Context, plans: readonly TablePlan[], steps: readonly RoutingStep[]): void => {
  for (const { add } of steps) context.print(`ip ${add.join(" ")}\n`);
  for (const plan of plans) {
    const input = restoreInput(plan, noRules);
    if (input !== "") context.print(`# ${toolOf(plan)}-restore --noflush\n${input}`);
  }
};

const toolOf = ({ family }: TablePlan): string => (family === "ipv4" ? "iptables" : "ip6tables");

const readRules = (plan: TablePlan): CurrentRules => {
  const tool = `${toolOf(plan)}-save`;
  const { code, stdout, stderr } = exec(tool, ["-t", plan.table]);
  if (code === 0) return parseSave(stdout);
  // A kernel without the table holds nothing of ours in it.
  if (plan.hooks.length === 0 && code !== undefined) return noRules;
  throw new WeftError("WF6003", `${tool} failed: ${stderr.trim() || `exit ${code}`}`, {
    next:
      code === undefined
        ? "install iptables"
        : "run as root (or with CAP_NET_ADMIN), or pass --no-ipv6 where the kernel has none",
  });
};

const restore = (plan: TablePlan, input: string): void => {
  if (input === "") return;
  const tool = `${toolOf(plan)}-restore`;
  const { code, stderr } = exec(tool, ["--noflush"], input);
  if (code === 0) return;
  throw new WeftError("WF6004", `${tool} refused the rules, nothing was changed: ${stderr.trim() || `exit ${code}`}`, {
    next: "weft intercept plan shows them; run as root",
  });
};

const isThere = (step: RoutingStep): boolean => {
  const { code, stdout } = exec("ip", step.show);
  return code === 0 && step.isThere(stdout);
};

const runIp = (args: readonly string[]): void => {
  const { code, stderr } = exec("ip", args);
  if (code === 0) return;
  throw new WeftError("WF6006", `ip ${args.join(" ")} failed: ${stderr.trim() || `exit ${code}`}`, {
    next: "run as root with iproute2 installed, or pass --no-ipv6 where the kernel has none",
  });
};

const addRouting = (step: RoutingStep): void => {
  if (!isThere(step)) runIp(step.add);
};

const removeRouting = (step: RoutingStep): void => {
  if (isThere(step)) runIp(step.remove);
};

const verify = (
  context: Context,
  plans: readonly TablePlan[],
  routing: { readonly wanted: readonly RoutingStep[]; readonly unwanted: readonly RoutingStep[] },
): ExitCode => {
  const problems = new Map<string, string[]>();
  const note = (family: string, problem: string | undefined): void => {
    const list = problems.get(family) ?? [];
    problems.set(family, list);
    if (problem !== undefined) list.push(problem);
  };
  for (const plan of plans) {
    note(plan.family, undefined);
    for (const { chain, wanted, found } of compareRules(plan, readRules(plan))) {
      note(plan.family, `${chain}: wanted "${wanted ?? "nothing"}", found "${found ?? "nothing"}"`);
    }
  }
  for (const step of routing.wanted) if (!isThere(step)) note(step.family, `${step.what}: missing`);
  for (const step of routing.unwanted) if (isThere(step)) note(step.family, `${step.what}: not wanted`);
  let differs = false;
  for (const [family, list] of problems) {
    for (const problem of list) context.print(`WF6005 ${family} ${problem}\n`);
    if (list.length === 0) context.print(`${family}: the rules are in place\n`);
    else differs = true;
  }
  return differs ? exitCodes.findings : exitCodes.ok;
};
