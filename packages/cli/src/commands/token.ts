import { parseGoDuration } from "@weft/core/duration";
import { WeftError } from "@weft/core/error";
import type { Command as Program } from "commander";
import { type Command, type Context, type ExitCode, exitCodes } from "../command.ts";
import { type ApiFlags, askApi, findApi } from "../mesh/api.ts";
import { action, withApiFlags, withOutputFlag } from "../mesh/flags.ts";
import { type Envelope, envelope, parseOutputFormat, render } from "../output/print.ts";
import { formatTable } from "../output/table.ts";
import { parseAccount, parseName } from "../workload/run-values.ts";

interface TokenFlags extends ApiFlags {
  readonly output: string;
  readonly ttl: string;
  readonly uses?: string;
  readonly namespace?: string;
  readonly serviceAccount?: string;
}

/** Join tokens: made, listed and revoked. A token is what a new workload shows to get its first certificate. */
export const tokenCommand: Command = {
  name: "token",
  define(program, context) {
    const make = action(context, (flags: TokenFlags) => create(context, flags));
    const command = program.command("token").description("make, list and revoke join tokens for new workloads");
    withCreateFlags(command).action(make);
    withCreateFlags(command.command("create").description("make a join token; as weft token alone")).action(make);
    withOutputFlag(withApiFlags(command.command("list").description("list tokens that are still good"))).action(
      action(context, (_: object, of: Program) => list(context, of.optsWithGlobals<TokenFlags>())),
    );
    withApiFlags(
      command.command("revoke").description("take a token back, at every control plane").argument("<id>", "its id"),
    ).action(
      action(context, (id: string, _: object, of: Program) => revoke(context, id, of.optsWithGlobals<TokenFlags>())),
    );
  },
};

const withCreateFlags = (command: Program): Program =>
  withOutputFlag(
    withApiFlags(
      command
        .option("--ttl <duration>", "how long it is good for", "1h")
        .option("--uses <count>", "how many certificates it is good for, or unlimited (default: 1)")
        .option("-n, --namespace <namespace>", "only for identities of this namespace")
        .option("--service-account <name>", "only for this service account"),
    ),
  );

interface TokenItem {
  readonly id: string;
  readonly uses: number | "unlimited";
  readonly namespace?: string;
  readonly serviceAccount?: string;
  readonly expiresAt: string;
}

const create = async (context: Context, flags: TokenFlags): Promise<ExitCode> => {
  const format = parseOutputFormat(flags.output);
  const ttlMs = parseGoDuration(flags.ttl);
  if (ttlMs === undefined || ttlMs <= 0) {
    throw new WeftError("WF9022", `"${flags.ttl}" is not a duration`, { next: "--ttl 30m" });
  }
  const uses = flags.uses === undefined || flags.uses === "unlimited" ? flags.uses : Number(flags.uses);
  if (typeof uses === "number" && !(Number.isInteger(uses) && uses > 0)) {
    throw new WeftError("WF9022", `"${flags.uses}" is not a count`, { next: "--uses 1" });
  }
  if (flags.namespace !== undefined) parseName("--namespace", flags.namespace);
  if (flags.serviceAccount !== undefined) parseAccount("--service-account", flags.serviceAccount);
  const made = await askApi<TokenItem & { token: string; rootFingerprint?: string }>(
    findApi(flags, context.env),
    "/v1/tokens",
    {
      method: "POST",
      body: JSON.stringify({
        ttlSeconds: Math.ceil(ttlMs / 1000),
        uses,
        namespace: flags.namespace,
        serviceAccount: flags.serviceAccount,
      }),
    },
  );
  // Beside the token, so that a script that takes the output has the token alone.
  if (made.rootFingerprint !== undefined) context.printError(`weft: the mesh's root is ${made.rootFingerprint}\n`);
  const item = { ttl: flags.ttl, ...made };
  context.print(render(format, envelope("TokenList", [item]), () => `${made.token}\n`));
  return exitCodes.ok;
};

const list = async (context: Context, flags: TokenFlags): Promise<ExitCode> => {
  const format = parseOutputFormat(flags.output);
  const answer = await askApi<Envelope>(findApi(flags, context.env), "/v1/tokens");
  const rows = (answer.items as readonly TokenItem[]).map(({ id, uses, namespace, serviceAccount, expiresAt }) => [
    id,
    String(uses),
    namespace ?? "any",
    serviceAccount ?? "any",
    expiresAt,
  ]);
  const head = ["ID", "USES LEFT", "NAMESPACE", "SERVICE ACCOUNT", "EXPIRES"];
  context.print(render(format, answer, () => formatTable(head, rows)));
  return exitCodes.ok;
};

const revoke = async (context: Context, id: string, flags: TokenFlags): Promise<ExitCode> => {
  await askApi(findApi(flags, context.env), `/v1/tokens/${encodeURIComponent(id)}`, { method: "DELETE" });
  context.print(`${id} is revoked\n`);
  return exitCodes.ok;
};
