import { formatAddress } from "@weft/core/address";
import { WeftError } from "@weft/core/error";
import { type Command, type Context, type ExitCode, exitCodes } from "../command.ts";
import { type ApiFlags, type ApiTarget, askApi, findApi, openApi } from "../mesh/api.ts";
import { action, withApiFlags, withOutputFlag } from "../mesh/flags.ts";
import { type Envelope, parseOutputFormat, render } from "../output/print.ts";
import { formatTable } from "../output/table.ts";
import { showSources } from "./registry-sources.ts";

interface RegistryFlags extends ApiFlags {
  readonly output: string;
  readonly namespace?: string;
  readonly watch?: boolean;
}

interface ServiceItem {
  readonly name: string;
  readonly namespace: string;
  readonly hostname: string;
  readonly ports: readonly { readonly number: number; readonly protocol: string }[];
  readonly endpoints: number;
  readonly healthy: number;
  readonly sources: readonly string[];
}
interface SeenByProxies {
  readonly reporting: number;
  readonly unhealthy: number;
  readonly reasons: Readonly<Record<string, number>>;
}
interface EndpointItem {
  readonly address: string;
  readonly port: number;
  readonly servicePort: number;
  readonly workload: string;
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly health: string;
  /** Absent from a control plane that is older. */
  readonly sentAs?: string;
  readonly proxies?: SeenByProxies;
  /** It seems gone from its registry, and is used only where nothing else is. */
  readonly held?: string;
  readonly weight: number;
  readonly locality: string;
  readonly tls: boolean;
  readonly source: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** What the control plane knows of services and their instances. */
export const registryCommand: Command = {
  name: "registry",
  define(program, context) {
    const command = program
      .command("registry")
      .description("list the services of the registry, or one service's endpoints")
      .argument("[service]", "NAME, NAME.NAMESPACE or its host name")
      .option("-n, --namespace <namespace>", "only this namespace")
      .option("-w, --watch", "print changes as they come, one JSON object a line, until interrupted");
    withOutputFlag(withApiFlags(command)).action(
      action(context, async (service: string | undefined, flags: RegistryFlags): Promise<ExitCode> => {
        const format = parseOutputFormat(flags.output);
        const target = findApi(flags, context.env);
        if (flags.watch) {
          await watch(context, target, { service, namespace: flags.namespace });
          return exitCodes.ok;
        }
        const within = flags.namespace === undefined ? "" : `?namespace=${encodeURIComponent(flags.namespace)}`;
        const path = service === undefined ? "/v1/registry" : `/v1/registry/${encodeURIComponent(service)}/endpoints`;
        const answer = await askApi<Envelope>(target, `${path}${within}`);
        context.print(
          render(format, answer, () =>
            service === undefined
              ? serviceTable(answer.items as readonly ServiceItem[])
              : endpointTable(answer.items as readonly EndpointItem[]),
          ),
        );
        return exitCodes.ok;
      }),
    );
    const sources = command
      .command("sources")
      .description("list where services come from: each registry's state, the age of its view, what it holds back");
    withOutputFlag(withApiFlags(sources)).action(
      action(context, (flags: ApiFlags & { readonly output: string }) => showSources(context, flags)),
    );
  },
};

/** Until interrupted; a watch that ends by itself is the control plane's end. */
const watch = async (
  context: Context,
  target: ApiTarget,
  only: { readonly service: string | undefined; readonly namespace: string | undefined },
): Promise<void> => {
  const wanted = (line: string): boolean => {
    const { object } = JSON.parse(line) as { object: { service: string; namespace: string } };
    const names = [object.service, `${object.service}.${object.namespace}`];
    return (
      (only.service === undefined || names.includes(only.service)) &&
      (only.namespace === undefined || object.namespace === only.namespace)
    );
  };
  let cause: unknown;
  try {
    const { body } = await openApi(target, "/v1/registry/watch", { signal: context.signal });
    const decoder = new TextDecoder();
    let rest = "";
    for await (const chunk of body ?? []) {
      const lines = `${rest}${decoder.decode(chunk, { stream: true })}`.split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) if (line !== "" && wanted(line)) context.print(`${line}\n`);
    }
  } catch (error) {
    if (error instanceof WeftError) throw error;
    cause = error;
  }
  if (context.signal.aborted) return;
  throw new WeftError("WF9030", `the control plane at ${target.baseUrl} ended the watch`, {
    next: "watch again when it is back",
    cause,
  });
};

const serviceTable = (items: readonly ServiceItem[]): string =>
  items.length === 0
    ? "Nothing is registered.\n"
    : formatTable(
        ["NAME", "NAMESPACE", "HOSTNAME", "PORTS", "ENDPOINTS", "HEALTHY", "SOURCES"],
        items.map(({ name, namespace, hostname, ports, endpoints, healthy, sources }) => [
          name,
          namespace,
          hostname,
          ports.map(({ number, protocol }) => `${number}/${protocol}`).join(","),
          String(endpoints),
          String(healthy),
          sources.join(","),
        ]),
      );

/** The registry's word, and what proxies are told where that is another. */
const healthText = ({ health, sentAs = health, held }: EndpointItem): string => {
  const text = sentAs === health ? health : `${health}, sent as ${sentAs}`;
  return held ? `${text}, held (${held})` : text;
};

/** `2 of 3 do not use it: failed_active_hc 2`. */
const proxiesText = (seen: SeenByProxies | undefined): string => {
  if (seen === undefined) return "-";
  if (seen.unhealthy === 0) return `${seen.reporting} use it`;
  const reasons = Object.entries(seen.reasons).map(([reason, count]) => `${reason} ${count}`);
  return `${seen.unhealthy} of ${seen.reporting} do not use it: ${reasons.join(", ")}`;
};

const endpointTable = (items: readonly EndpointItem[]): string =>
  items.length === 0
    ? "It has no endpoints.\n"
    : formatTable(
        [
          "ENDPOINT",
          "SERVICE PORT",
          "WORKLOAD",
          "IDENTITY",
          "LABELS",
          "HEALTH",
          "PROXIES",
          "WEIGHT",
          "LOCALITY",
          "MTLS",
          "SOURCE",
        ],
        items.map((item) => [
          formatAddress({ host: item.address, port: item.port }),
          String(item.servicePort),
          `${item.workload}.${item.namespace}`,
          item.serviceAccount === "" ? "-" : `ns/${item.namespace}/sa/${item.serviceAccount}`,
          Object.entries(item.labels)
            .map(([key, value]) => `${key}=${value}`)
            .join(",") || "-",
          healthText(item),
          proxiesText(item.proxies),
          String(item.weight),
          item.locality || "-",
          item.tls ? "yes" : "no",
          item.source,
        ]),
      );
