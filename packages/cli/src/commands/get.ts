import { type Command, type ExitCode, exitCodes } from "../command.ts";
import { type ApiFlags, askApi, findApi } from "../mesh/api.ts";
import { action, withApiFlags, withOutputFlag } from "../mesh/flags.ts";
import { objectNamed } from "../mesh/kinds.ts";
import { type Envelope, envelope, parseOutputFormat, render } from "../output/print.ts";
import { formatTable } from "../output/table.ts";

interface GetFlags extends ApiFlags {
  readonly output: string;
  readonly namespace?: string;
}
export interface ConfigItem {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly source?: { readonly file: string; readonly line: number };
}

/** Lists or shows configuration objects as the control plane holds them. */
export const getCommand: Command = {
  name: "get",
  define(program, context) {
    const command = program
      .command("get")
      .description("list configuration objects, or show one")
      .argument(
        "[kind]",
        "VirtualService, DestinationRule, … (any case, plural or short: vs), or KIND/NAME; all without it",
      )
      .argument("[name]", "one object")
      .option("-n, --namespace <namespace>", "only this namespace");
    withOutputFlag(withApiFlags(command)).action(
      action(
        context,
        async (first: string | undefined, second: string | undefined, flags: GetFlags): Promise<ExitCode> => {
          const { kind, name } = objectNamed(first, second);
          const format = parseOutputFormat(flags.output);
          const query = new URLSearchParams();
          if (kind !== undefined) query.set("kind", kind);
          if (flags.namespace !== undefined) query.set("namespace", flags.namespace);
          const answer = await askApi<Envelope>(findApi(flags, context.env), `/v1/config?${query}`);
          const items = (answer.items as readonly ConfigItem[]).filter(
            (item) => name === undefined || item.metadata.name === name,
          );
          if (name !== undefined && items.length === 0) {
            context.printError(`WF9023 there is no ${kind} named ${name}. Next: weft get ${kind}\n`);
            return exitCodes.failed;
          }
          context.print(render(format, envelope("ConfigList", items.map(document)), () => table(items)));
          return exitCodes.ok;
        },
      ),
    );
  },
};

/** In the order people write it, and such that `weft apply` takes it back: where it came from is its status. */
const document = ({ source, ...item }: ConfigItem): object => {
  const { apiVersion, kind, metadata, ...body } = item;
  return { apiVersion, kind, metadata, ...body, ...(source === undefined ? {} : { status: { source } }) };
};

const table = (items: readonly ConfigItem[]): string =>
  items.length === 0
    ? "No configuration objects.\n"
    : formatTable(
        ["KIND", "NAMESPACE", "NAME", "SOURCE"],
        items.map((item) => [
          item.kind,
          item.metadata.namespace ?? "default",
          item.metadata.name,
          item.source ? `${item.source.file}:${item.source.line}` : "",
        ]),
      );
