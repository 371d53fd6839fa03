/** The command line of `weft sidecar`. */
import { networkInterfaces } from "node:os";
import { isLoopback, parseAddress, type SocketAddress } from "@weft/core/address";
import { WeftError } from "@weft/core/error";
import { defaultNamespace } from "@weft/core/identity";
import type { LogLevel } from "@weft/core/world";
import { CommanderError, Command as Program } from "commander";
import type { InboundPort } from "../bootstrap/from-flags.ts";
import { cacheDiskBytesDefault, cacheDiskBytesMin, cacheTtlMsDefault } from "../discovery/cache/limits.ts";
import { demandedNamesMax } from "../on-demand/limits.ts";

export interface ProcessFlags {
  readonly concurrency: number;
  /** Bytes this process may use; the control group's limit where it is not given. */
  readonly memoryLimitBytes?: number | undefined;
  /** TLS handshakes that each worker begins in a second; what the node's metadata says, or the default, if not given. */
  readonly handshakesPerSecond?: number | undefined;
  readonly logLevel: LogLevel;
  readonly logFormat: "text" | "json";
  readonly drainTimeMs: number;
  readonly dataFolder: string | undefined;
  /** The sockets of the process that serves now are to be taken. */
  readonly takeover: boolean;
  /** Where this process offers its sockets, and takes those of the one before. */
  readonly takeoverSocket: string | undefined;
}

/** Bounds of the discovery cache. */
export interface CacheFlags {
  readonly cacheTtlMs: number;
  /** On-demand clusters, and virtual hosts, in memory. */
  readonly cacheEntries: number;
  readonly cacheDiskBytes: number;
}

export interface WorkloadFlags {
  readonly controlPlane: SocketAddress;
  /** Replicas of the same control plane, one as good as the other. */
  readonly otherControlPlanes: readonly SocketAddress[];
  readonly rootCertFile: string;
  readonly serverName: string | undefined;
  readonly tokenFile: string | undefined;
  readonly name: string;
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly trustDomain: string;
  readonly labels: ReadonlyMap<string, string>;
  readonly certFolder: string | undefined;
}

/** A WorkloadGroup of the namespace, and the API it is read and its members are registered by. */
export interface GroupFlags {
  readonly name: string;
  readonly api: string | undefined;
  readonly tokenFile: string | undefined;
}

export type SidecarFlags = ProcessFlags &
  CacheFlags &
  (
    | { readonly mode: "bootstrap"; readonly file: string }
    | ({
        readonly mode: "mesh";
        readonly gateway: boolean;
        readonly ip: string;
        readonly otherIps: readonly string[];
        readonly outbound: SocketAddress | undefined;
        readonly inbound: readonly InboundPort[];
        readonly admin: SocketAddress;
        readonly clusterId: string;
        readonly meshId: string;
        readonly interception: "NONE" | "REDIRECT" | "TPROXY";
        /** Where the mesh's names are answered; `undefined`: nowhere. */
        readonly dns: SocketAddress | undefined;
        /** Who knows more of the workload, and has its ports registered; `undefined`: nobody. */
        readonly group: GroupFlags | undefined;
        /** Node metadata of the environment, as Istio's injection gives it. */
        readonly metadata: ReadonlyMap<string, string>;
      } & WorkloadFlags)
  );

/** Help was printed, or the line cannot be followed: the process ends with this code. */
export interface FlagsExit {
  readonly exitCode: 0 | 2;
}

export type Options = Readonly<Record<string, string | boolean | readonly string[] | undefined>>;

const usage = (message: string, next?: string): WeftError =>
  new WeftError("WF9020", message, next === undefined ? {} : { next });

/** Runs a commander program over `argv` and reads its options; prints help and usage errors by itself. */
export const parseOptions = <T>(
  program: Program,
  argv: readonly string[],
  read: (options: Options) => T,
): T | FlagsExit => {
  program.exitOverride().allowExcessArguments(false).showHelpAfterError("(--help shows what it takes)");
  try {
    program.parse([...argv], { from: "user" });
    return read(program.opts() as Options);
  } catch (error) {
    if (error instanceof CommanderError) return { exitCode: error.exitCode === 0 ? 0 : 2 };
    throw error;
  }
};

const text = (options: Options, name: string): string | undefined => {
  const value = options[name];
  return typeof value === "string" && value !== "" ? value : undefined;
};

export const addressOf = (flag: string, value: string): SocketAddress => {
  const address = parseAddress(value);
  if (!address) throw usage(`${flag} "${value}" is not HOST:PORT`);
  return address;
};

