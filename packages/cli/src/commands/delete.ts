import { WeftError } from "@weft/core/error";
import { type Command, type ExitCode, exitCodes } from "../command.ts";
import { askApi, findApi } from "../mesh/api.ts";
import { action, withApiFlags, withOutputFlag } from "../mesh/flags.ts";
import { objectNamed } from "../mesh/kinds.ts";
import { parseOutputFormat } from "../output/print.ts";
import { type ChangeAnswer, collect, type FileFlags, printChanges, printFindings, sendFiles } from "./apply.ts";

interface DeleteFlags extends FileFlags {
  readonly namespace: string;
}

/** Deletes the objects in files, or one by kind and name. */
export const deleteCommand: Command = {
  name: "delete",
  define(program, context) {
    const command = program
      .command("delete")
      .description("delete the objects in files, or one object by kind and name")
      .argument("[kind]", "VirtualService, DestinationRule, … (any case, plural or short: vs); or KIND/NAME")
      .argument("[name]", "the object")
      .option("-f, --filename <path>", "file, folder, or - for standard input; repeatable", collect, [])
      .option("-n, --namespace <namespace>", "of the object named", "default")
      .option("--dry-run", "say what would be deleted");
    withOutputFlag(withApiFlags(command)).action(
      action(
        context,
        async (first: string | undefined, second: string | undefined, flags: DeleteFlags): Promise<ExitCode> => {
          const { kind, name } = objectNamed(first, second);
          if (kind === undefined && flags.filename.length > 0) return sendFiles(context, "delete", flags);
          if (kind === undefined || name === undefined || flags.filename.length > 0) {
            const message = kind === undefined ? "nothing to delete is named" : "an object is named by kind and name";
            throw new WeftError("WF9022", message, { next: "weft delete KIND NAME, or weft delete -f FILE" });
          }
          const format = parseOutputFormat(flags.output);
          const dryRun = flags.dryRun ?? false;
          const path = [kind, flags.namespace, name].map(encodeURIComponent).join("/");
          const api = findApi(flags, context.env);
          const answer = await askApi<Pick<ChangeAnswer, "findings">>(
            api,
            `/v1/config/${path}${dryRun ? "?dryRun=true" : ""}`,
            { method: "DELETE" },
          );
          const item = { kind, namespace: flags.namespace, name, result: "deleted" };
          printFindings(context, answer.findings);
          printChanges(context, format, { items: [item], dryRun });
          return exitCodes.ok;
        },
      ),
    );
  },
};
