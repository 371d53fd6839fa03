import { type Command, type ExitCode, exitCodes } from "../command.ts";
import { type ApiFlags, findApi } from "../mesh/api.ts";
import { type CheckItem, runChecks } from "../mesh/checks.ts";
import { action, withApiFlags, withOutputFlag } from "../mesh/flags.ts";
import { counted, envelope, parseOutputFormat, render } from "../output/print.ts";
import { formatTable } from "../output/table.ts";

/** Whether the running mesh is well: control plane, configuration, registry, proxies, certificates. */
export const checkCommand: Command = {
  name: "check",
  define(program, context) {
    const command = program.command("check").description("check the running mesh; exit 3 where something is wrong");
    withOutputFlag(withApiFlags(command)).action(
      action(context, async (flags: ApiFlags & { output: string }): Promise<ExitCode> => {
        const format = parseOutputFormat(flags.output);
        const items = await runChecks(findApi(flags, context.env));
        const count = (level: CheckItem["level"]): number => items.filter((item) => item.level === level).length;
        const summary = { problems: count("error"), warnings: count("warning") };
        context.print(render(format, envelope("CheckList", items, summary), () => table(items, summary)));
        return summary.problems > 0 ? exitCodes.findings : exitCodes.ok;
      }),
    );
  },
};

const marks = { ok: "✔", warning: "‼", error: "×" };

const table = (
  items: readonly CheckItem[],
  found: { readonly problems: number; readonly warnings: number },
): string => {
  const rows = items.map(({ area, check, level, message }) => [marks[level], area, check, message]);
  const problems = found.problems === 0 ? "no problems" : counted(found.problems, "problem");
  const warnings = found.warnings === 0 ? "" : `, ${counted(found.warnings, "warning")}`;
  return `${formatTable(["", "AREA", "CHECK", "FOUND"], rows)}${problems}${warnings}\n`;
};
