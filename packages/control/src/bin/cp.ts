/** `weft cp`: reads its flags, opens the control plane, and serves until told to stop. */
import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import { join, resolve } from "node:path";
import { formatAddress, parseAddress, type SocketAddress } from "@weft/core/address";
import { parseGoDuration } from "@weft/core/duration";
import { formatError, WeftError } from "@weft/core/error";
import { defaultRootNamespace, defaultTrustDomain } from "@weft/core/identity";
import type { Logger, LogLevel } from "@weft/core/world";
import { realClock, setRealTimer } from "@weft/net/clock";
import { createLogger, logLevels } from "@weft/net/logger";
import { meshStateFolder, publishMeshContext, readMeshContext } from "@weft/net/mesh-context";
import { Command, CommanderError } from "commander";
import { type ControlPlane, openControlPlane } from "../control-plane.ts";
import { onDemandAboveDefault } from "../generate/on-demand.ts";
import { parseEtcdUrl } from "../registries/etcd/etcd-driver.ts";
import { folderUsage, isFolderUrl, nameFolders } from "../registries/files/folder-url.ts";
import { isKubernetesUrl, kubernetesUsage, nameClusters } from "../registries/kubernetes/kubernetes-url.ts";
import {
  credentialFiles,
  type FindCredentials,
  nameRegistries,
  parseCredentials,
} from "../registries/outside/named-registries.ts";
import { nameTargets } from "../registries/outside/named-targets.ts";
import { registryDrivers } from "../registries/outside/registry-drivers.ts";
import { parseRegistryUrl, type RegistryUrl } from "../registries/outside/registry-url.ts";
import { readStoreKey, type SharedStoreSettings } from "../storage.ts";
import { version } from "../version.ts";
import { addKubernetesFlags, type KubernetesFlags, kubernetesPlace } from "./kubernetes-flags.ts";

interface Flags extends KubernetesFlags {
  readonly config?: string;
  readonly data: string;
  readonly store?: string;
  readonly storeKey?: string;
  readonly storeCredentials?: string;
  readonly registry: readonly string[];
  readonly registryCredentials: readonly string[];
  readonly registerInto: readonly string[];
  readonly xdsAddress: string;
  readonly secureAddress: string;
  readonly httpAddress: string;
  readonly monitoringAddress: string;
  readonly httpHost: readonly string[];
  readonly maxConnectionAge?: string;
  readonly onDemandAbove: string;
  readonly trustDomain: string;
  readonly rootNamespace: string;
  readonly logLevel: string;
  readonly logFormat: string;
}

const usageCode = 2;
const usageCodes: ReadonlySet<string> = new Set(["WF9020", "WF2101", "WF2102", "WF2103", "WF2151", "WF2200", "WF2203"]);
const stopTimeoutMs = 8_000;
const awakeMs = 60_000;

/** Runs until SIGTERM or SIGINT; gives 0 then, 1 when it could not start, 2 for wrong flags. */
export const runControlPlane = async (argv: readonly string[]): Promise<number> => {
  let flags: Flags;
  try {
    const program = describeFlags();
    program.parse([...argv], { from: "user" });
    flags = program.opts<Flags>();
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : usageCode;
    throw error;
  }
  try {
    await serve(flags);
    return 0;
  } catch (error) {
    process.stderr.write(`${formatError(error)}\n`);
    return error instanceof WeftError && usageCodes.has(error.code) ? usageCode : 1;
  }
};

const writableDrivers = registryDrivers.filter(({ write }) => write);

/** The command line of `weft cp`. */
export const describeFlags = (): Command => addKubernetesFlags(describeOwnFlags());

