/** The programs of the HTTP benches: an upstream, weft and Envoy on the same bootstrap file, nginx as a proxy. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findFreePort } from "@weft/net/process/free-port";
import { eventually } from "@weft/testkit/eventually";
import { callHttp } from "@weft/testkit/http-call";
import { type Program, startProgram, weftEntry } from "@weft/testkit/processes";
import { envoyPath } from "../e2e/install-peers.ts";
import { loadCore, pin, type System, systemCore } from "./measure.ts";

export interface Workshop extends AsyncDisposable {
  readonly folder: string;
  readonly own: (program: Program) => Program;
}

/** A folder for the run and the list of what has to be stopped after it. */
export const openWorkshop = (): Workshop => {
  const folder = mkdtempSync(join(tmpdir(), "weft-bench-"));
  const programs: Program[] = [];
  return {
    folder,
    own: (program) => {
      programs.push(program);
      return program;
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(programs.map((program) => program[Symbol.asyncDispose]()));
      rmSync(folder, { recursive: true, force: true });
    },
  };
};

const answers = (address: string): Promise<unknown> =>
  eventually(`an answer from ${address}`, async () =>
    (await callHttp(address, { host: "bench" })).status === 200 ? true : undefined,
  );

const startNginx = async (workshop: Workshop, name: string, body: string, core: string): Promise<Program> => {
  const folder = join(workshop.folder, name);
  mkdirSync(folder);
  const file = join(folder, "nginx.conf");
  const paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((kind) => `${kind}_temp_path ${folder}/${kind};`)
    .join(" ");
  writeFileSync(
    file,
    `daemon off; master_process off; worker_processes 1; pid ${folder}/pid; error_log ${folder}/error.log;
events { worker_connections 4096; }
http { access_log off; keepalive_requests 100000000; ${paths} ${body} }\n`,
  );
  const program = workshop.own(startProgram("nginx", ["-p", folder, "-c", file]));
  pin(program.pid, core);
  return program;
};

/** Answers every request with 13 bytes. `http2` serves prior-knowledge HTTP/2. */
export const startUpstream = async (workshop: Workshop, protocol: "http1" | "http2"): Promise<number> => {
  const port = await findFreePort("127.0.0.1", 0);
  const listen = `listen 127.0.0.1:${port}${protocol === "http2" ? " http2" : ""};`;
  await startNginx(
    workshop,
    `upstream-${port}`,
    `server { ${listen} location / { return 200 "Hello, mesh!\n"; } }`,
    loadCore,
  );
  if (protocol === "http1") await answers(`127.0.0.1:${port}`);
  return port;
};

/** nginx as a proxy of the same upstreams. */
export const startNginxProxy = async (workshop: Workshop, upstreams: readonly number[]): Promise<System> => {
  const port = await findFreePort("127.0.0.1", 0);
  const servers = upstreams.map((upstream) => `server 127.0.0.1:${upstream};`).join(" ");
  const program = await startNginx(
    workshop,
    "nginx-proxy",
    `upstream up { least_conn; ${servers} keepalive 256; keepalive_requests 100000000; }
server { listen 127.0.0.1:${port}; location / { proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection ""; } }`,
    systemCore,
  );
  await answers(`127.0.0.1:${port}`);
  return { name: "nginx", pid: program.pid, address: `127.0.0.1:${port}` };
};

/** Runs both proxies on the same bootstrap but for the listener's port. */
export const startProxies = async (
  workshop: Workshop,
  bootstrap: (listenPort: number, adminPort: number) => object,
  check: (address: string) => Promise<unknown> = answers,
): Promise<readonly System[]> => {
  const systems: System[] = [];
  for (const name of ["weft", "envoy"] as const) {
    const port = await findFreePort("127.0.0.1", 0);
    const file = join(workshop.folder, `${name}.json`);
    writeFileSync(file, JSON.stringify(bootstrap(port, await findFreePort("127.0.0.1", 0))));
    const program = workshop.own(
      name === "weft"
        ? startProgram(process.execPath, [
            "--disable-warning=ExperimentalWarning",
            "--max-semi-space-size=4",
            weftEntry,
            "sidecar",
            "--bootstrap",
            file,
          ])
        : startProgram(envoyPath, ["-c", file, "--concurrency", "1", "--disable-hot-restart", "-l", "error"]),
    );
    const address = `127.0.0.1:${port}`;
    await check(address);
    pin(program.pid, systemCore);
    systems.push({ name, pid: program.pid, address });
  }
  return systems;
};
