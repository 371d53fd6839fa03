import { isLoopback, parseAddress } from "@weft/core/address";
import { WeftError } from "@weft/core/error";
import { formatIdentity } from "@weft/core/identity";
import type { Command as Program } from "commander";
import { type Command, type Context, type ExitCode, exitCodes } from "../command.ts";
import { type ApiTarget, askApi, findApi } from "../mesh/api.ts";
import type { DumpSource } from "../mesh/config-dump.ts";
import { action, withApiFlags, withOutputFlag } from "../mesh/flags.ts";
import { type LocateFlags, locateProxy } from "../mesh/locate-proxy.ts";
import { matchesProxy, type ProxyItem } from "../mesh/proxies.ts";
import { askAdminText } from "../mesh/proxy-admin.ts";
import { type Envelope, envelope, parseOutputFormat, render } from "../output/print.ts";
import { formatTable } from "../output/table.ts";
import { type Client, followPath } from "../why/follow.ts";
import { type FoundObject, type FoundStep, openObjects } from "../why/objects.ts";
import { type OfflineProxy, openOffline } from "../why/offline-proxy.ts";
import { type Asked, type OnDemandAnswer, withOnDemand } from "../why/on-demand.ts";
import { parseQuestion, type Question } from "../why/question.ts";
import { type ProxyResources, readResources } from "../why/resources.ts";
import type { Outcome } from "../why/step.ts";

interface WhyFlags extends LocateFlags {
  readonly output: string;
  readonly header: readonly string[];
  readonly port?: string;
  readonly tls?: boolean;
}

interface Named extends ProxyItem {
  readonly namespace?: string;
  readonly serviceAccount?: string;
  readonly secure?: boolean;
  readonly address?: string;
}

/** Why a request goes where it goes: every step of it, and the object, file and line behind the step. */
export const whyCommand: Command = {
  name: "why",
  define(program, context) {
    const command: Program = program
      .command("why")
      .description("say where a request goes and why: each step, with the object, file and line behind it")
      .argument("<source>", "the client's proxy, NAME or NAME.NAMESPACE")
      .argument("<destination>", "a host, a service's name, or HOST:PORT")
      .argument("[method]", "GET without it")
      .argument("[path]", "with its query; / without it")
      .option(
        "-H, --header <line>",
        "'name: value', as often as wanted; Host takes the place of the destination",
        add,
        [],
      )
      .option("--port <number>", "the port called; 80 without it")
      .option("--tls", "the client itself speaks TLS to the destination, by its name")
      .option("--admin <address>", "ask this admin interface, H:P, for the client's configuration");
    withOutputFlag(withApiFlags(command)).action(
      action(context, (source: string, destination: string, method?: string, path?: string, flags?: WhyFlags) =>
        show(context, { source, destination, method, path }, flags as WhyFlags),
      ),
    );
  },
};

const add = (line: string, before: readonly string[]): readonly string[] => [...before, line];

interface Given {
  readonly source: string;
  readonly destination: string;
  readonly method: string | undefined;
  readonly path: string | undefined;
}

const show = async (
  context: Context,
  { source, destination, method, path }: Given,
  flags: WhyFlags,
): Promise<ExitCode> => {
  const format = parseOutputFormat(flags.output);
  const { header: headers } = flags;
  const port = flags.port === undefined ? undefined : Number(flags.port);
  const question = parseQuestion({ destination, port, method, path, headers, tls: flags.tls });
  const target = findApi(flags, context.env);
  const from = await locateProxy(context, source, flags);
  const { steps: asked, ...client } = await openClient(target, { name: source, source: from, question });
  const { admin: _clients, ...servers } = flags;
  const { steps, outcome } = await followPath(client, question, async (workload) => {
    const there = await locateProxy(context, workload, servers).catch(unconnected);
    return there && openProxy(there, workload);
  });
  const objects = openObjects(target);
  const items = await Promise.all([...asked, ...steps].map(objects.find));
  const summary = { source, destination, method: method ?? "GET", path: path ?? "/", outcome };
  context.print(render(format, envelope("WhyList", items, summary), () => table(items, outcome)));
  return exitCodes.ok;
};

/** A server without a proxy is told as such. */
const unconnected = (error: unknown): undefined => {
  if (error instanceof WeftError && (error.code === "WF9025" || error.code === "WF9026")) return undefined;
  throw error;
};

