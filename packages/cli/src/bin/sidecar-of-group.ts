/** `weft sidecar`, on a machine: one that names its WorkloadGroup starts as the group says, and is registered by it. */
import { randomBytes } from "node:crypto";
import { formatError, WeftError } from "@weft/core/error";
import { setRealTimer } from "@weft/net/clock";
import { findFreePort } from "@weft/net/process/free-port";
import { runSidecar } from "@weft/proxy/bin/sidecar";
import { type GroupFlags, parseSidecarFlags, type SidecarFlags } from "@weft/proxy/bin/sidecar-flags";
import type { ExitCode } from "../command.ts";
import { type ApiTarget, findApi } from "../mesh/api.ts";
import { startProbe } from "../workload/probe-loop.ts";
import { askProgram, probeTimes } from "../workload/probe-program.ts";
import { readStart } from "../workload/proxy-start.ts";
import { type KeptRegistration, keepRegistered } from "../workload/registration.ts";
import { protocols } from "../workload/run-values.ts";
import { type GroupFacts, readGroup } from "../workload/workload-group.ts";

type MeshFlags = Extract<SidecarFlags, { readonly mode: "mesh" }>;
type Labels = Readonly<Record<string, string>>;

const say = (line: string): void => void process.stderr.write(`weft: ${line}\n`);

/** Gives the exit code, as `runSidecar`. */
export const runSidecarOfGroup = async (argv: readonly string[]): Promise<ExitCode> => {
  try {
    const flags = parseSidecarFlags(argv);
    if ("exitCode" in flags) return flags.exitCode;
    if (flags.mode !== "mesh" || flags.group === undefined) return await runSidecar(argv);
    const api = apiOf(flags.group);
    const group = await readGroup(api, flags.group.name, flags.namespace);
    const labels: Labels = { ...group.labels, ...Object.fromEntries(flags.labels) };
    const start = await readStart(api, { namespace: flags.namespace, labels });
    for (const line of start.lines) say(line);
    Object.assign(process.env, start.env);
    const inbound = flags.inbound.length > 0 ? flags.inbound : await portsOf(group, flags.ip);
    const serviceAccount = isGiven(argv, "--service-account") ? flags.serviceAccount : group.serviceAccount;
    const more = [
      ...[
        "--labels",
        Object.entries(labels)
          .map(([name, value]) => `${name}=${value}`)
          .join(","),
      ],
      ...(serviceAccount === undefined ? [] : ["--service-account", serviceAccount]),
      ...(start.concurrency === undefined || isGiven(argv, "--concurrency")
        ? []
        : ["--concurrency", String(start.concurrency)]),
      ...(flags.inbound.length > 0 ? [] : inbound.flatMap((port) => ["--inbound", specOf(port)])),
    ];
    const account = serviceAccount ?? flags.serviceAccount;
    return await runSidecar([...argv, ...more], () => join(api, { flags, group, labels, inbound, account }));
  } catch (error) {
    process.stderr.write(`${formatError(error)}\n`);
    return error instanceof WeftError && ["WF9020", "WF3112"].includes(error.code) ? 2 : 1;
  }
};

const apiOf = ({ api, tokenFile }: GroupFlags): ApiTarget =>
  findApi(
    { ...(api === undefined ? {} : { cp: api }), ...(tokenFile === undefined ? {} : { tokenFile }) },
    process.env,
  );

const isGiven = (argv: readonly string[], flag: string): boolean =>
  argv.some((word) => word === flag || word.startsWith(`${flag}=`));

type InboundPort = MeshFlags["inbound"][number];

/** The group's ports, where nothing says how the sidecar is dialled: at a free port each, by the protocol of its name. */
const portsOf = async ({ ports }: GroupFacts, address: string): Promise<readonly InboundPort[]> => {
  const found: InboundPort[] = [];
  for (const [name, appPort] of ports) {
    const [word = ""] = name.toLowerCase().split("-");
    const protocol = protocols.find((one) => one === word) ?? "http";
    found.push({ name, protocol, address, port: await findFreePort(address, 0), appPort });
  }
  return found;
};

const specOf = ({ name, protocol, address, port, appPort }: InboundPort): string =>
  `${name}:${protocol}:${address.includes(":") ? `[${address}]` : address}:${port}:${appPort}`;

interface Member {
  readonly flags: MeshFlags;
  readonly group: GroupFacts;
  readonly labels: Labels;
  readonly inbound: readonly InboundPort[];
  readonly account: string;
}

/** Registers each port, and keeps it so; the group's probe says whether it is sent anything. */
const join = async (api: ApiTarget, { flags, group, labels, inbound, account }: Member): Promise<AsyncDisposable> => {
  await using stack = new AsyncDisposableStack();
  const suffix = randomBytes(4).toString("hex");
  const onTrouble = (error: unknown): void => say(formatError(error));
  const kept: KeptRegistration[] = [];
  for (const port of inbound) {
    const registration = {
      service: labels.app ?? flags.name,
      namespace: flags.namespace,
      instance: `${flags.name}-${port.appPort}-${suffix}`,
      serviceAccount: account,
      labels,
      metadata: { workload: flags.name },
      servicePort: port.appPort,
      inbound: port,
      locality: group.locality,
      weight: group.weight,
    };
    const health = group.probe ? "unhealthy" : "healthy";
    kept.push(stack.use(await keepRegistered(api, registration, { onTrouble, health })));
  }
  const { probe } = group;
  if (probe) {
    const changed = (health: "healthy" | "unhealthy", why: string): void => {
      for (const registration of kept) registration.setHealth(health);
      say(`${flags.name} is ${health}${why === "" ? "" : `: ${why}`}`);
    };
    stack.use(
      startProbe(probeTimes(probe), { ask: () => askProgram(probe, process.env), setTimer: setRealTimer, changed }),
    );
  }
  say(`${flags.name} is registered with ${kept.length === 1 ? "1 port" : `${kept.length} ports`}`);
  return stack.move();
};
