/**
 * `node e2e/leak/main.ts [--requests N] [--rounds N]`: requests of every kind through one sidecar, a part of them cut,
 * reset, late or failed, and what the sidecar holds at rest after each round. Ends with 1 where that grows.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { findFreePort } from "@weft/net/process/free-port";
import { eventually } from "@weft/testkit/eventually";
import { callHttp } from "@weft/testkit/http-call";
import { type Program, startProgram, weftEntry } from "@weft/testkit/processes";
import { type LeakPorts, leakBootstrap } from "./bootstrap.ts";
import { misbehave, startRudeApp } from "./chaos.ts";
import { findGrowth, type Sample, slopePerMillion, takeSample } from "./samples.ts";

const { values } = parseArgs({
  options: {
    requests: { type: "string", default: "10000000" },
    rounds: { type: "string", default: "20" },
  },
});
const requestsWanted = Number(values.requests);
const rounds = Number(values.rounds);
if (!(requestsWanted >= 1000 && rounds >= 3)) {
  process.stderr.write("WF9070 --requests takes a number from 1000 on, --rounds one from 3 on\n");
  process.exit(2);
}

await using stack = new AsyncDisposableStack();
const folder = mkdtempSync(join(tmpdir(), "weft-leak-"));
stack.defer(() => rmSync(folder, { recursive: true, force: true }));

const startNginx = async (name: string, port: number, http2: boolean): Promise<void> => {
  const here = join(folder, name);
  mkdirSync(here);
  const file = join(here, "nginx.conf");
  const paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((kind) => `${kind}_temp_path ${here}/${kind};`)
    .join(" ");
  writeFileSync(
    file,
    `daemon off; master_process off; worker_processes 1; pid ${here}/pid; error_log ${here}/error.log crit;
events { worker_connections 8192; }
http { access_log off; keepalive_requests 100000000; ${paths}
server { listen 127.0.0.1:${port}${http2 ? " http2" : ""}; location / { return 200 "Hello, mesh!\\n"; } } }\n`,
  );
  stack.use(startProgram("nginx", ["-p", here, "-c", file]));
  await eventually(`${name} listens`, async () => {
    if (http2) return true;
    return (await callHttp(`127.0.0.1:${port}`)).status === 200 ? true : undefined;
  });
};

const rude = stack.use(await startRudeApp());
const port = (): Promise<number> => findFreePort("127.0.0.1", 0);
const ports: LeakPorts = {
  admin: await port(),
  plain: await port(),
  tls: await port(),
  tcp: await port(),
  nginx: await port(),
  nginxHttp2: await port(),
  rude: rude.port,
};
await startNginx("nginx", ports.nginx, false);
await startNginx("nginx-http2", ports.nginxHttp2, true);
const file = join(folder, "bootstrap.json");
writeFileSync(file, JSON.stringify(leakBootstrap(ports)));
const sidecar: Program = stack.use(
  startProgram(process.execPath, [
    "--disable-warning=ExperimentalWarning",
    // As the launcher starts it.
    "--max-semi-space-size=2",
    ...["--import", join(import.meta.dirname, "probe.ts")],
    ...[weftEntry, "sidecar", "--bootstrap", file],
  ]),
);
await sidecar.waitFor(/\bready\b/);

/** One h2load to its end; returns how many of its requests did not succeed. */
const load = async (requests: number, ...args: readonly string[]): Promise<number> => {
  const child = spawn("h2load", ["-t1", `-n${requests}`, ...args], { stdio: ["ignore", "pipe", "ignore"] });
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (part: string) => {
    text += part;
  });
  await once(child, "exit");
  return requests - Number(/(\d+) succeeded/.exec(text)?.[1] ?? 0);
};

/** What a round is made of: its share in hundredths, and who sends it. */
const plain = `http://127.0.0.1:${ports.plain}`;
const shares: readonly (readonly [share: number, args: readonly string[]])[] = [
  [30, ["--h1", "-c64", `${plain}/`]],
  [20, ["-c8", "-m16", `${plain}/h2`]],
  [10, ["-c64", "-m1", `${plain}/`]],
  [5, ["--h1", "-c32", `${plain}/h2`]],
  [15, ["-c8", "-m16", `https://127.0.0.1:${ports.tls}/h2`]],
  [7, ["--h1", "-c32", `https://127.0.0.1:${ports.tls}/`]],
  [8, ["--h1", "-c32", `http://127.0.0.1:${ports.tcp}/`]],
];
const chaosShare = 5;

/** Waits until no connection stands but the one that asks. */
const rest = (): Promise<unknown> =>
  eventually(
    "connections end",
    async () => {
      const { body } = await callHttp(`127.0.0.1:${ports.admin}`, { path: "/stats?filter=(cx|rq)_active$" });
      const sum = [...body.matchAll(/^(?:cluster|tcp|http\.(?:plain|tls))\..*: (\d+)$/gm)].reduce(
        (all, [, n]) => all + Number(n),
        0,
      );
      return sum === 0 ? true : undefined;
    },
    60_000,
  );

const samples: Sample[] = [];
let requests = 0;
let failed = 0;
const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1);
const take = async (): Promise<void> => {
  await rest();
  const sample = await takeSample(sidecar, samples.length + 1, requests);
  samples.push(sample);
  const { openFiles, heapBytes, externalBytes, residentBytes, handles } = sample;
  const memory = `heap ${megabytes(heapBytes)} MB, buffers ${megabytes(externalBytes)} MB, resident ${megabytes(residentBytes)} MB`;
  process.stdout.write(
    `${requests} requests, ${failed} failed: ${openFiles} files, ${memory}, ${JSON.stringify(handles)}\n`,
  );
};

const startedMs = performance.now();
await take();
const each = Math.ceil(requestsWanted / rounds / 100);
for (let round = 0; round < rounds; round++) {
  const chaos = misbehave(ports, each * chaosShare);
  for (const [share, args] of shares) {
    failed += await load(each * share, ...args);
    requests += each * share;
  }
  requests += await chaos;
  await take();
}
const minutes = ((performance.now() - startedMs) / 60_000).toFixed(1);
const half = samples.slice(Math.floor(samples.length / 2));
const perMillion = (of: (sample: Sample) => number): string => megabytes(slopePerMillion(half, of));
process.stdout.write(
  `${requests} requests in ${minutes} min; per million in the second half: heap ${perMillion((s) => s.heapBytes)} MB, ` +
    `buffers ${perMillion((s) => s.externalBytes)} MB, resident ${perMillion((s) => s.residentBytes)} MB\n`,
);
const found = [...findGrowth(samples), ...(failed === 0 ? [] : [`${failed} requests failed that should not`])];
for (const line of found) process.stdout.write(`${line}\n`);
process.exitCode = found.length === 0 ? 0 : 1;
