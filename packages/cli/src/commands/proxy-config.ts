import { type Command, type Context, type ExitCode, exitCodes } from "../command.ts";
import { readDump, readHosts } from "../mesh/config-dump.ts";
import { action, withApiFlags, withOutputFlag } from "../mesh/flags.ts";
import { type LocateFlags, locateProxy } from "../mesh/locate-proxy.ts";
import { parseOutputFormat, render } from "../output/print.ts";
import { type Resource, tableRows, views } from "../output/resource-views.ts";
import { formatTable } from "../output/table.ts";
import { defineProxyLog } from "./proxy-log.ts";

interface ConfigFlags extends LocateFlags {
  readonly output: string;
  readonly name?: string;
}

/** What a proxy runs with, asked from the proxy itself, or from the control plane where its admin is out of reach. */
export const proxyConfigCommand: Command = {
  name: "proxy-config",
  define(program, context) {
    const parent = program.command("proxy-config").alias("pc").description("show what a proxy is configured with");
    for (const { names, summary } of [...views, allView]) {
      const [name = "", ...aliases] = names;
      const command = parent
        .command(name)
        .aliases(aliases)
        .description(summary)
        .argument("<proxy>", "NAME or NAME.NAMESPACE")
        .option("--admin <address>", "ask this admin interface, H:P, instead of looking the proxy up")
        .option("--name <text>", "only resources whose name contains this");
      withOutputFlag(withApiFlags(command)).action(
        action(context, (proxy: string, flags: ConfigFlags) => show(context, name, proxy, flags)),
      );
    }
    defineProxyLog(parent, context);
  },
};

const allView = { names: ["all"], summary: "everything: clusters, listeners, routes, endpoints, secrets" };

const show = async (context: Context, what: string, proxy: string, flags: ConfigFlags): Promise<ExitCode> => {
  const format = parseOutputFormat(flags.output);
  const source = await locateProxy(context, proxy, flags);
  const wanted =
    what === "all"
      ? views.filter(({ names }) => names[0] !== "bootstrap" && names[0] !== "log")
      : views.filter(({ names }) => names[0] === what);
  const parts: { readonly name: string; readonly items: readonly Resource[]; readonly table: string }[] = [];
  for (const view of wanted) {
    const name = view.names[0] ?? "";
    const read = await view.read({
      dump: (type) => readDump(source, type),
      hosts: () => readHosts(source),
      admin: source.admin,
    });
    const items = read.filter(
      (item) => flags.name === undefined || JSON.stringify(item.name ?? item.clusterName ?? "").includes(flags.name),
    );
    parts.push({
      name,
      items,
      table: formatTable(view.headings, tableRows(view, items)),
    });
  }
  const value =
    what === "all" ? Object.fromEntries(parts.map(({ name, items }) => [name, items])) : (parts[0]?.items ?? []);
  context.print(
    render(format, value, () =>
      parts.map(({ name, table }) => (what === "all" ? `${name.toUpperCase()}\n${table}` : table)).join("\n"),
    ),
  );
  return exitCodes.ok;
};
