import type { InjectedPart } from "@weft/config/inject/inject-object";
import { injectText, readValuesText } from "@weft/config/inject/inject-text";
import { defaultInjectorValues, type InjectorValues } from "@weft/config/inject/injector-values";
import { formatPosition, WeftError } from "@weft/core/error";
import { writeAtomic } from "@weft/net/files/files";
import { stringify } from "yaml";
import { type Command, type Context, type ExitCode, exitCodes } from "../command.ts";
import { readConfigFiles } from "../config-files.ts";
import { action } from "../mesh/flags.ts";
import { counted } from "../output/print.ts";

interface InjectFlags {
  readonly filename: readonly string[];
  readonly values?: string;
  readonly out?: string;
  readonly output: string;
  readonly namespace: string;
  readonly image?: string;
  readonly revision: string;
  readonly nativeSidecars?: boolean;
}

/** Puts sidecars into the pods of workload files, as the webhook would, without a cluster. */
export const injectCommand: Command = {
  name: "inject",
  define(program, context) {
    program
      .command("inject")
      .description("print Kubernetes workloads with a sidecar in every pod; needs no cluster")
      .requiredOption(
        "-f, --filename <path>",
        "file, folder, or - for standard input; repeatable",
        (path: string, before: readonly string[] | undefined) => [...(before ?? []), path],
      )
      .option("--values <file>", "the injector's ConfigMap (istio-sidecar-injector), or what is in its values")
      .option("--out <file>", "write there instead of printing")
      .option("-o, --output <format>", "yaml or json", "yaml")
      .option("-n, --namespace <namespace>", "namespace of objects that name none", "default")
      .option("--image <image>", "the sidecar's image, where the values name none")
      .option("--revision <name>", "the revision that is noted in the pods", "default")
      .option("--native-sidecars", "the cluster's nodes run native sidecars (Kubernetes 1.33 or newer)")
      .action(action(context, (flags: InjectFlags) => inject(context, flags)));
  },
};

const inject = async (context: Context, flags: InjectFlags): Promise<ExitCode> => {
  if (flags.output !== "yaml" && flags.output !== "json")
    throw new WeftError("WF9020", `unknown output format "${flags.output}"`, { next: "-o yaml|json" });
  const values = await valuesOf(context, flags.values);
  const facts = {
    values,
    nativeSidecars: flags.nativeSidecars ?? false,
    revision: flags.revision,
    ...(flags.image === undefined ? {} : { image: flags.image }),
    defaultNamespace: flags.namespace,
    namespaceLabels: () => ({}),
  };
  const files = await readConfigFiles(flags.filename);
  const done = files.map(({ name, text }) => injectText(text, name, facts));
  let failed = false;
  for (const { code, level, message, file, line, column } of done.flatMap(({ findings }) => findings)) {
    failed ||= level === "error";
    context.printError(`${level.padEnd(7)} ${code} ${formatPosition({ file, line, column })}  ${message}\n`);
  }
  // Half of a file would be applied as if it were the whole.
  if (failed) return exitCodes.failed;
  const text = print(
    done.flatMap(({ documents }) => documents),
    flags.output,
  );
  if (flags.out === undefined) context.print(text);
  else writeAtomic(flags.out, text);
  context.printError(
    summary(
      done.flatMap(({ parts }) => parts),
      flags.out,
    ),
  );
  return exitCodes.ok;
};

const valuesOf = async (context: Context, path: string | undefined): Promise<InjectorValues> => {
  if (path === undefined) return defaultInjectorValues;
  const [file] = await readConfigFiles([path]);
  const { values, notes } = readValuesText(file?.text ?? "", path);
  const wrong = notes.find(({ level }) => level === "error");
  if (wrong) throw new WeftError(wrong.code, `${path}: ${wrong.message}`, { next: "correct the values" });
  for (const { code, level, message } of notes) context.printError(`${level.padEnd(7)} ${code} ${path}  ${message}\n`);
  return values;
};

const print = (documents: readonly unknown[], format: "yaml" | "json"): string => {
  if (format === "yaml")
    return documents.map((document) => `---\n${stringify(document, { aliasDuplicateObjects: false })}`).join("");
  const list = { apiVersion: "v1", kind: "List", items: documents };
  return `${JSON.stringify(documents.length === 1 ? documents[0] : list, null, 2)}\n`;
};

const summary = (parts: readonly InjectedPart[], out: string | undefined): string => {
  const left = parts.filter(({ kind }) => kind === "left").map(({ what, why }) => `${what} is left as it is: ${why}\n`);
  const count = parts.filter(({ kind }) => kind === "injected").length;
  return `${left.join("")}${counted(count, "pod template")} injected${out === undefined ? "" : ` into ${out}`}\n`;
};
