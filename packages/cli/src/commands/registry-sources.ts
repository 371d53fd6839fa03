import { type Context, type ExitCode, exitCodes } from "../command.ts";
import { type ApiFlags, askApi, findApi } from "../mesh/api.ts";
import { counted, type Envelope, parseOutputFormat, render } from "../output/print.ts";
import { formatTable } from "../output/table.ts";

interface SourceItem {
  readonly name: string;
  readonly url: string;
  readonly state: string;
  readonly ageSeconds: number;
  readonly reason?: string;
  readonly services: number;
  readonly instances: number;
  readonly held: { readonly absent: number; readonly expired: number };
  readonly damped: number;
  readonly refused: number;
  /** With what is refused. */
  readonly leftOut?: number;
  readonly unreadable: number;
  readonly problems?: readonly unknown[];
  readonly diskProblem?: string;
  /** Of weft's own, in a shared store that was found in an older state. */
  readonly wentBack?: { readonly written: number; readonly left: number };
}

/** A registry that is written to. */
interface TargetItem {
  readonly name: string;
  readonly url: string;
  readonly state: string;
  readonly reason?: string;
  readonly written: {
    readonly wanted: number;
    readonly written: number;
    readonly left: number;
    readonly refused: number;
  };
}

/** `weft registry sources`: where services come from, and how old each source's view is. */
export const showSources = async (
  context: Context,
  flags: ApiFlags & { readonly output: string },
): Promise<ExitCode> => {
  const format = parseOutputFormat(flags.output);
  const answer = await askApi<Envelope>(findApi(flags, context.env), "/v1/registries");
  context.print(render(format, answer, () => tables(answer.items as readonly (SourceItem | TargetItem)[])));
  return exitCodes.ok;
};

const isTarget = (item: SourceItem | TargetItem): item is TargetItem => "written" in item;

const tables = (items: readonly (SourceItem | TargetItem)[]): string => {
  const targets = items.filter(isTarget);
  const sources = sourceTable(items.filter((item): item is SourceItem => !isTarget(item)));
  return targets.length === 0 ? sources : `${sources}\n${targetTable(targets)}`;
};

const targetTable = (items: readonly TargetItem[]): string =>
  formatTable(
    ["REGISTERED INTO", "STATE", "WRITTEN", "URL", "NOTES"],
    items.map(({ name, state, url, reason, written: { wanted, written, left, refused } }) => [
      name,
      state,
      `${written}/${wanted}`,
      url,
      [
        ...(reason ? [reason] : []),
        ...(refused > 0 ? [`${refused} refused, see weft analyze`] : []),
        ...(left > 0 ? [`${left} too many`] : []),
      ].join("; ") || "-",
    ]),
  );

const sourceTable = (items: readonly SourceItem[]): string =>
  formatTable(
    ["NAME", "STATE", "AGE", "SERVICES", "INSTANCES", "HELD", "UNREADABLE", "URL", "NOTES"],
    items.map((item) => [
      item.name,
      item.state,
      item.state === "live" ? "-" : ageText(item.ageSeconds),
      String(item.services),
      String(item.instances),
      String(item.held.absent + item.held.expired),
      String(item.unreadable),
      item.url,
      notesOf(item) || "-",
    ]),
  );

/** `12s`, `3m`, `5h`, `2d`. */
const ageText = (seconds: number): string => {
  if (seconds < 120) return `${Math.round(seconds)}s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)}m`;
  return seconds < 172_800 ? `${Math.round(seconds / 3_600)}h` : `${Math.round(seconds / 86_400)}d`;
};

/** weft's own registry, in which nothing may have registered yet. */
const ownUrl = "embedded:";

const notesOf = ({
  url,
  state,
  instances,
  unreadable,
  reason,
  damped,
  refused,
  leftOut = refused,
  problems = [],
  diskProblem,
  wentBack,
}: SourceItem): string =>
  [
    ...(reason ? [reason] : []),
    ...(wentBack
      ? [`the store went back, ${counted(wentBack.written, "record")} written back, ${wentBack.left} left`]
      : []),
    ...(damped > 0 ? [`${damped} damped`] : []),
    ...(leftOut > 0 ? [`${leftOut} left out, see weft analyze`] : []),
    ...(problems.length > 0 ? [`${counted(problems.length, "problem")}, see weft analyze`] : []),
    ...(diskProblem ? [`not kept: ${diskProblem}`] : []),
    // A path or a namespace that nobody has reads as one that is empty.
    ...(state === "live" && instances + unreadable === 0 && url !== ownUrl ? ["it is reached, and empty"] : []),
  ].join("; ");