const describeOwnFlags = (): Command =>
  new Command("weft cp")
    .description("Run a control plane in the foreground.")
    .version(version)
    .exitOverride()
    .allowExcessArguments(false)
    .option("--config <folder>", "folder (or file) of YAML or JSON configuration, watched for changes")
    .option("--data <folder>", "folder for what must survive a restart: registry, CA, tokens", "weft-data")
    .option(
      "--store <url>",
      "what control planes of one mesh share: etcd://HOST:PORT[,HOST:PORT]/PREFIX (default: nothing, all is in --data)",
    )
    .option("--store-key <file>", "secret that seals keys and tokens in the shared store, the same for every replica")
    .option("--store-credentials <file>", "file with USER:PASSWORD for the shared store")
    .option(
      "--registry <url>",
      `a registry to read services from: ${[...registryDrivers.map(({ usage }) => usage), kubernetesUsage, folderUsage, "embedded:"].join(", ")}; repeatable`,
      collect,
      [],
    )
    .option(
      "--registry-credentials <name=file>",
      "file with USER:PASSWORD for the registry of that name; repeatable",
      collect,
      [],
    )
    .option(
      "--register-into <url>",
      `a registry to write what registers here into: ${writableDrivers.map(({ usage }) => usage).join(", ")}; repeatable`,
      collect,
      [],
    )
    .option("--xds-address <H:P>", "xDS without TLS, for this machine", "127.0.0.1:15010")
    .option("--secure-address <H:P>", "xDS and certificates over TLS", "127.0.0.1:15012")
    .option("--http-address <H:P>", "HTTP API", "127.0.0.1:8080")
    .option("--monitoring-address <H:P>", "metrics", "127.0.0.1:15014")
    .option("--http-host <name>", "another name the HTTP API is reached by; repeatable", collect, [])
    .option(
      "--max-connection-age <duration>",
      "xDS connections this old, ±20 %, are asked to come again; never if absent",
    )
    .option(
      "--on-demand-above <services>",
      "with more services than this, weft's sidecars are given only those they use; 0: always, off: never",
      String(onDemandAboveDefault),
    )
    .option("--trust-domain <name>", "trust domain of all identities", defaultTrustDomain)
    .option("--root-namespace <name>", "where mesh-wide policies live", defaultRootNamespace)
    .option("--log-level <level>", logLevels.join(", "), "info")
    .option("--log-format <format>", "text or json", "text");

const collect = (value: string, before: readonly string[]): readonly string[] => [...before, value];

const serve = async (flags: Flags): Promise<void> => {
  const level = logLevels.find((known) => known === flags.logLevel);
  if (!level) throw usage("--log-level", flags.logLevel, logLevels.join(", "));
  if (flags.logFormat !== "text" && flags.logFormat !== "json")
    throw usage("--log-format", flags.logFormat, "text, json");
  const log = createLogger({
    level: level as LogLevel,
    format: flags.logFormat,
    wallMs: realClock.wallMs,
    write: (line) => process.stderr.write(line),
  });
  const files = credentialFiles(flags.registryCredentials);
  const targets = nameTargets(flags.registerInto, files, registryDrivers, findCredentials);
  const others = targets.map(({ name }) => name);
  const registries = nameRegistries(
    {
      urls: flags.registry.filter((url) => !isKubernetesUrl(url) && !isFolderUrl(url)),
      credentials: flags.registryCredentials,
      others,
    },
    registryDrivers,
    findCredentials,
  );
  const clusters = nameClusters(flags.registry.filter(isKubernetesUrl), {
    environment: process.env,
    wallMs: realClock.wallMs,
  });
  const otherNames = [...registries, ...clusters].map(({ name }) => name);
  const folders = nameFolders(flags.registry.filter(isFolderUrl), otherNames);
  const store = sharedStoreIn(flags);
  const stopped = stopSignal();
  const open = (): Promise<ControlPlane> =>
    openControlPlane({
      configFolder: flags.config === undefined ? undefined : resolve(flags.config),
      dataFolder: resolve(flags.data),
      ...(store ? { store } : {}),
      registries,
      clusters,
      folders,
      kubernetes: kubernetesPlace(flags, clusters, {
        rootNamespace: flags.rootNamespace,
        webhook: flags.webhookAddress === undefined ? undefined : addressOf("--webhook-address", flags.webhookAddress),
      }),
      targets,
      xds: addressOf("--xds-address", flags.xdsAddress),
      secure: addressOf("--secure-address", flags.secureAddress),
      http: addressOf("--http-address", flags.httpAddress),
      monitoring: addressOf("--monitoring-address", flags.monitoringAddress),
      hosts: [hostname(), ...flags.httpHost],
      ...(flags.maxConnectionAge === undefined ? {} : { connectionAgeMaxMs: ageOf(flags.maxConnectionAge) }),
      onDemandAbove: servicesOf(flags.onDemandAbove),
      trustDomain: flags.trustDomain,
      rootNamespace: flags.rootNamespace,
      clock: realClock,
      setTimer: setRealTimer,
      random: Math.random,
      log,
    });
  const plane = await keptAwake(open);
  const { xds, secure, http, monitoring, webhook } = plane;
  const addresses = { xds, secure, http, monitoring, ...(webhook ? { webhook } : {}) };
  const parts = Object.entries(addresses).map(([name, at]) => `${name}=${formatAddress(at)}`);
  using _published = publish(plane, resolve(flags.data), log);
  process.stdout.write(`ready ${parts.join(" ")}\n`);
  await stopped;
  log.info("stopping");
  const force = setTimeout(() => process.exit(1), stopTimeoutMs);
  await plane[Symbol.asyncDispose]();
  clearTimeout(force);
};

