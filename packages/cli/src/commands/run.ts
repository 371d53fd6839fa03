import { randomBytes } from "node:crypto";
import type { ReadinessProbe } from "@weft/config/kinds/workload-group";
import { formatError, WeftError } from "@weft/core/error";
import { isIPv4 } from "@weft/core/ip";
import { setRealTimer } from "@weft/net/clock";
import { findFreePort } from "@weft/net/process/free-port";
import { isPortOpen } from "@weft/net/process/port-open";
import { makePrivateFolder } from "@weft/net/process/private-folder";
import { readText } from "@weft/net/read-text";
import type { Command, Context, ExitCode } from "../command.ts";
import { type ApiFlags, type ApiTarget, askApi, findApi } from "../mesh/api.ts";
import { action, withApiFlags } from "../mesh/flags.ts";
import { keepSidecar, waitUnlessStopped } from "../workload/keep-sidecar.ts";
import { startProbe } from "../workload/probe-loop.ts";
import { askProgram, probeTimes } from "../workload/probe-program.ts";
import { runProgram } from "../workload/program.ts";
import { readStart } from "../workload/proxy-start.ts";
import { type KeptRegistration, keepRegistered, type Registration } from "../workload/registration.ts";
import {
  parseAccount,
  parseDns,
  parseLabels,
  parseName,
  parseOutbound,
  parsePort,
  parseProtocol,
} from "../workload/run-values.ts";
import { type Inbound, type SidecarSettings, spawnSidecar } from "../workload/spawn-sidecar.ts";
import { type GroupFacts, groupPort, readGroup } from "../workload/workload-group.ts";

interface RunFlags extends ApiFlags {
  readonly name: string;
  readonly port?: string;
  readonly address: string;
  readonly protocol: string;
  readonly servicePort: string;
  readonly workload?: string;
  readonly group?: string;
  readonly namespace: string;
  readonly serviceAccount?: string;
  readonly labels?: string;
  readonly grpcServices?: string;
  readonly outbound: string;
  readonly dns?: string | true;
  readonly secure?: string;
  readonly rootCert?: string;
  readonly joinTokenFile?: string;
  readonly logLevel: string;
}

const readyTimeoutMs = 30_000;
const defaultProtocol = "http";
/** Istio's own ports, which a sidecar beside others must leave alone except 15001 for outbound. */
const isReserved = (port: number): boolean => port >= 15_000 && port <= 15_100;

/** Puts any program into the mesh: a sidecar beside it, its ports registered, its environment pointing at the sidecar. */
export const runCommand: Command = {
  name: "run",
  define(program, context) {
    const command = program
      .command("run")
      .description(
        "put a program into the mesh, without root: a sidecar of its own, started before it and stopped after it",
      )
      .requiredOption("--name <service>", "the service's name; others reach it under it")
      .option("--port <port>", "port the program listens on (default: its group's; none: it only calls others)")
      .option("--address <ip>", "this machine's address that others dial it at", "127.0.0.1")
      .option("--protocol <protocol>", "http, http2, grpc or tcp", defaultProtocol)
      .option("--service-port <port>", "port others dial", "80")
      .option("--workload <name>", "the workload's name (default: the service's)")
      .option("--group <name>", "WorkloadGroup of the namespace it belongs to: its labels, identity, health probe")
      .option("-n, --namespace <namespace>", "namespace", "default")
      .option("--service-account <name>", "its identity (default: the service's name)")
      .option("--labels <k=v,…>", "labels, such as version=v2")
      .option("--grpc-services <names>", "gRPC services it serves, package.Service, parted by commas")
      .option("--outbound <address>", "where the program dials others; a free port where taken", "127.0.0.1:15001")
      .option("--dns [address]", "the sidecar answers DNS for the mesh's names (127.0.0.1:15053 unless given)")
      .option(
        "--secure <address>",
        "control plane's xDS and CA over TLS, several parted by commas (default: this machine's)",
      )
      .option("--root-cert <file>", "the mesh's root certificate")
      .option("--join-token-file <file>", "token for the first certificate")
      .option("--log-level <level>", "of the sidecar", "warn")
      .passThroughOptions()
      .argument("<program...>", "the program and its arguments, after --");
    withApiFlags(command).action(action(context, (words: string[], flags: RunFlags) => run(context, words, flags)));
  },
};

