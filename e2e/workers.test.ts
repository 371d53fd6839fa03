/** Several workers in one sidecar: what must be one value for the proxy is one, and a change is one for each request. */
import assert from "node:assert/strict";
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { Agent, createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { startControlPlane } from "@weft/testkit/control-plane";
import { startEchoServer } from "@weft/testkit/echo-server";
import { eventually } from "@weft/testkit/eventually";
import { callHttp } from "@weft/testkit/http-call";
import { type Program, startProgram, weftEntry } from "@weft/testkit/processes";
import { startSidecar as startMeshSidecar } from "@weft/testkit/sidecar";
import { startLoad } from "@weft/testkit/steady-load";

const workers = "4";

const address = (port: number) => ({ address: { socket_address: { address: "127.0.0.1", port_value: port } } });
const typed = (name: string, fields: object = {}) => ({ "@type": `type.googleapis.com/${name}`, ...fields });
const hcm = (fields: object) =>
  typed("envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", {
    stat_prefix: "in",
    http_filters: [{ name: "router", typed_config: typed("envoy.extensions.filters.http.router.v3.Router") }],
    ...fields,
  });
const toUp = {
  virtual_hosts: [{ name: "v", domains: ["*"], routes: [{ match: { prefix: "/" }, route: { cluster: "up" } }] }],
};
const bootstrap = (
  upstreams: readonly number[],
  cluster: object,
  routing: object = { route_config: toUp },
  port = 0,
) => ({
  node: { id: "n" },
  admin: address(0),
  static_resources: {
    listeners: [
      { name: "in", ...address(port), filter_chains: [{ filters: [{ name: "http", typed_config: hcm(routing) }] }] },
    ],
    clusters: [
      {
        name: "up",
        load_assignment: {
          cluster_name: "up",
          endpoints: [{ lb_endpoints: upstreams.map((each) => ({ endpoint: address(each) })) }],
        },
        ...cluster,
      },
    ],
  },
});

interface Running extends AsyncDisposable {
  readonly program: Program;
  readonly port: number;
  readonly admin: string;
  readonly write: (name: string, json: object) => string;
}

const folder = () => {
  const path = mkdtempSync(join(tmpdir(), "weft-workers-"));
  return {
    /** Replaces the file whole, as an operator would. */
    write: (name: string, json: object): string => {
      writeFileSync(join(path, `${name}.new`), JSON.stringify(json));
      renameSync(join(path, `${name}.new`), join(path, name));
      return join(path, name);
    },
    remove: () => rmSync(path, { recursive: true, force: true }),
  };
};

const startSidecar = (json: object): Program => {
  const files = folder();
  const file = files.write("bootstrap.json", json);
  const program = startProgram(process.execPath, [weftEntry, "sidecar", "-c", file, "--concurrency", workers]);
  void program.exited.then(files.remove);
  return program;
};

const run = async (json: object): Promise<Running> => {
  const files = folder();
  const program = startSidecar(json);
  const [, admin = "", port = ""] = await program.waitFor(/ready admin=(\S+) listeners=in=127\.0\.0\.1:(\d+)/);
  return {
    program,
    admin,
    port: Number(port),
    write: files.write,
    [Symbol.asyncDispose]: async () => {
      await program[Symbol.asyncDispose]();
      files.remove();
    },
  };
};

const upstream = async (handle: (request: IncomingMessage, response: ServerResponse) => void) => {
  const server = createServer(handle);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.dispose]: () => {
      server.close();
      server.closeAllConnections();
    },
  };
};

interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
}
/** Over a connection of its own unless there is an agent: connections are what the kernel spreads over workers. */
const call = (port: number, agent: Agent | false = false): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const sent = request({ host: "127.0.0.1", port, agent }, (response) => {
      response.resume();
      response.once("end", () => resolve({ status: response.statusCode ?? 0, headers: response.headers }));
      response.once("error", reject);
    });
    sent.once("error", reject);
    sent.end();
  });
const statusOf = async (port: number): Promise<number> => (await call(port)).status;
const stat = async (admin: string, name: string): Promise<number> => {
  const text = await (await fetch(`http://${admin}/stats`)).text();
  return Number(new RegExp(`^${name.replaceAll(".", "\\.")}: (\\d+)$`, "m").exec(text)?.[1] ?? Number.NaN);
};

test("ten requests are the limit of four workers together", { timeout: 60_000 }, async () => {
  const held: ServerResponse[] = [];
  using up = await upstream((_, response) => held.push(response));
  await using sidecar = await run(bootstrap([up.port], { circuit_breakers: { thresholds: [{ max_requests: 10 }] } }));
  const answers = Array.from({ length: 60 }, () => statusOf(sidecar.port));
  let refused = 0;
  for (const answer of answers) {
    answer.then(
      (status) => status === 503 && refused++,
      () => undefined,
    );
  }
  await eventually("fifty refusals", () => refused === 50);
  // A refusal may be back before a request that was let through has arrived.
  await eventually("ten requests at the upstream", () => held.length >= 10);
  assert.equal(held.length, 10);
  assert.equal(await stat(sidecar.admin, "cluster.up.circuit_breakers.default.rq_open"), 1);
  assert.equal(await stat(sidecar.admin, "cluster.up.upstream_rq_active"), 10);
  for (const response of held) response.end("late");
  assert.equal((await Promise.all(answers)).filter((status) => status === 200).length, 10);
  await eventually("an idle cluster", async () => (await stat(sidecar.admin, "cluster.up.upstream_rq_active")) === 0);
  const after = statusOf(sidecar.port);
  await eventually("the eleventh request", () => held.length === 11);
  held[10]?.end();
  assert.equal(await after, 200);
});