const numberOf = (flag: string, value: string, min: number): number => {
  const number = Number(value);
  if (!Number.isFinite(number) || number < min) throw usage(`${flag} "${value}" is not a number from ${min}`);
  return number;
};

const handshakesOf = (value: string | undefined): number | undefined =>
  value === undefined ? undefined : numberOf("--handshakes-per-second", value, 1);

const units: ReadonlyMap<string, number> = new Map([
  ["", 1],
  ["k", 1000],
  ["m", 1000 ** 2],
  ["g", 1000 ** 3],
  ["ki", 1024],
  ["mi", 1024 ** 2],
  ["gi", 1024 ** 3],
]);

/** `256MiB`, `1G`, or bytes. */
const sizeOf = (flag: string, value: string | undefined): number | undefined => {
  if (value === undefined) return undefined;
  const match = /^(\d+)\s*([kmg]i?)?b?$/i.exec(value);
  const bytes = Number(match?.[1]) * (units.get((match?.[2] ?? "").toLowerCase()) ?? 0);
  if (!(bytes > 0)) throw usage(`${flag} "${value}" is not a size like 256MiB`);
  return bytes;
};

const levels: ReadonlyMap<string, LogLevel> = new Map([
  ["trace", "trace"],
  ["debug", "debug"],
  ["info", "info"],
  ["warning", "warn"],
  ["warn", "warn"],
  ["error", "error"],
  ["critical", "error"],
  ["off", "off"],
]);

/** `a=b,c=d`. */
export const labelsOf = (value: string): ReadonlyMap<string, string> =>
  new Map(
    value
      .split(",")
      .filter((part) => part !== "")
      .map((part): [string, string] => {
        const equals = part.indexOf("=");
        if (equals < 1) throw usage(`--labels "${part}" is not NAME=VALUE`);
        return [part.slice(0, equals), part.slice(equals + 1)];
      }),
  );

/** The addresses others can reach this machine at; link-local ones need a zone and are left out. */
const machineAddresses = (): readonly string[] =>
  Object.values(networkInterfaces())
    .flatMap((interfaces) => interfaces ?? [])
    .filter(({ internal, address }) => !internal && !address.toLowerCase().startsWith("fe80:"))
    .map(({ address }) => address);

/** `name:protocol:address:port:appPort`; an IPv6 address stands in brackets. */
export const inboundOf = (value: string): InboundPort => {
  const match = /^([^:]+):([^:]+):(?:\[([^\]]+)\]|([^:]+)):(\d{1,5}):(\d{1,5})$/.exec(value);
  const port = Number(match?.[5]);
  const appPort = Number(match?.[6]);
  if (!match || port > 65_535 || appPort > 65_535)
    throw usage(`--inbound "${value}" is not NAME:PROTOCOL:ADDRESS:PORT:APPPORT`);
  return { name: match[1] ?? "", protocol: match[2] ?? "", address: match[3] ?? match[4] ?? "", port, appPort };
};

/** Flags that say who the workload is and where its control plane is; shared with `weft agent`. */
export const addWorkloadOptions = (program: Program): Program =>
  program
    .option("--cp <addresses>", "control plane, its secure address; several of one mesh parted by commas")
    .option("--root-cert <file>", "root certificate the control plane is trusted by, PEM")
    .option("--cp-name <name>", "name in the control plane's certificate")
    .option("--token-file <file>", "join token for the first certificate")
    .option("--name <name>", "the workload's name")
    .option("-n, --namespace <namespace>", "its namespace", defaultNamespace)
    .option("--service-account <name>", "its identity (default: its name)")
    .option("--trust-domain <domain>", "trust domain of its identity", "cluster.local")
    .option("--labels <labels>", "its labels, such as app=web,version=v2", "")
    .option("--cert-dir <folder>", "also write key.pem, cert-chain.pem and root-cert.pem here");

export const addProcessOptions = (program: Program): Program =>
  program
    .option("--data <folder>", "where keys and the last good configuration are kept (0700)")
    .option("-l, --log-level <level>", "trace, debug, info, warning, error, critical, off", "info")
    .option("--log-format <format>", "text or json", "text");

export const readProcessOptions = (
  options: Options,
): Omit<ProcessFlags, "concurrency" | "drainTimeMs" | "takeover" | "takeoverSocket"> => {
  const logLevel = levels.get(text(options, "logLevel") ?? "info");
  if (!logLevel)
    throw usage(`--log-level "${text(options, "logLevel")}" is not one of ${[...levels.keys()].join(", ")}`);
  const logFormat = text(options, "logFormat") ?? "text";
  if (logFormat !== "text" && logFormat !== "json") throw usage(`--log-format "${logFormat}" is not text or json`);
  return { logLevel, logFormat, dataFolder: text(options, "data") };
};

