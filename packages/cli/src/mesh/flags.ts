import { formatError, WeftError } from "@weft/core/error";
import type { Command as Program } from "commander";
import { type Context, type ExitCode, exitCodes } from "../command.ts";

/** Options every command that talks to the control plane has. */
export const withApiFlags = (program: Program): Program =>
  program
    .option(
      "--cp <address>",
      "control plane's HTTP address, H:P or a URL, several parted by commas (default: WEFT_CP, else this machine's mesh)",
    )
    .option("--token-file <file>", "admin token for changes (default: WEFT_TOKEN_FILE, else the mesh on this machine)");

export const withOutputFlag = (program: Program): Program =>
  program.option("-o, --output <format>", "table, json or yaml", "table");

const codeOf = (error: unknown): ExitCode => {
  if (!(error instanceof WeftError)) return exitCodes.failed;
  if (error.code === "WF9030" || error.code === "WF9042") return exitCodes.unreachable;
  if (error.code === "WF9020" || error.code === "WF9022") return exitCodes.usage;
  return error.code === "WF9040" || error.code === "WF9033" ? exitCodes.timeout : exitCodes.failed;
};

/** Wraps an action: what it throws is printed in the one form and becomes the exit code. */
export const action =
  <A extends readonly unknown[]>(context: Context, run: (...args: A) => Promise<ExitCode> | ExitCode) =>
  async (...args: A): Promise<void> => {
    try {
      context.finish(await run(...args));
    } catch (error) {
      context.printError(`${formatError(error)}\n`);
      context.finish(codeOf(error));
    }
  };
