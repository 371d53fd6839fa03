/** The programs of the HTTP benches: an upstream, weft and Envoy on the same bootstrap file, nginx as a proxy. */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findFreePort } from "@weft/net/process/free-port";
import { eventually } from "@weft/testkit/eventually";
import { callHttp } from "@weft/testkit/http-call";
import { type Program, startProgram } from "@weft/testkit/processes";
import { loadCore, pin } from "./process-usage.ts";

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

export const answers = (address: string): Promise<unknown> =>
  eventually(`an answer from ${address}`, async () =>
    (await callHttp(address, { host: "bench" })).status === 200 ? true : undefined,
  );

export const startNginx = async (workshop: Workshop, name: string, body: string, core: string): Promise<Program> => {
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

/** Answers every request with 13 bytes, but `/big` with 1 MB and `/huge` with 100. `http2` serves prior-knowledge HTTP/2. */
export const startUpstream = async (workshop: Workshop, protocol: "http1" | "http2"): Promise<number> => {
  const port = await findFreePort("127.0.0.1", 0);
  const listen = `listen 127.0.0.1:${port}${protocol === "http2" ? " http2" : ""};`;
  const folder = join(workshop.folder, "files");
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "big"), Buffer.alloc(1024 * 1024, "x"));
  if (!existsSync(join(folder, "huge"))) writeFileSync(join(folder, "huge"), Buffer.alloc(100 * 1024 * 1024, "x"));
  await startNginx(
    workshop,
    `upstream-${port}`,
    `server { ${listen} location = /big { root ${folder}; } location = /huge { root ${folder}; } location / { return 200 "Hello, mesh!\n"; } }`,
    loadCore,
  );
  if (protocol === "http1") await answers(`127.0.0.1:${port}`);
  return port;
};

/** Three upstreams of one protocol. */
export const startUpstreams = async (workshop: Workshop, protocol: "http1" | "http2"): Promise<readonly number[]> => [
  await startUpstream(workshop, protocol),
  await startUpstream(workshop, protocol),
  await startUpstream(workshop, protocol),
];

/** A program of ours in `upstreams/`; it prints `port N` when it serves. */
export const startOwnUpstream = async (workshop: Workshop, program: string): Promise<number> => {
  const started = workshop.own(startProgram(process.execPath, [join(import.meta.dirname, "upstreams", program)]));
  const [, port] = await started.waitFor(/^port (\d+)/);
  pin(started.pid, loadCore);
  return Number(port);
};
