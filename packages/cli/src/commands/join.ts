import { parseAddress, type SocketAddress } from "@weft/core/address";
import { WeftError } from "@weft/core/error";
import { isIPv4, isIPv6 } from "@weft/core/ip";
import { writeAtomic } from "@weft/net/files/files";
import { sidecarNodeFlags } from "@weft/net/process/node-flags";
import { readText } from "@weft/net/read-text";
import { parseSidecarFlags } from "@weft/proxy/bin/sidecar-flags";
import { type Command, type Context, type ExitCode, exitCodes } from "../command.ts";
import { fetchIdentity, fetchRoot, joinedFiles, parseFingerprint, writeJoined } from "../join/join-mesh.ts";
import { prepareMachine, unitTroubles, unwritable } from "../join/machine.ts";
import { unitOf } from "../join/units.ts";
import { action } from "../mesh/flags.ts";
import { parseAccount, parseName } from "../workload/run-values.ts";

interface JoinFlags {
  readonly cp: string;
  readonly name: string;
  readonly namespace: string;
  readonly serviceAccount?: string;
  readonly trustDomain: string;
  readonly cpName: string;
  readonly rootCert?: string;
  readonly rootFingerprint?: string;
  readonly tokenFile?: string;
  readonly dir?: string;
  readonly unitDir: string;
  readonly user: string;
  readonly ip: string;
  readonly outbound: string;
  readonly inbound: readonly string[];
  readonly admin: string;
  readonly printUnit?: boolean;
  readonly dryRun?: boolean;
}

/** Puts a machine into the mesh: its trust and identity on disk, and a systemd unit that runs its sidecar. */
export const joinCommand: Command = {
  name: "join",
  define(program, context) {
    program
      .command("join")
      .description("put this machine into a mesh: trust, identity, and a systemd unit for its sidecar")
      .requiredOption("--cp <addresses>", "control plane's secure address, H:P, several parted by commas")
      .requiredOption("--name <name>", "the workload's name")
      .option("-n, --namespace <namespace>", "its namespace", "default")
      .option("--service-account <name>", "its identity (default: its name)")
      .option("--trust-domain <domain>", "trust domain of its identity", "cluster.local")
      .option("--cp-name <name>", "name in the control plane's certificate", "istiod.istio-system.svc")
      .option("--root-cert <file>", "the mesh's root certificate")
      .option("--root-fingerprint <sha256>", "SHA-256 of the root certificate, which is then fetched")
      .option("--token-file <file>", "join token (default: WEFT_JOIN_TOKEN)")
      .option("--dir <folder>", "where trust, identity and last good configuration are (default: /var/lib/weft/NAME)")
      .option("--unit-dir <folder>", "where the unit is written", "/etc/systemd/system")
      .option("--user <user>", "who the sidecar runs as", "weft")
      .option("--ip <address>", "this machine's address that others reach it at", "127.0.0.1")
      .option("--outbound <address>", "where programs dial others", "127.0.0.1:15001")
      .option("--inbound <port>", "NAME:PROTOCOL:ADDRESS:PORT:APPPORT, repeatable", collect, [])
      .option("--admin <address>", "the sidecar's admin interface", "127.0.0.1:15000")
      .option("--print-unit", "print the unit and do nothing else")
      .option("--dry-run", "say what would be done, and do nothing")
      .action(action(context, (flags: JoinFlags) => join(context, flags)));
  },
};

const collect = (value: string, before: readonly string[]): readonly string[] => [...before, value];

const wrong = (message: string, next: string): WeftError => new WeftError("WF9022", message, { next });

const join = async (context: Context, flags: JoinFlags): Promise<ExitCode> => {
  parseName("--name", flags.name);
  parseName("--namespace", flags.namespace);
  const serviceAccount = parseAccount("--service-account", flags.serviceAccount ?? flags.name);
  const addresses = addressesOf(flags.cp);
  const asked = flags.dir ?? `/var/lib/weft/${flags.name}`;
  const folder = asked.startsWith("/") ? asked : `${context.cwd}/${asked}`;
  const words = sidecarWords(flags, folder);
  refuseWrong(flags, words);
  const unit = sidecarUnit(context, flags, folder, words);
  if (flags.printUnit) {
    context.print(unit);
    return exitCodes.ok;
  }
  const trust = trustOf(flags);
  const unitFile = `${flags.unitDir}/weft-${flags.name}.service`;
  const files = joinedFiles(folder);
  if (flags.dryRun) {
    const lines = [files.root, files.identity, unitFile].map((file) => `would write ${file}`);
    const identity = `spiffe://${flags.trustDomain}/ns/${flags.namespace}/sa/${serviceAccount}`;
    context.print(`would ask ${flags.cp} for a certificate of ${identity}\n${lines.join("\n")}\n`);
    return exitCodes.ok;
  }
  const token = tokenOf(flags, context.env);
  const identity = { trustDomain: flags.trustDomain, namespace: flags.namespace, serviceAccount };
  using folders = prepareMachine(folder, flags.unitDir);
  const joining = { addresses, serverName: flags.cpName, identity, token };
  const rootPem = trust.kind === "file" ? trust.pem : await fetchRoot(joining, trust.fingerprint);
  const given = await fetchIdentity(joining, rootPem);
  try {
    writeJoined(folder, rootPem, given);
    writeAtomic(unitFile, unit, 0o644);
  } catch (cause) {
    throw unwritable(cause, "The token may be used up.");
  }
  folders.move();
  const { name } = flags;
  for (const trouble of unitTroubles(flags.user, [process.execPath, programOf(context)]))
    context.printError(`warning WF5066 ${trouble}\n`);
  context.print(
    `${name} has joined: ${folder}, ${unitFile}\nstart it with: systemctl daemon-reload && systemctl enable weft-${name} && systemctl restart weft-${name}\n`,
  );
  return exitCodes.ok;
};

