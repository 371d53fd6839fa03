/**
 * The public judges of HTTP/2 and gRPC: h2spec and gRPC's interop programs through the Go module proxy, the HPACK test
 * stories from the Debian source package that carries them. Each is fetched once, into .cache/.
 */
import { spawnSync } from "node:child_process";
import { existsSync, globSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const cache = join(import.meta.dirname, "../.cache");
const bin = join(cache, "bin");

const run = (command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}, cwd = cache): void => {
  mkdirSync(cwd, { recursive: true });
  const done = spawnSync(command, [...args], { cwd, encoding: "utf8", env: { ...process.env, ...env } });
  if (done.status !== 0) throw new Error(`${command} ${args.join(" ")}: ${done.stderr?.trim() || done.error?.message}`);
};

const goInstall = (module: string, program: string): string => {
  const path = join(bin, program);
  if (existsSync(path)) return path;
  const folder = mkdtempSync(join(cache, "go-"));
  run("go", ["install", module], { GOBIN: folder, GOFLAGS: "-mod=mod" }, folder);
  mkdirSync(bin, { recursive: true });
  const [built = ""] = globSync(join(folder, "*"));
  run("mv", [built, path]);
  rmSync(folder, { recursive: true });
  return path;
};

/** Its later releases are no valid Go module versions; this one has the same 146 cases. */
export const h2specPath = (): string =>
  goInstall("github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible", "h2spec");

/** gRPC-Go's own programs for the interop cases. */
export const grpcGoClient = (): string => goInstall("google.golang.org/grpc/interop/client@v1.85.0", "grpc-go-client");
export const grpcGoServer = (): string => goInstall("google.golang.org/grpc/interop/server@v1.85.0", "grpc-go-server");

const storiesVersion = "3.0.3";

/** The folder of http2jp's hpack-test-case, one folder in it for each encoder. */
export const hpackStories = (): string => {
  const folder = join(cache, `http2-${storiesVersion}/test-hpack/hpack-test-case`);
  if (existsSync(folder)) return folder;
  const scratch = join(cache, "apt-source");
  mkdirSync(join(scratch, "lists/partial"), { recursive: true });
  const sources = join(scratch, "sources.list");
  writeFileSync(
    sources,
    "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian bookworm main\n",
  );
  const options = [
    ["Dir::Etc::sourcelist", sources],
    ["Dir::Etc::sourceparts", "/dev/null"],
    ["Dir::State::lists", join(scratch, "lists")],
  ].flatMap(([name, value]) => ["-o", `${name}=${value}`]);
  run("apt-get", [...options, "-q", "update"]);
  run("apt-get", [...options, "-q", "source", "--download-only", "haskell-http2"], {}, scratch);
  const [archive = ""] = globSync(join(scratch, `haskell-http2_${storiesVersion}*.orig.tar.gz`));
  run("tar", ["xzf", archive, "-C", cache, `http2-${storiesVersion}/test-hpack`]);
  rmSync(scratch, { recursive: true });
  return folder;
};