const openProxy = async (source: DumpSource, name: string): Promise<OfflineProxy> =>
  opened(await readResources(source), name);

const opened = (resources: ProxyResources, name: string): OfflineProxy => {
  const proxy = openOffline(resources);
  if (proxy.listeners.length > 0) return proxy;
  const [first = "it has none"] = proxy.problems;
  throw new WeftError("WF9036", `the listeners of ${name} cannot be read: ${first}`, {
    next: `weft proxy-config listeners ${name}`,
  });
};

interface Asking {
  readonly name: string;
  readonly source: DumpSource;
  readonly question: Question;
}

const openClient = async (
  target: ApiTarget,
  { name, source, question }: Asking,
): Promise<Client & Pick<Asked, "steps">> => {
  const found = await askApi<Envelope>(target, "/v1/proxies").then(
    ({ items }) => (items as readonly Named[]).find((each) => matchesProxy(each, name)),
    // With --admin no control plane is needed.
    () => undefined,
  );
  const askOnDemand = async (asked: string): Promise<OnDemandAnswer | undefined> => {
    if (!found) return undefined;
    const query = new URLSearchParams({ proxyID: found.id, host: asked });
    return askApi<OnDemandAnswer>(target, `/debug/on_demand?${query}`).catch(() => undefined);
  };
  const { resources, steps } = await withOnDemand(await readResources(source), question, askOnDemand);
  const address = parseAddress(found?.address ?? "")?.host ?? "127.0.0.1";
  const identity = (await ownIdentity(source.admin)) ?? (await toldIdentity(target, found)) ?? "";
  return { proxy: opened(resources, name), identity, address: isLoopback(address) ? "127.0.0.1" : address, steps };
};

interface Certificates {
  readonly certificates?: readonly {
    readonly cert_chain?: readonly { readonly subject_alt_names?: readonly { readonly uri?: string }[] }[];
  }[];
}

/** The first URI name of the certificate the proxy uses; `undefined` where it cannot be asked. */
const ownIdentity = async (admin: string | undefined): Promise<string | undefined> => {
  if (admin === undefined) return undefined;
  const { certificates = [] } = await askAdminText(admin, "/certs", "GET")
    .then((text) => JSON.parse(text) as Certificates)
    .catch((): Certificates => ({}));
  return certificates
    .flatMap(({ cert_chain = [] }) => cert_chain)
    .flatMap(({ subject_alt_names = [] }) => subject_alt_names)
    .find(({ uri }) => uri?.startsWith("spiffe://"))?.uri;
};

/** The identity by which the control plane has let the proxy in; `undefined` where it did not ask for one. */
const toldIdentity = async (target: ApiTarget, proxy: Named | undefined): Promise<string | undefined> => {
  const { namespace, serviceAccount, secure } = proxy ?? {};
  if (secure !== true || namespace === undefined || serviceAccount === undefined) return undefined;
  const { trustDomain } = await askApi<{ readonly trustDomain: string }>(target, "/v1/version");
  return formatIdentity({ trustDomain, namespace, serviceAccount });
};

const objectText = ({ kind, namespace, name, field }: FoundObject): string =>
  `${kind} ${namespace}/${name}${field === "" || field === "spec" ? "" : ` ${field}`}`;
const placeText = ({ file, line, column }: FoundObject): string =>
  file === undefined ? "unknown" : `${file}:${line}:${column}`;

/** Notes stand under their step, beside no column: the longest of them must not push the objects away. */
const table = (items: readonly FoundStep[], { text, code }: Outcome): string => {
  const rowsOf = ({ side, step, found, objects: [first, ...more] }: FoundStep): readonly (readonly string[])[] => [
    [side, step, found, first ? objectText(first) : "", first ? placeText(first) : ""],
    ...more.map((object) => ["", "", "", objectText(object), placeText(object)]),
  ];
  const rows = items.map(rowsOf);
  const lines = formatTable(["SIDE", "STEP", "FOUND", "OBJECT", "SOURCE"], rows.flat()).split("\n");
  const printed = [lines.shift() ?? ""];
  for (const [index, { notes }] of items.entries()) {
    printed.push(...lines.splice(0, rows[index]?.length ?? 0), ...notes.map((note) => `          ${note}`));
  }
  return `${printed.join("\n")}\n\n${code === undefined ? "" : `${code} `}${text}\n`;
};