const controlPlanesMax = 16;

/** `H:P[,H:P…]`. */
const controlPlanesOf = (value: string): Pick<WorkloadFlags, "controlPlane" | "otherControlPlanes"> => {
  const [controlPlane, ...otherControlPlanes] = value.split(",").map((part) => addressOf("--cp", part.trim()));
  if (!controlPlane || otherControlPlanes.length >= controlPlanesMax)
    throw usage(`--cp names more than ${controlPlanesMax} control planes`);
  return { controlPlane, otherControlPlanes };
};

export const readWorkloadOptions = (options: Options): WorkloadFlags => {
  const need = (name: string, flag: string): string => {
    const value = text(options, name);
    if (value === undefined) throw usage(`${flag} is needed with --cp`);
    return value;
  };
  const name = need("name", "--name");
  return {
    ...controlPlanesOf(need("cp", "--cp")),
    rootCertFile: need("rootCert", "--root-cert"),
    serverName: text(options, "cpName"),
    tokenFile: text(options, "tokenFile"),
    name,
    namespace: text(options, "namespace") ?? defaultNamespace,
    serviceAccount: text(options, "serviceAccount") ?? name,
    trustDomain: text(options, "trustDomain") ?? "cluster.local",
    labels: labelsOf(text(options, "labels") ?? ""),
    certFolder: text(options, "certDir"),
  };
};

/** The command line of `weft sidecar`. */
export const sidecarProgram = (): Program => {
  const program = new Program("weft sidecar")
    .description("Runs a sidecar in the foreground, from an Envoy bootstrap or from flags.")
    .option("-c, --bootstrap <file>", "Envoy bootstrap, YAML or JSON")
    .option("--concurrency <n>", "worker threads that serve; 0: one for each core", "1")
    .option("--memory-limit <size>", "memory it may use, such as 256MiB (default: its control group's limit)")
    .option("--handshakes-per-second <n>", "TLS handshakes that each worker begins in a second (default: 1000)")
    .option("--drain-time <seconds>", "how long running requests may take after SIGTERM or a takeover", "5")
    .option("--takeover", "take the listening sockets of the sidecar that runs; it then drains and ends")
    .option("--takeover-socket <path>", "where sockets are handed over (default: takeover.sock in the --data folder)")
    .option("--discovery-cache-ttl <seconds>", "what was fetched on demand leaves memory unused after so long", "300")
    .option(
      "--discovery-cache-entries <n>",
      `clusters, and virtual hosts, fetched on demand in memory (default: ${demandedNamesMax})`,
    )
    .option("--discovery-cache-disk <size>", "bytes of the discovery cache in the --data folder", "256MiB")
    .option("--gateway", "this is a gateway, not a workload's sidecar")
    .option("--ip <address>", "the workload's own address", "127.0.0.1")
    .option("--outbound <address>", "where the program dials the mesh (default: 127.0.0.1:15001)")
    .option(
      "--inbound <spec>",
      "NAME:PROTOCOL:ADDRESS:PORT:APPPORT; may be given several times",
      (value: string, all: string[]) => [...all, value],
      [] as string[],
    )
    .option("--group <name>", "WorkloadGroup it is of: its labels, identity, ports and probe; it is registered")
    .option("--api <addresses>", "with --group: HTTP API of the control plane (default: this machine's)")
    .option("--api-token-file <file>", "with --group: token for that API")
    .option("--admin <address>", "admin interface", "127.0.0.1:15000")
    .option("--dns [address]", "answer DNS for the mesh's names on loopback (127.0.0.1:15053 unless given)")
    .option("--interception <mode>", "NONE, REDIRECT or TPROXY", "NONE")
    .option("--cluster-id <id>", "the cluster this workload is in", "Kubernetes")
    .option("--mesh-id <id>", "the mesh this workload is in", "cluster.local");
  return addProcessOptions(addWorkloadOptions(program));
};

const takeoverSocketOf = (options: Options): string | undefined => {
  const folder = text(options, "data");
  const path = text(options, "takeoverSocket") ?? (folder === undefined ? undefined : `${folder}/takeover.sock`);
  if (path === undefined && options.takeover === true)
    throw usage("--takeover needs --data or --takeover-socket, the same as the sidecar that runs");
  return path;
};

