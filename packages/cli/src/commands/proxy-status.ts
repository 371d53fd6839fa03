import { type Command, type ExitCode, exitCodes } from "../command.ts";
import { type ApiFlags, askApi, findApi } from "../mesh/api.ts";
import { action, withApiFlags, withOutputFlag } from "../mesh/flags.ts";
import { matchesProxy, type ProxyItem, proxyName } from "../mesh/proxies.ts";
import { counted, type Envelope, envelope, parseOutputFormat, render } from "../output/print.ts";
import { formatTable } from "../output/table.ts";

interface StatusFlags extends ApiFlags {
  readonly output: string;
}
const columns = ["CDS", "LDS", "EDS", "RDS"] as const;
/** Virtual hosts, of proxies that ask for them one by one. */
const onDemandColumn = "VHDS";

/** Counts over all control planes, where several share a store. */
interface Everywhere {
  readonly controlPlanes: number;
  readonly proxies: number;
  readonly synced: number;
  readonly oldestMs: number;
  readonly silent: number;
}

/** Whether each connected proxy has what it should have. */
export const proxyStatusCommand: Command = {
  name: "proxy-status",
  define(program, context) {
    const command = program
      .command("proxy-status")
      .alias("ps")
      .description("say for each proxy whether it has acknowledged its configuration")
      .argument("[proxy]", "NAME or NAME.NAMESPACE");
    withOutputFlag(withApiFlags(command)).action(
      action(context, async (name: string | undefined, flags: StatusFlags): Promise<ExitCode> => {
        const answer = await askApi<Envelope>(findApi(flags, context.env), "/v1/proxies");
        const proxies = (answer.items as readonly ProxyItem[]).filter(
          (proxy) => name === undefined || matchesProxy(proxy, name),
        );
        if (name !== undefined && proxies.length === 0) {
          context.printError(`WF9025 no connected proxy is called ${name}. Next: weft proxy-status\n`);
          return exitCodes.failed;
        }
        const bad = proxies.filter((proxy) =>
          [...columns, onDemandColumn].some((type) => /NACK|STALE/.test(statusOf(proxy, type))),
        );
        const everywhere = name === undefined ? (answer.summary?.everywhere as Everywhere | undefined) : undefined;
        const value = envelope("ProxyStatusList", proxies, {
          synced: proxies.length - bad.length,
          notSynced: bad.length,
          ...(everywhere ? { everywhere } : {}),
        });
        context.print(
          render(parseOutputFormat(flags.output), value, () => table(proxies) + everywhereLine(proxies, everywhere)),
        );
        return exitCodes.ok;
      }),
    );
  },
};

/** What the table above leaves out: it is of the control plane that was asked. */
const everywhereLine = (proxies: readonly ProxyItem[], everywhere: Everywhere | undefined): string => {
  if (!everywhere || everywhere.controlPlanes + everywhere.silent < 2) return "";
  const { controlPlanes, proxies: all, synced, oldestMs, silent } = everywhere;
  const age = `as told up to ${Math.round(oldestMs / 1_000)} s ago`;
  const missing = silent === 0 ? "" : `; ${counted(silent, "control plane")} more told nothing`;
  const here = counted(proxies.length, "is", "are");
  return `${here} with this control plane; with all ${controlPlanes}: ${counted(all, "proxy", "proxies")}, ${synced} synced, ${age}${missing}\n`;
};

const statusOf = (proxy: ProxyItem, type: string): string => proxy.types[type]?.status ?? "-";

const table = (proxies: readonly ProxyItem[]): string => {
  if (proxies.length === 0) return "No proxy is connected.\n";
  const shown = proxies.some(({ types }) => types[onDemandColumn]) ? [...columns, onDemandColumn] : columns;
  const rows = proxies
    .map((proxy) => [
      proxyName(proxy),
      ...shown.map((type) => statusOf(proxy, type)),
      proxy.version ?? "",
      noteOf(proxy),
    ])
    .sort(([a = ""], [b = ""]) => (a < b ? -1 : 1));
  const text = formatTable(["NAME", ...shown, "VERSION", "NOTE"], rows);
  return `${text}${counted(proxies.length, "proxy", "proxies")}\n`;
};

const noteOf = (proxy: ProxyItem): string => Object.values(proxy.types).find(({ error }) => error)?.error ?? "";