test("a host that fails five times is left alone by all four workers", { timeout: 60_000 }, async () => {
  let bad = 0;
  using good = await upstream((_, response) => response.end());
  using failing = await upstream((_, response) => {
    bad++;
    response.writeHead(500).end();
  });
  await using sidecar = await run(
    bootstrap([good.port, failing.port], {
      outlier_detection: { consecutive_5xx: 5, base_ejection_time: "600s", max_ejection_percent: 50 },
    }),
  );
  for (let i = 0; i < 80; i++) await statusOf(sidecar.port);
  assert.equal(bad, 5);
  assert.equal(await stat(sidecar.admin, "cluster.up.outlier_detection.ejections_active"), 1);
  assert.equal(await stat(sidecar.admin, "cluster.up.upstream_rq_total"), 80);
  assert.match(await (await fetch(`http://${sidecar.admin}/clusters`)).text(), /failed_outlier_check/);
});

test("while routes change under load every request sees one version from end to end", {
  timeout: 120_000,
}, async () => {
  using up = await upstream((incoming, response) => {
    response.setHeader("x-seen", String(incoming.headers["x-version"]));
    response.end();
  });
  const files = folder();
  const routes = (version: number): object => ({
    version_info: String(version),
    resources: [
      typed("envoy.config.route.v3.RouteConfiguration", {
        name: "routes",
        ...toUp,
        request_headers_to_add: [{ header: { key: "x-version", value: String(version) } }],
        response_headers_to_add: [{ header: { key: "x-version", value: String(version) } }],
      }),
    ],
  });
  const path = files.write("routes.json", routes(0));
  const rds = { rds: { route_config_name: "routes", config_source: { path_config_source: { path } } } };
  await using sidecar = await run(bootstrap([up.port], {}, rds));
  const agent = new Agent({ keepAlive: true, maxSockets: 12 });
  const seen = new Set<string>();
  let stop = false;
  const client = async (): Promise<void> => {
    while (!stop) {
      const { status, headers } = await call(sidecar.port, agent);
      assert.equal(status, 200);
      assert.equal(headers["x-version"], headers["x-seen"]);
      seen.add(String(headers["x-version"]));
    }
  };
  const clients = Array.from({ length: 12 }, client);
  for (let version = 1; version <= 20; version++) {
    files.write("routes.json", routes(version));
    await eventually(`version ${version}`, () => seen.has(String(version)));
  }
  stop = true;
  await Promise.all(clients);
  agent.destroy();
  for (let i = 0; i < 12; i++) assert.equal((await call(sidecar.port)).headers["x-version"], "20");
  files.remove();
});

test("the port of another sidecar is refused, though threads of one share theirs", { timeout: 60_000 }, async () => {
  using up = await upstream((_, response) => response.end());
  await using first = await run(bootstrap([up.port], {}));
  await using second = startSidecar(bootstrap([up.port], {}, { route_config: toUp }, first.port));
  assert.equal(await second.exited, 1);
  assert.match(second.lines.join("\n"), /WF5001/);
  assert.equal(await statusOf(first.port), 200);
});

const strict = `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec: {mtls: {mode: STRICT}}
`;
const marked = (version: string): string => `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: catalog}
spec:
  hosts: [catalog]
  http:
    - route: [{destination: {host: catalog}}]
      headers: {response: {set: {x-config: "${version}"}}}
`;

test("in a mesh, keys and routes reach every worker, and nothing fails while they change", {
  timeout: 90_000,
}, async () => {
  await using stack = new AsyncDisposableStack();
  const cp = stack.use(await startControlPlane({ yaml: strict }));
  const app = stack.use(await startEchoServer("catalog"));
  const args = ["--concurrency", workers];
  stack.use(await startMeshSidecar(cp, { name: "catalog", service: "catalog", appPort: app.port, args }));
  const web = stack.use(await startMeshSidecar(cp, { name: "web", args }));
  const get = { headers: { host: "catalog" } };
  await eventually("an answer", async () => (await callHttp(web.outbound, get)).status === 200);
  await using load = startLoad(web.outbound, get, ({ status }) => status === 200, 6);
  for (const version of ["first", "second", "third"]) {
    await cp.apply(marked(version));
    await eventually(version, async () => (await callHttp(web.outbound, get)).headers["x-config"] === version);
    for (let i = 0; i < 16; i++) assert.equal((await callHttp(web.outbound, get)).headers["x-config"], version);
  }
  await load.more(100);
  await load.stop();
  assert.deepEqual(load.failures, []);
});

test("SIGTERM lets what all workers have in flight end, and takes no more", { timeout: 60_000 }, async () => {
  const held: ServerResponse[] = [];
  using up = await upstream((_, response) => {
    if (held.length < 16) held.push(response);
    else response.end();
  });
  await using sidecar = await run(bootstrap([up.port], {}));
  const answers = Array.from({ length: 16 }, () => statusOf(sidecar.port));
  await eventually("sixteen requests", () => held.length === 16);
  sidecar.program.kill("SIGTERM");
  await eventually("a closed port", () =>
    statusOf(sidecar.port).then(
      () => false,
      () => true,
    ),
  );
  for (const response of held) response.end();
  assert.deepEqual(new Set(await Promise.all(answers)), new Set([200]));
  assert.equal(await sidecar.program.exited, 0);
});