/** Timers alone do not keep a process alive, and while a store or a registry is waited for there is nothing else. */
const keptAwake = async <T>(run: () => Promise<T>): Promise<T> => {
  const awake = setInterval(() => {}, awakeMs);
  try {
    return await run();
  } finally {
    clearInterval(awake);
  }
};

const sharedStoreIn = ({ store, storeKey, storeCredentials: file }: Flags): SharedStoreSettings | undefined => {
  if (store === undefined) return undefined;
  const url = parseStoreUrl(store);
  const read = file === undefined ? undefined : () => parseCredentials(readCredentials(file), file);
  read?.();
  return { etcd: parseEtcdUrl(url, read), key: readStoreKey(storeKey) };
};

const parseStoreUrl = (text: string): RegistryUrl => {
  const url = parseRegistryUrl(text);
  if (url.scheme === "etcd") return url;
  throw new WeftError("WF2200", `--store ${url.scheme}: is not a store that control planes can share`, {
    next: "give etcd://HOST:PORT[,HOST:PORT]/PREFIX",
  });
};

/** A file named by flag, read anew each time; else `WEFT_REGISTRY_CREDENTIALS_NAME` of the environment. */
const findCredentials: FindCredentials = (name, file) => {
  if (file !== undefined) {
    const read = () => parseCredentials(readCredentials(file), file);
    read();
    return read;
  }
  const variable = `WEFT_REGISTRY_CREDENTIALS_${name.toUpperCase().replaceAll("-", "_")}`;
  const text = process.env[variable];
  if (text === undefined) return undefined;
  const credentials = parseCredentials(text, variable);
  return () => credentials;
};

const readCredentials = (file: string): string => {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const why = code === "ENOENT" ? "there is no such file" : (error as Error).message;
    throw new WeftError("WF2103", `${file} cannot be read: ${why}`, { next: "write one line USER:PASSWORD to it" });
  }
};

/** Lets commands of the same user find this mesh without flags, unless one is published already. */
const publish = (plane: Addresses, dataFolder: string, log: Logger): Disposable | undefined => {
  const folder = meshStateFolder(process.env);
  if (readMeshContext(folder) !== undefined) return undefined;
  const published = publishMeshContext(folder, {
    http: formatAddress(fromHere(plane.http)),
    secure: formatAddress(fromHere(plane.secure)),
    xds: formatAddress(fromHere(plane.xds)),
    monitoring: formatAddress(fromHere(plane.monitoring)),
    rootCertFile: join(dataFolder, "root-cert.pem"),
    adminTokenFile: join(dataFolder, "admin-token"),
    joinTokenFile: join(dataFolder, "join-token"),
    pid: process.pid,
    startedAt: new Date().toISOString(),
  });
  if (!published) log.warn("others can write to the folder, so commands need --cp to find this mesh", { folder });
  return published;
};

/** How a command on this machine reaches an address that may mean all of them. */
const fromHere = ({ host, port }: SocketAddress): SocketAddress => {
  if (host === "0.0.0.0") return { host: "127.0.0.1", port };
  return host === "::" ? { host: "::1", port } : { host, port };
};

type Addresses = Readonly<Record<"http" | "secure" | "xds" | "monitoring", SocketAddress>>;

const stopSignal = (): Promise<void> =>
  new Promise((resolve) => {
    process.once("SIGTERM", () => resolve());
    process.once("SIGINT", () => resolve());
  });

const addressOf = (flag: string, text: string): SocketAddress => {
  const address = parseAddress(text);
  if (!address) throw usage(flag, text, "HOST:PORT, such as 127.0.0.1:0");
  return address;
};

const ageMinMs = 1_000;
/** Timers take 24.8 days, and an age may get 20 % more. */
const ageMaxMs = 20 * 24 * 3_600_000;

const servicesOf = (text: string): number => {
  if (text === "off") return Number.POSITIVE_INFINITY;
  if (!/^\d{1,9}$/.test(text)) throw usage("--on-demand-above", text, "a number of services, or off");
  return Number(text);
};

const ageOf = (text: string): number => {
  const ms = parseGoDuration(text);
  if (ms === undefined || ms < ageMinMs || ms > ageMaxMs)
    throw usage("--max-connection-age", text, "a duration from 1s to 480h, such as 30m");
  return ms;
};

const usage = (flag: string, given: string, accepted: string): WeftError =>
  new WeftError("WF9020", `${flag} is "${given}"`, { next: `give ${accepted}` });
