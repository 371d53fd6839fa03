import { formatError, WeftError } from "@weft/core/error";
import { startChild } from "@weft/net/process/child";
import { untilPortOpens } from "@weft/net/process/port-open";
import { type Context, type ExitCode, exitCodes } from "../command.ts";

interface ProgramOptions {
  readonly context: Context;
  /** H:P the program dials for anything in the mesh. */
  readonly outbound: string;
  readonly port: string | undefined;
  /** Called once the program accepts connections on its port. */
  readonly onListening: () => Promise<void>;
}

/** Signal numbers for the shell's convention of 128 + signal as an exit code. */
const signalNumbers: ReadonlyMap<string, number> = new Map([
  ["SIGHUP", 1],
  ["SIGINT", 2],
  ["SIGKILL", 9],
  ["SIGTERM", 15],
]);

/** What the program finds in its environment. Names inside the mesh go through the proxy; this machine does not. */
export const programEnvironment = (
  env: Readonly<Record<string, string | undefined>>,
  { outbound, port }: { readonly outbound: string; readonly port: string | undefined },
): Readonly<Record<string, string | undefined>> => ({
  ...env,
  WEFT_OUTBOUND: outbound,
  HTTP_PROXY: `http://${outbound}`,
  http_proxy: `http://${outbound}`,
  NO_PROXY: env.NO_PROXY ?? "localhost,127.0.0.1,::1",
  no_proxy: env.no_proxy ?? env.NO_PROXY ?? "localhost,127.0.0.1,::1",
  ...(port === undefined ? {} : { PORT: env.PORT ?? port }),
});

/** Runs the program until it ends or we are told to stop; its exit code is ours. */
export const runProgram = async (words: readonly string[], options: ProgramOptions): Promise<ExitCode> => {
  const { context } = options;
  const [command = "", ...args] = words;
  const child = startChild({
    command,
    args,
    env: programEnvironment(context.env, options),
    cwd: context.cwd,
    inheritOutput: true,
  });
  context.signal.addEventListener("abort", () => child.kill("SIGTERM"), { once: true });
  const gone = new AbortController();
  void child.exited.then(() => gone.abort());
  const registering =
    options.port === undefined ? undefined : whenListening(Number(options.port), gone.signal, options);
  const { code, signal, error } = await child.exited;
  await registering;
  if (error)
    throw new WeftError("WF9044", `cannot start ${command}: ${error.message}`, {
      next: "check the program's path",
      cause: error,
    });
  if (signal !== null) return context.signal.aborted ? exitCodes.ok : 128 + (signalNumbers.get(signal) ?? 0);
  return code ?? exitCodes.failed;
};

const whenListening = async (
  port: number,
  gone: AbortSignal,
  { onListening, context }: ProgramOptions,
): Promise<void> => {
  if (!(await untilPortOpens("127.0.0.1", port, gone))) return;
  await onListening().catch((error) => context.printError(`${formatError(error)}\n`));
};