const run = async (context: Context, words: readonly string[], given: RunFlags): Promise<ExitCode> => {
  checkValues(given);
  const api = findApi(given, context.env);
  const group = await readGroup(api, given.group, given.namespace);
  const flags = withGroupPort(given, group);
  await using cleanup = new AsyncDisposableStack();
  const folder = cleanup.use(makePrivateFolder("weft-run-"));
  const inbound = await inboundOf(flags);
  const wantedPort = parseOutbound(flags.outbound);
  const outbound = `127.0.0.1:${await findFreePort("127.0.0.1", wantedPort, isReserved)}`;
  if (wantedPort !== 0 && outbound !== `127.0.0.1:${wantedPort}`)
    context.printError(`weft: ${flags.outbound} is busy, the program's way out is ${outbound}\n`);
  const asked = settingsOf(context, { flags, group, api, inbound, outbound, folder: folder.path });
  await askApi(api, "/v1/version");
  const start = await readStart(api, asked);
  for (const line of start.lines) context.printError(`weft: ${line}\n`);
  const settings = {
    ...asked,
    concurrency: start.concurrency,
    env: { ...asked.env, ...start.env },
    adminPort: await findFreePort("127.0.0.1", 0, isReserved),
  };
  const sidecar = cleanup.use(
    await keepSidecar({
      spawn: (stopping) => spawnSidecar(settings, readyTimeoutMs, stopping),
      say: (line) => context.printError(`${line}\n`),
      wait: waitUnlessStopped,
    }),
  );
  const instance = `${settings.workload}-${randomBytes(4).toString("hex")}`;
  const register = async (): Promise<void> => {
    const health = group.probe ? "unhealthy" : "healthy";
    const onTrouble = (error: unknown): void => context.printError(`weft: ${formatError(error)}\n`);
    const kept: KeptRegistration[] = [];
    for (const port of inbound) {
      const registration = registrationOf(flags, settings, { instance, port, group });
      const watch = { onTrouble, isReachable: sidecar.isUp, health } as const;
      kept.push(cleanup.use(await keepRegistered(api, registration, watch)));
    }
    if (group.probe) cleanup.use(probing(context, { name: flags.name, probe: group.probe, kept }));
    const until = group.probe ? ", and reachable once its probe says so" : " and reachable";
    context.printError(`weft: ${flags.name} is registered${until}\n`);
  };
  context.printError(`weft: ${flags.name} is in the mesh; way out ${outbound}, admin ${sidecar.admin}\n`);
  return await runProgram(words, { context, outbound, port: flags.port, onListening: register });
};

/** A protocol that was given goes before the one of the port's name. */
const withGroupPort = (flags: RunFlags, group: GroupFacts): RunFlags => {
  const of = flags.port === undefined ? groupPort(group) : undefined;
  if (!of) return flags;
  const protocol = flags.protocol === defaultProtocol ? (of.protocol ?? defaultProtocol) : flags.protocol;
  return { ...flags, port: of.port, protocol };
};

/** Asks the program as its group's probe says, and tells the registry. */
const probing = (
  context: Context,
  {
    name,
    probe,
    kept,
  }: { readonly name: string; readonly probe: ReadinessProbe; readonly kept: readonly KeptRegistration[] },
): Disposable =>
  startProbe(probeTimes(probe), {
    ask: () => askProgram(probe, context.env),
    setTimer: setRealTimer,
    changed: (health, why) => {
      for (const registration of kept) registration.setHealth(health);
      context.printError(`weft: ${name} is ${health}${why === "" ? "" : `: ${why}`}\n`);
    },
  });

