import { parseGoDuration } from "@weft/core/duration";
import { WeftError } from "@weft/core/error";
import { type Command, type ExitCode, exitCodes } from "../command.ts";
import { type ApiFlags, askApi, findApi } from "../mesh/api.ts";
import { action, withApiFlags, withOutputFlag } from "../mesh/flags.ts";
import { envelope, parseOutputFormat, render } from "../output/print.ts";

interface TokenFlags extends ApiFlags {
  readonly output: string;
  readonly ttl: string;
  readonly uses?: string;
  readonly namespace?: string;
  readonly serviceAccount?: string;
}

/** Makes a join token: what a new workload shows once to get its first certificate. */
export const tokenCommand: Command = {
  name: "token",
  define(program, context) {
    const command = program
      .command("token")
      .description("make a join token for new workloads")
      .option("--ttl <duration>", "how long it is good for", "1h")
      .option("--uses <count>", "how many certificates it is good for, or unlimited (default: 1)")
      .option("-n, --namespace <namespace>", "only for identities of this namespace")
      .option("--service-account <name>", "only for this service account");
    withOutputFlag(withApiFlags(command)).action(
      action(context, async (flags: TokenFlags): Promise<ExitCode> => {
        const format = parseOutputFormat(flags.output);
        const ttlMs = parseGoDuration(flags.ttl);
        if (ttlMs === undefined || ttlMs <= 0) {
          throw new WeftError("WF9022", `"${flags.ttl}" is not a duration`, { next: "--ttl 30m" });
        }
        const uses = flags.uses === undefined || flags.uses === "unlimited" ? flags.uses : Number(flags.uses);
        if (typeof uses === "number" && !(Number.isInteger(uses) && uses > 0)) {
          throw new WeftError("WF9022", `"${flags.uses}" is not a count`, { next: "--uses 1" });
        }
        const { token } = await askApi<{ token: string }>(findApi(flags, context.env), "/v1/tokens", {
          method: "POST",
          body: JSON.stringify({
            ttlSeconds: Math.ceil(ttlMs / 1000),
            uses,
            namespace: flags.namespace,
            serviceAccount: flags.serviceAccount,
          }),
        });
        context.print(render(format, envelope("TokenList", [{ token, ttl: flags.ttl, uses }]), () => `${token}\n`));
        return exitCodes.ok;
      }),
    );
  },
};