const readCache = (options: Options): CacheFlags => {
  const bytes = sizeOf("--discovery-cache-disk", text(options, "discoveryCacheDisk")) ?? cacheDiskBytesDefault;
  if (bytes < cacheDiskBytesMin) throw usage(`--discovery-cache-disk is less than ${cacheDiskBytesMin} bytes`);
  const numbered = (name: string, flag: string, fallback: number): number => {
    const value = text(options, name);
    return value === undefined ? fallback : numberOf(flag, value, 1);
  };
  return {
    cacheTtlMs: numbered("discoveryCacheTtl", "--discovery-cache-ttl", cacheTtlMsDefault / 1000) * 1000,
    cacheEntries: numbered("discoveryCacheEntries", "--discovery-cache-entries", demandedNamesMax),
    cacheDiskBytes: bytes,
  };
};

const readSidecar = (options: Options): SidecarFlags => {
  const common: ProcessFlags & CacheFlags = {
    ...readCache(options),
    ...readProcessOptions(options),
    concurrency: numberOf("--concurrency", text(options, "concurrency") ?? "1", 0),
    memoryLimitBytes: sizeOf("--memory-limit", text(options, "memoryLimit")),
    handshakesPerSecond: handshakesOf(text(options, "handshakesPerSecond")),
    drainTimeMs: numberOf("--drain-time", text(options, "drainTime") ?? "5", 0) * 1000,
    takeover: options.takeover === true,
    takeoverSocket: takeoverSocketOf(options),
  };
  const file = text(options, "bootstrap");
  const cp = text(options, "cp");
  if (file !== undefined && cp !== undefined) throw usage("--bootstrap and --cp exclude each other");
  if (file !== undefined) return { ...common, mode: "bootstrap", file };
  if (cp === undefined) throw usage("--bootstrap FILE or --cp ADDRESS is needed", "weft sidecar --help");
  const interception = text(options, "interception");
  if (interception !== "NONE" && interception !== "REDIRECT" && interception !== "TPROXY")
    throw usage(`--interception "${interception}" is not NONE, REDIRECT or TPROXY`);
  const gateway = options.gateway === true;
  const outbound = text(options, "outbound") ?? (gateway ? undefined : "127.0.0.1:15001");
  return {
    ...common,
    mode: "mesh",
    ...readWorkloadOptions(options),
    gateway,
    ip: text(options, "ip") ?? "127.0.0.1",
    otherIps: interception === "NONE" ? [] : machineAddresses(),
    outbound: outbound === undefined ? undefined : addressOf("--outbound", outbound),
    inbound: ((options.inbound ?? []) as readonly string[]).map(inboundOf),
    admin: addressOf("--admin", text(options, "admin") ?? "127.0.0.1:15000"),
    clusterId: text(options, "clusterId") ?? "Kubernetes",
    meshId: text(options, "meshId") ?? "cluster.local",
    interception,
    dns: dnsOf(options.dns ?? (process.env.ISTIO_META_DNS_CAPTURE === "true" ? true : undefined)),
    group: groupOf(options),
    metadata: metadataOf(process.env),
  };
};

const groupOf = (options: Options): GroupFlags | undefined => {
  const name = text(options, "group");
  if (name === undefined) return undefined;
  if (options.gateway === true) throw usage("--group is for workloads, not with --gateway");
  return { name, api: text(options, "api"), tokenFile: text(options, "apiTokenFile") };
};

const metadataPrefix = "ISTIO_META_";
/** More are not sent: they go with every stream to the control plane. */
const metadataMax = 64;
const metadataTextMax = 1024;

/** `ISTIO_META_X=text` is the node's metadata `X`; `NAME` is the flag's alone. */
export const metadataOf = (env: Readonly<Record<string, string | undefined>>): ReadonlyMap<string, string> =>
  new Map(
    Object.entries(env)
      .filter((entry): entry is [string, string] => entry[1] !== undefined && entry[0].startsWith(metadataPrefix))
      .filter(([name, text]) => name !== `${metadataPrefix}NAME` && text.length <= metadataTextMax)
      .slice(0, metadataMax)
      .map(([name, text]) => [name.slice(metadataPrefix.length), text]),
  );

const dnsDefault = "127.0.0.1:15053";

/** Answered elsewhere, anybody could have answers sent to anybody. */
const dnsOf = (value: Options[string]): SocketAddress | undefined => {
  if (value !== true && typeof value !== "string") return undefined;
  const written = value === true ? dnsDefault : value;
  const address = addressOf("--dns", written.replace(/^localhost:/, "127.0.0.1:"));
  if (!isLoopback(address.host))
    throw new WeftError("WF3112", `--dns ${written}: DNS is answered on loopback only`, {
      next: `--dns ${dnsDefault}`,
    });
  return address;
};

/** Throws WF9020 for values that make no sense together. */
export const parseSidecarFlags = (argv: readonly string[]): SidecarFlags | FlagsExit =>
  parseOptions(sidecarProgram(), argv, readSidecar);
