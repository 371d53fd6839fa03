import { WeftError } from "@weft/core/error";
import { type Command, type Context, type ExitCode, exitCodes } from "../command.ts";
import { readConfigFiles } from "../config-files.ts";
import { type ApiFlags, askApi, findApi } from "../mesh/api.ts";
import { action, withApiFlags, withOutputFlag } from "../mesh/flags.ts";
import { envelope, type OutputFormat, parseOutputFormat, render } from "../output/print.ts";

export interface FileFlags extends ApiFlags {
  readonly filename: readonly string[];
  readonly output: string;
  readonly dryRun?: boolean;
}
export interface ChangeItem {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly result: string;
}
export interface ChangeAnswer {
  readonly items: readonly ChangeItem[];
  readonly findings?: readonly {
    level: string;
    code: string;
    message: string;
    file: string;
    line: number;
    column: number;
  }[];
}

/** Sends every file's text to `/v1/config/{verb}` and prints what became of each object. */
export const sendFiles = async (context: Context, verb: "apply" | "delete", flags: FileFlags): Promise<ExitCode> => {
  const format = parseOutputFormat(flags.output);
  const target = findApi(flags, context.env);
  if (flags.filename.length === 0) throw new WeftError("WF9022", "no file given", { next: `weft ${verb} -f FILE` });
  const items: ChangeItem[] = [];
  let failed = false;
  let told = false;
  for (const { name, text } of await readConfigFiles(flags.filename)) {
    const query = new URLSearchParams({ file: name });
    if (flags.dryRun) query.set("dryRun", "true");
    const answer = await askApi<ChangeAnswer>(target, `/v1/config/${verb}?${query}`, {
      method: "POST",
      body: text,
      contentType: "application/yaml",
    });
    items.push(...answer.items);
    printFindings(context, answer.findings);
    failed ||= answer.findings?.some(({ level }) => level === "error") ?? false;
    told ||= (answer.findings?.length ?? 0) > 0;
  }
  printChanges(context, format, { items, dryRun: flags.dryRun ?? false });
  // What is recognised and acts on nothing has been told of, so that whole folders can be applied.
  if (items.length === 0 && !failed && !told) {
    const where = flags.filename.map((path) => (path === "-" ? "standard input" : path)).join(", ");
    throw new WeftError("WF9034", `there is no configuration object in ${where}`, { next: "check the path" });
  }
  return failed ? exitCodes.failed : exitCodes.ok;
};

/** Says what there is to say about a change, beside its result. */
export const printFindings = (context: Context, findings: ChangeAnswer["findings"] = []): void => {
  for (const { level, code, message, file, line, column } of findings)
    context.printError(`${level} ${code} ${file}:${line}:${column} ${message}\n`);
};

/** Says what became of each object. */
export const printChanges = (
  context: Context,
  format: OutputFormat,
  { items, dryRun }: { readonly items: readonly ChangeItem[]; readonly dryRun: boolean },
): void => {
  const note = dryRun ? " (dry run)" : "";
  const line = ({ kind, namespace, name, result }: ChangeItem): string =>
    `${kind} ${namespace}/${name} ${result}${note}\n`;
  const results = Object.fromEntries(
    Map.groupBy(items, ({ result }) => result)
      .entries()
      .map(([result, ones]) => [result, ones.length]),
  );
  context.print(render(format, envelope("ChangeList", items, results), () => items.map(line).join("")));
};

/** Creates or replaces the objects in files. */
export const applyCommand: Command = {
  name: "apply",
  define(program, context) {
    const command = program
      .command("apply")
      .description("create or replace the objects in YAML or JSON files")
      .option("-f, --filename <path>", "file, folder, or - for standard input; repeatable", collect, [])
      .option("--dry-run", "validate and say what would change");
    withOutputFlag(withApiFlags(command)).action(
      action(context, (flags: FileFlags) => sendFiles(context, "apply", flags)),
    );
  },
};

/** A repeatable option's values in order. */
export const collect = (value: string, before: readonly string[]): readonly string[] => [...before, value];