/** What is wrong with a value is said before anything is started. */
const checkValues = (flags: RunFlags): void => {
  parseName("--name", flags.name);
  parseName("--namespace", flags.namespace);
  if (flags.workload !== undefined) parseName("--workload", flags.workload);
  if (flags.serviceAccount !== undefined) parseAccount("--service-account", flags.serviceAccount);
  parsePort("--service-port", flags.servicePort, "80");
  parseProtocol(flags.protocol);
  parseOutbound(flags.outbound);
  parseLabels(flags.labels ?? "");
  parseDns(flags.dns);
};

const registrationOf = (
  flags: RunFlags,
  settings: Pick<SidecarSettings, "serviceAccount" | "labels">,
  { instance, port, group }: { readonly instance: string; readonly port: Inbound; readonly group: GroupFacts },
): Registration => ({
  service: flags.name,
  namespace: flags.namespace,
  instance,
  serviceAccount: settings.serviceAccount,
  labels: settings.labels,
  metadata: {
    workload: flags.workload ?? flags.name,
    ...(flags.grpcServices === undefined ? {} : { "grpc-services": flags.grpcServices }),
  },
  servicePort: Number(flags.servicePort),
  inbound: port,
  locality: group.locality,
  weight: group.weight,
});

const inboundOf = async (flags: RunFlags): Promise<readonly Inbound[]> => {
  const protocol = parseProtocol(flags.protocol);
  if (flags.port === undefined) return [];
  const appPort = parsePort("--port", flags.port, "3000");
  // Whoever listens there already would be registered in the program's name.
  if (await isPortOpen("127.0.0.1", appPort)) {
    throw new WeftError("WF9045", `port ${appPort} is taken: another program listens there`, {
      next: "stop it, or give --port another port",
    });
  }
  const { address } = flags;
  if (!isIPv4(address)) {
    throw new WeftError("WF9022", `"${address}" is not an IPv4 address`, { next: "--address 10.0.0.5" });
  }
  return [{ name: protocol, protocol, address, port: await findFreePort(address, 0, isReserved), appPort }];
};

/** The sidecar would wait for a file to appear, as it must beside a control plane that starts; a person wants to know now. */
const requireFile = (what: string, file: string, flag: string): void => {
  try {
    readText(file);
  } catch (cause) {
    throw new WeftError("WF9046", `cannot read the ${what} at ${file}: ${(cause as Error).message}`, {
      next: `give ${flag} FILE, from the control plane's data folder`,
      cause,
    });
  }
};

const settingsOf = (
  context: Context,
  parts: {
    flags: RunFlags;
    group: GroupFacts;
    api: ApiTarget;
    inbound: readonly Inbound[];
    outbound: string;
    folder: string;
  },
): Omit<SidecarSettings, "adminPort"> => {
  const { flags, group, api, inbound, outbound, folder } = parts;
  const cp = flags.secure ?? api.mesh?.secure;
  const rootCertFile = flags.rootCert ?? api.mesh?.rootCertFile;
  const tokenFile = flags.joinTokenFile ?? api.mesh?.joinTokenFile;
  if (cp === undefined || rootCertFile === undefined || tokenFile === undefined) {
    throw new WeftError("WF9042", "no mesh runs on this machine", {
      next: "`npm start` or `weft cp`, or give --secure, --root-cert and --join-token-file",
    });
  }
  requireFile("root certificate", rootCertFile, "--root-cert");
  requireFile("join token", tokenFile, "--join-token-file");
  return {
    entry: `${context.root}/packages/cli/src/bin/weft.ts`,
    workload: flags.workload ?? flags.name,
    namespace: flags.namespace,
    serviceAccount: flags.serviceAccount ?? group.serviceAccount ?? flags.name,
    labels: { app: flags.name, ...group.labels, ...parseLabels(flags.labels ?? "") },
    gateway: false,
    cp,
    rootCertFile,
    tokenFile,
    outbound,
    dns: parseDns(flags.dns),
    inbound,
    dataFolder: folder,
    logLevel: flags.logLevel,
    env: context.env,
    onLog: (line) => context.printError(`[sidecar] ${line}\n`),
  };
};
