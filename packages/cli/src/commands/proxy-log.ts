import { parseGoDuration } from "@weft/core/duration";
import { WeftError } from "@weft/core/error";
import type { Command as Program } from "commander";
import { type Context, type ExitCode, exitCodes } from "../command.ts";
import { action, withApiFlags, withOutputFlag } from "../mesh/flags.ts";
import { type LocateFlags, locateProxy } from "../mesh/locate-proxy.ts";
import { askAdminText } from "../mesh/proxy-admin.ts";
import { parseOutputFormat, render } from "../output/print.ts";
import { formatTable } from "../output/table.ts";

interface LogFlags extends LocateFlags {
  readonly output: string;
  readonly level?: string;
  readonly reset?: boolean;
  readonly for?: string;
}

/** Adds `proxy-config log`: a proxy's log levels, shown and set. */
export const defineProxyLog = (parent: Program, context: Context): void => {
  const command = parent
    .command("log")
    .alias("logs")
    .description("log levels of a proxy: shows them, or sets them")
    .argument("<proxy>", "NAME or NAME.NAMESPACE")
    .option("--level <levels>", "one level for all loggers, or LOGGER:LEVEL,LOGGER:LEVEL")
    .option("-r, --reset", "set every logger to info")
    .option("--for <duration>", "set levels for this long, 30s or 10m; then those of before come back")
    .option("--admin <address>", "ask this admin interface, H:P, instead of looking the proxy up");
  withOutputFlag(withApiFlags(command)).action(
    action(context, (proxy: string, flags: LogFlags) => runLog(context, proxy, flags)),
  );
};

const defaultLevel = "info";

/** `/logging` with what the flags ask for. */
const pathOf = ({ level, reset, for: duration }: LogFlags): string => {
  if (level !== undefined && reset) throw new WeftError("WF9020", "--level and --reset exclude each other");
  const wanted = reset ? defaultLevel : level;
  if (wanted === undefined) {
    if (duration !== undefined) throw new WeftError("WF9020", "--for needs --level", { next: "--level debug" });
    return "/logging";
  }
  if (duration !== undefined && !((parseGoDuration(duration) ?? 0) > 0))
    throw new WeftError("WF9020", `--for takes a duration such as 10m, not "${duration}"`);
  const query = new URLSearchParams(wanted.includes(":") ? { paths: wanted } : { level: wanted });
  if (duration !== undefined) query.set("for", duration);
  return `/logging?${query}`;
};

/** `  name: level` lines below a heading. */
const parseLevels = (text: string): readonly { readonly name: string; readonly level: string }[] =>
  [...text.matchAll(/^ {2}([^:\s]+): (\w+)$/gm)].map(([, name = "", level = ""]) => ({ name, level }));

const runLog = async (context: Context, proxy: string, flags: LogFlags): Promise<ExitCode> => {
  const format = parseOutputFormat(flags.output);
  const path = pathOf(flags);
  const { admin } = await locateProxy(context, proxy, flags);
  // An Envoy shows its levels, too, to a POST only.
  const levels = parseLevels(await askAdminText(admin, path, "POST"));
  context.print(
    render(format, levels, () =>
      formatTable(
        ["LOGGER", "LEVEL"],
        levels.map(({ name, level }) => [name, level]),
      ),
    ),
  );
  return exitCodes.ok;
};
