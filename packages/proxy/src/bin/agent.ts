/** `weft agent`: keys for a stock Envoy over SDS on a Unix socket, and PEM files for gRPC processes. */
import { formatError, WeftError } from "@weft/core/error";
import { realClock, setRealTimer } from "@weft/net/clock";
import { makeFolder, removeFile } from "@weft/net/files/files";
import { openGrpcServer } from "@weft/net/grpc/server";
import { createLogger } from "@weft/net/logger";
import { Command as Program } from "commander";
import { createSdsServer } from "../identity/sds-server.ts";
import { onStopSignal, surviveErrors } from "./process-signals.ts";
import {
  addProcessOptions,
  addWorkloadOptions,
  type FlagsExit,
  parseOptions,
  readProcessOptions,
  readWorkloadOptions,
} from "./sidecar-flags.ts";
import { startWorkloadIdentity } from "./workload-identity.ts";

/** The command line of `weft agent`. */
export const agentProgram = (): Program =>
  addProcessOptions(
    addWorkloadOptions(
      new Program("weft agent")
        .description("Gives a stock Envoy its keys over SDS, and gRPC processes their PEM files.")
        .option("--sds <socket>", "Unix socket to serve secrets on (default: DATA/sds.sock)"),
    ),
  );

const parse = (argv: readonly string[]) =>
  parseOptions(agentProgram(), argv, (options) => {
    const common = readProcessOptions(options);
    const sds = typeof options.sds === "string" ? options.sds : undefined;
    const socket = sds ?? (common.dataFolder === undefined ? undefined : `${common.dataFolder}/sds.sock`);
    const workload = readWorkloadOptions(options);
    if (socket === undefined && workload.certFolder === undefined)
      throw new WeftError("WF9020", "nothing to serve: give --sds, --data or --cert-dir");
    return { ...common, ...workload, socket };
  });

type AgentFlags = Exclude<ReturnType<typeof parse>, FlagsExit>;

/** Runs until SIGTERM or SIGINT. Gives 0 then, 1 when it could not start, 2 for usage. */
export const runAgent = async (argv: readonly string[]): Promise<number> => {
  try {
    const flags = parse(argv);
    if ("exitCode" in flags) return flags.exitCode;
    await serve(flags);
    return 0;
  } catch (error) {
    process.stderr.write(`${formatError(error)}\n`);
    return error instanceof WeftError && error.code === "WF9020" ? 2 : 1;
  }
};

const serve = async (flags: AgentFlags): Promise<void> => {
  await using cleanup = new AsyncDisposableStack();
  const log = createLogger({
    write: (line) => process.stderr.write(line),
    format: flags.logFormat,
    level: flags.logLevel,
    wallMs: realClock.wallMs,
  });
  // The socket and the files are the workload's alone.
  process.umask(0o077);
  const stop = cleanup.use(onStopSignal());
  let started = false;
  cleanup.use(surviveErrors(log, { started: () => started, count: () => undefined, nowMs: realClock.nowMs }));
  if (flags.dataFolder !== undefined) makeFolder(flags.dataFolder);
  const sds = createSdsServer({ clock: realClock, setTimer: setRealTimer, log });
  const { promise: first, resolve: haveFirst } = Promise.withResolvers<void>();
  const identity = await startWorkloadIdentity({
    flags,
    dataFolder: flags.dataFolder,
    log,
    onMaterial: (material) => {
      sds.publish(material);
      haveFirst();
    },
  });
  cleanup.use(identity);
  if (flags.socket !== undefined) {
    // A socket left by a process that was killed would refuse the bind.
    removeFile(flags.socket);
    const server = await openGrpcServer({
      address: { host: "localhost", port: 0 },
      unixPath: flags.socket,
      handlers: sds.handlers,
      log,
      random: Math.random,
    });
    cleanup.defer(() => server.close());
  }
  if ((await Promise.race([first.then(() => "keys"), stop.stopped])) === "keys") {
    started = true;
    process.stdout.write(`ready sds=${flags.socket ?? "none"} certs=${flags.certFolder ?? "none"}\n`);
    await stop.stopped;
  }
  log.info("stopping");
};