const addressesOf = (text: string): readonly SocketAddress[] =>
  text.split(",").map((part) => {
    const address = parseAddress(part.trim());
    if (address) return address;
    throw wrong(`--cp "${part}" is not HOST:PORT`, "--cp 10.0.0.5:15012,10.0.0.6:15012");
  });

type Trust =
  | { readonly kind: "file"; readonly pem: string }
  | { readonly kind: "pinned"; readonly fingerprint: string };

const trustOf = ({ rootCert, rootFingerprint }: JoinFlags): Trust => {
  if ((rootCert === undefined) === (rootFingerprint === undefined))
    throw wrong("one of --root-cert and --root-fingerprint is needed", "weft token create shows the fingerprint");
  if (rootCert !== undefined) {
    const pem = readFileOr(rootCert, "--root-cert");
    if (pem.includes("-----BEGIN CERTIFICATE-----")) return { kind: "file", pem };
    throw wrong(
      `--root-cert ${rootCert} has no certificate in PEM`,
      "give root-cert.pem of the control plane's --data folder",
    );
  }
  const fingerprint = parseFingerprint(rootFingerprint ?? "");
  if (fingerprint !== undefined) return { kind: "pinned", fingerprint };
  throw wrong("--root-fingerprint is no SHA-256", "--root-fingerprint sha256:HEX, as weft token create shows it");
};

const readFileOr = (file: string, flag: string): string => {
  try {
    return readText(file);
  } catch (cause) {
    throw new WeftError("WF9046", `cannot read ${flag} ${file}: ${(cause as Error).message}`, {
      next: `give ${flag} FILE`,
      cause,
    });
  }
};

const tokenOf = ({ tokenFile }: JoinFlags, env: Context["env"]): string => {
  const text = tokenFile === undefined ? env.WEFT_JOIN_TOKEN : readFileOr(tokenFile, "--token-file");
  if (text !== undefined && text.trim() !== "") return text.trim();
  throw wrong(
    "there is no join token",
    "make one with weft token create, and give --token-file FILE or WEFT_JOIN_TOKEN",
  );
};

const programOf = ({ root }: Context): string => `${root}/packages/cli/src/bin/weft.ts`;

/** What the sidecar would refuse at its start, or systemd, is refused before the token is spent. */
const refuseWrong = ({ user, ip }: JoinFlags, words: readonly string[]): void => {
  if (!/^([a-z_][-a-z0-9_]{0,30}\$?|\d{1,10})$/.test(user)) throw wrong(`--user "${user}" is no user`, "--user weft");
  if (!isIPv4(ip) && !isIPv6(ip)) throw wrong(`--ip "${ip}" is not an IP address`, "--ip 10.0.1.7");
  parseSidecarFlags(words);
};

/** The sidecar's flags. */
const sidecarWords = (flags: JoinFlags, folder: string): readonly string[] => {
  const { name, namespace, serviceAccount = name } = flags;
  const files = joinedFiles(folder);
  return [
    ...["--cp", flags.cp, "--cp-name", flags.cpName, "--root-cert", files.root, "--data", files.data],
    ...["--name", name, "--namespace", namespace, "--service-account", serviceAccount],
    ...["--trust-domain", flags.trustDomain, "--ip", flags.ip, "--outbound", flags.outbound, "--admin", flags.admin],
    ...flags.inbound.flatMap((port) => ["--inbound", port]),
  ];
};

const sidecarUnit = (
  context: Context,
  { name, namespace, user }: JoinFlags,
  folder: string,
  words: readonly string[],
) =>
  unitOf({
    ...{ description: `weft sidecar of ${name}.${namespace}`, user, folder },
    words: [process.execPath, ...sidecarNodeFlags, programOf(context), "sidecar", ...words],
  });
