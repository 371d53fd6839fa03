import { formatError } from "@weft/core/error";
import { CommanderError, Command as Program } from "commander";
import { type Context, type ExitCode, exitCodes } from "./command.ts";
import { commandLoaders, loadCommands } from "./commands/index.ts";
import { processCommands } from "./commands/processes.ts";
import { version } from "./version.ts";

/** Runs one command line and gives its exit code. Never throws. */
export const main = async (argv: readonly string[], world: Omit<Context, "finish">): Promise<ExitCode> => {
  const [first = "", ...rest] = argv;
  const ownFlags = processCommands.find(({ name }) => name === first);
  if (ownFlags) return runProcess(await ownFlags.load(), rest, world);
  const asked = commandLoaders.get(first);
  const commands = asked ? [await asked()] : await loadCommands();
  let code: ExitCode = exitCodes.ok;
  const context: Context = { ...world, finish: (result) => (code = result) };
  const program = new Program("weft")
    .description("A service mesh: takes Istio's configuration, speaks Envoy's xDS, needs no Kubernetes.")
    .version(version, "-V, --version")
    .enablePositionalOptions()
    .showHelpAfterError("(weft COMMAND --help shows what it takes)")
    .exitOverride()
    .configureOutput({ writeOut: world.print, writeErr: world.printError });
  for (const command of commands) command.define(program, context);
  program.addHelpText(
    "after",
    "\nExit codes: 0 ok, 1 failed, 2 usage, 3 findings, 4 control plane unreachable, 5 timeout",
  );
  for (const command of program.commands) inheritSettings(program, command);
  if (argv.length === 0) {
    program.outputHelp();
    return exitCodes.usage;
  }
  try {
    await program.parseAsync([...argv], { from: "user" });
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
    world.printError(`${formatError(error)}\n`);
    return exitCodes.failed;
  }
  return code;
};

const inheritSettings = (parent: Program, child: Program): void => {
  child.copyInheritedSettings(parent);
  for (const grandchild of child.commands) inheritSettings(child, grandchild);
};

const runProcess = async (
  run: (argv: readonly string[]) => Promise<ExitCode>,
  argv: readonly string[],
  { printError }: Omit<Context, "finish">,
): Promise<ExitCode> => {
  try {
    return await run(argv);
  } catch (error) {
    printError(`${formatError(error)}\n`);
    return exitCodes.failed;
  }
};
