import { analyze, compareFindings } from "@weft/config/analyze/analyze";
import type { AnalyzeContext } from "@weft/config/analyze/facts";
import type { ConfigObject } from "@weft/config/config-object";
import type { Finding } from "@weft/config/finding";
import { parseConfig } from "@weft/config/parse-config";
import { WeftError } from "@weft/core/error";
import { type Command, type Context, type ExitCode, exitCodes } from "../command.ts";
import { type ConfigFile, readConfigFiles } from "../config-files.ts";
import { type ApiFlags, askApi, findApi } from "../mesh/api.ts";
import { action, withApiFlags, withOutputFlag } from "../mesh/flags.ts";
import { knownServices } from "../mesh/known-services.ts";
import { counted, envelope, parseOutputFormat, render } from "../output/print.ts";
import { oneLine } from "../output/table.ts";

interface AnalyzeFlags extends ApiFlags {
  readonly output: string;
  readonly failOn: string;
  readonly offline?: boolean;
}

const levels = ["error", "warning", "info"] as const;
type Level = (typeof levels)[number];

/** Finds mistakes in configuration files before they are applied, or in what the running mesh has. */
export const analyzeCommand: Command = {
  name: "analyze",
  define(program, context) {
    const command = program
      .command("analyze")
      .description(
        "find mistakes in configuration files, or without any in the running mesh and on its proxies; exit 3 when there " +
          "are findings at or above the threshold",
      )
      .argument("[path...]", "files, folders, or - for standard input")
      .option("--fail-on <level>", "error, warning or info", "error")
      .option("--offline", "do not ask the mesh on this machine which services it knows");
    withOutputFlag(withApiFlags(command)).action(
      action(context, (paths: string[], flags: AnalyzeFlags) => run(context, paths, flags)),
    );
  },
};

const run = async (context: Context, paths: readonly string[], flags: AnalyzeFlags): Promise<ExitCode> => {
  const format = parseOutputFormat(flags.output);
  const threshold = levels.find((level) => level === flags.failOn);
  if (threshold === undefined) {
    throw new WeftError("WF9022", `"${flags.failOn}" is no level`, { next: `--fail-on ${levels.join("|")}` });
  }
  const startedMs = performance.now();
  const { findings, files, objects } =
    paths.length === 0 ? await inMesh(context, flags) : await inFiles(context, paths, flags);
  const count = (level: Level): number => findings.filter((finding) => finding.level === level).length;
  const summary = {
    errors: count("error"),
    warnings: count("warning"),
    infos: count("info"),
    files,
    objects,
  };
  context.print(
    render(format, envelope("FindingList", findings, summary), () => {
      const { errors, warnings, infos } = summary;
      const took = Math.round(performance.now() - startedMs);
      const found = [counted(errors, "error"), counted(warnings, "warning"), `${infos} info`].join(", ");
      const line = `${found} in ${counted(files, "file")}, ${counted(objects, "object")} (${took} ms)\n`;
      return findings.map(formatFinding).join("") + line;
    }),
  );
  const atOrAbove = levels.slice(0, levels.indexOf(threshold) + 1);
  return findings.some(({ level }) => atOrAbove.includes(level)) ? exitCodes.findings : exitCodes.ok;
};

interface Analysis {
  readonly findings: readonly Finding[];
  readonly files: number;
  readonly objects: number;
}

const inFiles = async (context: Context, paths: readonly string[], flags: AnalyzeFlags): Promise<Analysis> => {
  const { objects, findings: reading, files } = parseFiles(await readConfigFiles(paths));
  const facts: AnalyzeContext = flags.offline
    ? {}
    : await knownServices(findApi(flags, context.env), (flags.cp ?? context.env.WEFT_CP) !== undefined);
  const findings = [...reading, ...analyze(objects, facts)].sort(compareFindings);
  return { findings, files, objects: objects.length };
};

/** What the control plane finds in the objects it has, and where it made resources of them. */
const inMesh = async (context: Context, flags: AnalyzeFlags): Promise<Analysis> => {
  const api = findApi(flags, context.env);
  const [{ items: findings }, { items: objects }] = await Promise.all([
    askApi<{ items: readonly Finding[] }>(api, "/v1/analyze"),
    askApi<{ items: readonly { readonly source?: { readonly file?: string } }[] }>(api, "/v1/config"),
  ]);
  const files = new Set(objects.flatMap(({ source }) => source?.file ?? [])).size;
  return { findings, files, objects: objects.length };
};

const parseFiles = (files: readonly ConfigFile[]) => {
  const objects: ConfigObject[] = [];
  const findings: Finding[] = [];
  for (const { name, text } of files) {
    const parsed = parseConfig(text, name, objects.length);
    objects.push(...parsed.objects);
    findings.push(...parsed.findings);
  }
  return { objects, findings, files: files.length };
};

const formatFinding = ({ code, level, message, file, line, column, also }: Finding): string => {
  const others = also.length === 0 ? "" : `  (also ${also.join(", ")})`;
  // What is found in a registry or on a proxy is in no file.
  const at = file === "" ? "" : `${file}:${line}:${column}  `;
  return `${oneLine(`${level.padEnd(7)} ${code} ${at}${message}${others}`)}\n`;
};
