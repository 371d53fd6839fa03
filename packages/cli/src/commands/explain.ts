import { explain, listCodes } from "@weft/config/analyze/explain";
import { explainOther, otherCodes } from "../codes.ts";
import { type Command, type ExitCode, exitCodes } from "../command.ts";
import { action, withOutputFlag } from "../mesh/flags.ts";
import { envelope, parseOutputFormat, render } from "../output/print.ts";

/** What a code means and how to mend it, without a network. */
export const explainCommand: Command = {
  name: "explain",
  define(program, context) {
    const command = program
      .command("explain")
      .description("say what a WFnnnn code (or Istio's IST0nnn, Kiali's KIAnnnn) means")
      .argument("[code]", "without it, every code is listed");
    withOutputFlag(command).action(
      action(context, (code: string | undefined, flags: { readonly output: string }): ExitCode => {
        const format = parseOutputFormat(flags.output);
        const items = code === undefined ? everyCode() : codesFor(code);
        if (code !== undefined && items.length === 0) {
          context.printError(`WF9024 nothing is known of ${code}. Next: weft explain lists every code\n`);
          return exitCodes.failed;
        }
        context.print(
          render(format, envelope("CodeList", items), () => (code === undefined ? list(items) : page(code))),
        );
        return exitCodes.ok;
      }),
    );
  },
};

interface CodeItem {
  readonly code: string;
  readonly title: string;
  readonly explain: string;
  readonly level?: string;
  readonly also?: readonly string[];
}

const everyCode = (): readonly CodeItem[] => {
  const ofConfiguration = listCodes().map(({ code, title, explain: text, level, also }) => ({
    code,
    title,
    explain: text.replaceAll("\n", " "),
    level,
    also,
  }));
  return [...ofConfiguration, ...otherCodes].toSorted((a, b) => (a.code < b.code ? -1 : 1));
};

const codesFor = (given: string): readonly CodeItem[] => {
  const wanted = given.trim().toUpperCase();
  return everyCode().filter(({ code, also }) => code === wanted || also?.includes(wanted));
};

const list = (items: readonly CodeItem[]): string => items.map(({ code, title }) => `${code}  ${title}\n`).join("");

const page = (code: string): string => `${(explain(code) ?? explainOther(code) ?? "").trimEnd()}\n`;
