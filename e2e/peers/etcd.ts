/**
 * A newer etcd than Debian's, built once from its Go module into the user's cache; about a minute the first time. An API
 * server tells lists as streams only with one that says how far a watch is.
 *
 *   const path = buildEtcd();   // the program's path; at once when it is there
 *
 * Two who call it at the same time build it once. It needs Go and a Go module proxy; run this file to build it alone.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { peersFolder } from "./kube-apiserver.ts";

/** The one Kubernetes 1.36 is tested with. */
export const etcdVersion = "3.6.8";

/** The program's path; builds it where it is missing. Throws WF9052 when that fails. */
export const buildEtcd = (): string => {
  const folder = join(peersFolder(), `etcd-${etcdVersion}`);
  const program = join(folder, "etcd");
  if (existsSync(program)) return program;
  process.stdout.write(`building etcd ${etcdVersion} (about a minute, once)\n`);
  const source = join(folder, "source");
  mkdirSync(source, { recursive: true });
  writeFileSync(join(source, "main.go"), mainGo);
  writeFileSync(join(source, "go.mod"), goMod);
  const build = `test -x ../etcd || { nice go build -mod=mod -trimpath -gcflags=all=-dwarf=false -ldflags='-s -w' \
-o ../etcd.new . && mv ../etcd.new ../etcd; }`;
  // Who comes second waits for the lock and finds it built.
  const made = spawnSync("flock", [join(folder, "lock"), "sh", "-c", build], { cwd: source, encoding: "utf8" });
  if (made.status === 0) return program;
  const said = (made.stderr ?? "").split("\n").filter((line) => !line.startsWith("go: downloading"));
  throw new Error(`WF9052 etcd could not be built: ${made.error?.message ?? said.slice(-20).join("\n")}`);
};

const mainGo = `package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() { etcdmain.Main(os.Args) }
`;

const goMod = `module weftpeer

go 1.26.0

require go.etcd.io/etcd/server/v3 v${etcdVersion}
`;

if (import.meta.main) process.stdout.write(`${buildEtcd()}\n`);
