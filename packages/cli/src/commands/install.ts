import { WeftError } from "@weft/core/error";
import { realClock, setRealTimer } from "@weft/net/clock";
import { makeFolder, writeAtomic } from "@weft/net/files/files";
import { readKubeconfig } from "@weft/net/kubernetes/kubeconfig";
import { openKubernetesApi } from "@weft/net/kubernetes/kubernetes-api";
import { stringify } from "yaml";
import { type Command, type Context, type ExitCode, exitCodes } from "../command.ts";
import { applyObjects } from "../install/apply-objects.ts";
import { chartFiles } from "../install/chart.ts";
import type { Manifest } from "../install/control-plane-objects.ts";
import { type InstallValues, type ValueName, valuesFill } from "../install/fill.ts";
import { installParts } from "../install/install-objects.ts";
import { defaultInstallValues, setValues, valueMeanings } from "../install/install-values.ts";
import { action } from "../mesh/flags.ts";
import { version } from "../version.ts";

interface InstallFlags {
  readonly dryRun?: boolean;
  readonly output: string;
  readonly chart?: string;
  readonly set: readonly string[];
  readonly namespace?: string;
  readonly revision?: string;
  readonly replicas?: string;
  readonly image?: string;
  readonly listValues?: boolean;
  readonly kubeconfig?: string;
  readonly context?: string;
}

/** Installs a control plane in Kubernetes: by server-side apply, or as printed manifests, or as a Helm chart. */
export const installCommand: Command = {
  name: "install",
  define(program, context) {
    program
      .command("install")
      .description("install a control plane in Kubernetes, or print its manifests, or write them as a Helm chart")
      .option("--dry-run", "print the manifests and change no cluster")
      .option("-o, --output <format>", "yaml or json", "yaml")
      .option("--chart <folder>", "write a Helm chart there instead")
      .option(
        "--set <name=value>",
        "set a value; repeatable, or parted by commas",
        (setting: string, before: readonly string[]) => [...before, setting],
        [] as readonly string[],
      )
      .option("--kubeconfig <file>", "the cluster to install into (default: KUBECONFIG, else ~/.kube/config)")
      .option("--context <name>", "context of the kubeconfig (default: its current one)")
      .option("--list-values", "list the values with their defaults")
      .option("-n, --namespace <namespace>", "the same as --set namespace=…")
      .option("--revision <name>", "the same as --set revision=…")
      .option("--replicas <n>", "the same as --set replicas=…")
      .option("--image <image>", "the same as --set image=…")
      .action(action(context, (flags: InstallFlags) => install(context, flags)));
  },
};

const install = async (context: Context, flags: InstallFlags): Promise<ExitCode> => {
  if (flags.output !== "yaml" && flags.output !== "json")
    throw new WeftError("WF9020", `unknown output format "${flags.output}"`, { next: "-o yaml|json" });
  const own = (["namespace", "revision", "replicas", "image"] as const).flatMap((name) =>
    flags[name] === undefined ? [] : [`${name}=${flags[name]}`],
  );
  const values = setValues(defaultInstallValues, [...flags.set, ...own]);
  if (flags.listValues) {
    context.print(listValues(values));
    return exitCodes.ok;
  }
  if (flags.chart !== undefined) writeChart(context, flags.chart, values);
  else if (flags.dryRun) context.print(printObjects(objectsOf(values), flags.output));
  else await applyTo(context, flags, values);
  tellStore(context, values);
  return exitCodes.ok;
};

const objectsOf = (values: InstallValues): readonly Manifest[] =>
  installParts(valuesFill(values))
    .filter(({ condition }) => condition === undefined || values[condition])
    .flatMap(({ objects }) => objects);

const applyTo = async (context: Context, flags: InstallFlags, values: InstallValues): Promise<void> => {
  const { env } = context;
  const file = flags.kubeconfig ?? env.KUBECONFIG ?? (env.HOME === undefined ? undefined : `${env.HOME}/.kube/config`);
  if (file === undefined || file === "") {
    throw new WeftError("WF2177", "no cluster is named to install into", {
      next: "give --kubeconfig FILE, or print with --dry-run",
    });
  }
  const access = readKubeconfig({
    ...{ file, environment: env, wallMs: realClock.wallMs },
    ...(flags.context === undefined ? {} : { context: flags.context }),
  });
  using api = openKubernetesApi({ access, setTimer: setRealTimer });
  await applyObjects(api, objectsOf(values), (what) => context.print(`${what} applied\n`));
};

const printObjects = (objects: readonly Manifest[], format: "yaml" | "json"): string => {
  if (format === "json") return `${JSON.stringify({ apiVersion: "v1", kind: "List", items: objects }, null, 2)}\n`;
  return objects.map((object) => `---\n${stringify(object, { aliasDuplicateObjects: false })}`).join("");
};

/** Files that are there are written over; no other file of the folder is touched. */
const writeChart = (context: Context, folder: string, values: InstallValues): void => {
  const files = chartFiles(values, version);
  try {
    for (const [path, text] of files) {
      const at = `${folder}/${path}`;
      makeFolder(at.slice(0, at.lastIndexOf("/")));
      writeAtomic(at, text);
    }
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new WeftError("WF2178", `the chart cannot be written to ${folder}: ${why}`, {
      next: "choose another folder",
      cause,
    });
  }
  context.print(
    `wrote ${files.size} files to ${folder}\nhelm install weft ${folder} -n ${values.namespace} --create-namespace\n`,
  );
};

const tellStore = ({ printError }: Context, { store, replicas, namespace }: InstallValues): void => {
  if (store !== "") return;
  const each =
    replicas === 1
      ? "a restart makes a new root certificate"
      : `each of the ${replicas} control planes signs with a root of its own`;
  printError(
    `warning WF2179 without a shared store ${each}. Next: --set store=etcd://HOST:PORT/PREFIX, with the key in a Secret of ${namespace}\n`,
  );
};

const listValues = (values: InstallValues): string => {
  const names = Object.keys(valueMeanings) as ValueName[];
  return names
    .map((name) => `${name.padEnd(32)} ${JSON.stringify(values[name]).padEnd(26)} ${valueMeanings[name]}\n`)
    .join("");
};
