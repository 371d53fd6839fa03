/**
 * The real Consul, built once from its Go module into the user's cache; some minutes the first time.
 *
 *   const path = buildConsul();   // the program's path; at once when it is there
 *
 * Only `consul agent` is built, with a newer golang.org/x/sys than Consul names, which does not build with a Go of today.
 * Two who call it at the same time build it once. It needs Go and a Go module proxy; run this file to build it alone.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { peersFolder } from "./kube-apiserver.ts";

export const consulVersion = "1.12.9";

/** The program's path; builds it where it is missing. Throws WF9052 when that fails. */
export const buildConsul = (): string => {
  const folder = join(peersFolder(), `consul-${consulVersion}`);
  const program = join(folder, "consul-agent");
  if (existsSync(program)) return program;
  process.stdout.write(`building consul ${consulVersion} (some minutes, once)\n`);
  const source = join(folder, "source");
  mkdirSync(source, { recursive: true });
  writeFileSync(join(source, "main.go"), mainGo);
  writeFileSync(join(source, "go.mod"), goMod);
  const build =
    'test -x "$1" || { nice go build -mod=mod -trimpath -ldflags="-s -w" -o "$1.new" . && mv "$1.new" "$1"; }';
  // Who comes second waits for the lock and finds it built.
  const { status, stderr, error } = spawnSync("flock", [join(folder, "lock"), "sh", "-c", build, "sh", program], {
    cwd: source,
    encoding: "utf8",
    maxBuffer: 64 * 1024 * 1024,
  });
  if (status === 0) return program;
  const said = error?.message ?? (stderr ?? "").split("\n").slice(-20).join("\n");
  throw new Error(`WF9052 consul could not be built: ${said}`);
};

const mainGo = `package main

import (
	"os"

	"github.com/hashicorp/consul/command/agent"
	"github.com/hashicorp/consul/command/cli"
	"github.com/hashicorp/consul/lib"
	mcli "github.com/mitchellh/cli"
)

func main() {
	lib.SeedMathRand()
	ui := &cli.BasicUI{BasicUi: mcli.BasicUi{Writer: os.Stdout, ErrorWriter: os.Stderr}}
	os.Exit(agent.New(ui).Run(os.Args[1:]))
}
`;

const goMod = `module weftpeer

go 1.22

require (
	github.com/hashicorp/consul v${consulVersion}
	github.com/mitchellh/cli v1.1.0
	golang.org/x/sys v0.30.0
)

replace launchpad.net/gocheck => github.com/go-check/check v0.0.0-20140225173054-eb6ee6f84d0a

replace istio.io/gogo-genproto => github.com/istio/gogo-genproto v0.0.0-20190124151557-6d926a6e6feb
`;

if (import.meta.main) process.stdout.write(`${buildConsul()}\n`);
