import { WeftError } from "@weft/core/error";
import { type Command, type Context, type ExitCode, exitCodes } from "../command.ts";
import { type ApiFlags, askApi, findApi } from "../mesh/api.ts";
import { type DumpSource, readDump, readHosts } from "../mesh/config-dump.ts";
import { action, withApiFlags, withOutputFlag } from "../mesh/flags.ts";
import { matchesProxy, type ProxyItem } from "../mesh/proxies.ts";
import { type Envelope, parseOutputFormat, render } from "../output/print.ts";
import { type Resource, tableRows, views } from "../output/resource-views.ts";
import { formatTable } from "../output/table.ts";

interface ConfigFlags extends ApiFlags {
  readonly output: string;
  readonly admin?: string;
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
  },
};

const allView = { names: ["all"], summary: "everything: clusters, listeners, routes, endpoints, secrets" };

const show = async (context: Context, what: string, proxy: string, flags: ConfigFlags): Promise<ExitCode> => {
  const format = parseOutputFormat(flags.output);
  const source = await locate(context, proxy, flags);
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

const locate = async (context: Context, name: string, flags: ConfigFlags): Promise<DumpSource> => {
  if (flags.admin !== undefined) return { admin: flags.admin, fallback: undefined };
  const target = findApi(flags, context.env);
  const { items } = await askApi<Envelope>(target, "/v1/proxies");
  const found = (items as readonly ProxyItem[]).filter((proxy) => matchesProxy(proxy, name));
  const [proxy] = found;
  if (proxy === undefined) {
    throw new WeftError("WF9025", `no connected proxy is called ${name}`, { next: "weft proxy-status" });
  }
  if (found.length > 1) {
    throw new WeftError("WF9026", `${name} means ${found.length} proxies: ${found.map(({ id }) => id).join(", ")}`, {
      next: "name one in full",
    });
  }
  const admin = proxy.metadata.WEFT_ADMIN;
  return {
    admin: typeof admin === "string" ? admin : undefined,
    fallback: () => askApi(target, `/debug/config_dump?proxyID=${encodeURIComponent(proxy.id)}`),
  };
};
