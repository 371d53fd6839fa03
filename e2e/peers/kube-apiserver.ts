/**
 * The real Kubernetes API server, built once from its Go module into the user's cache; some minutes the first time.
 *
 *   const path = buildKubeApiServer();   // the program's path; at once when it is there
 *
 * Two who call it at the same time build it once. It needs Go and a Go module proxy; run this file to build it alone.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

export const kubernetesVersion = "1.36.3";

/** The staging modules have the same version with a zero in front. */
const stagingVersion = kubernetesVersion.replace(/^1\./, "0.");

export const peersFolder = (): string => join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "weft-peers");

/** The program's path; builds it where it is missing. Throws WF9052 when that fails. */
export const buildKubeApiServer = (): string => {
  const folder = join(peersFolder(), `kube-apiserver-${kubernetesVersion}`);
  const program = join(folder, "kube-apiserver");
  if (existsSync(program)) return program;
  process.stdout.write(`building kube-apiserver ${kubernetesVersion} (some minutes, once)\n`);
  const source = join(folder, "source");
  mkdirSync(source, { recursive: true });
  writeFileSync(join(source, "main.go"), mainGo);
  writeFileSync(join(source, "go.mod"), goMod(stagingModules(source)));
  const build = `test -x ${quoted(program)} || { nice go build -mod=mod -trimpath -gcflags=all=-dwarf=false -ldflags='-s -w' \
-o ${quoted(`${program}.new`)} . && mv ${quoted(`${program}.new`)} ${quoted(program)}; }`;
  // Who comes second waits for the lock and finds it built.
  run("flock", [join(folder, "lock"), "sh", "-c", build], source);
  return program;
};

const mainGo = `package main

import (
	"os"

	"k8s.io/component-base/cli"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
)

func main() { os.Exit(cli.Run(app.NewAPIServerCommand())) }
`;

/** Modules that live in Kubernetes' own repository, which its go.mod replaces by folders a module does not carry. */
const stagingModules = (source: string): readonly string[] => {
  const answer = run("go", ["mod", "download", "-json", `k8s.io/kubernetes@v${kubernetesVersion}`], source, bare);
  const { GoMod } = JSON.parse(answer) as { readonly GoMod: string };
  return [...readFileSync(GoMod, "utf8").matchAll(/^\s(k8s\.io\/\S+) => \.\/staging/gm)].map(([, name = ""]) => name);
};

const goMod = (staging: readonly string[]): string => `module weftpeer

go 1.26.0

godebug default=go1.26

require k8s.io/kubernetes v${kubernetesVersion}

replace (
${staging.map((name) => `\t${name} => ${name} v${stagingVersion}`).join("\n")}
)
`;

/** A download by name needs no module around it. */
const bare = { GO111MODULE: "on", GOWORK: "off", GOFLAGS: "-mod=mod" };

const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

const run = (command: string, args: readonly string[], cwd: string, env: Record<string, string> = {}): string => {
  const { status, stdout, stderr, error } = spawnSync(command, [...args], {
    cwd,
    env: { ...process.env, ...env },
    encoding: "utf8",
    maxBuffer: 64 * 1024 * 1024,
  });
  if (status === 0) return stdout;
  const said = (stderr ?? "").split("\n").filter((line) => !line.startsWith("go: downloading"));
  throw new Error(`WF9052 kube-apiserver could not be built: ${error?.message ?? said.slice(-20).join("\n")}`);
};

if (import.meta.main) process.stdout.write(`${buildKubeApiServer()}\n`);
