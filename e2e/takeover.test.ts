/** `weft sidecar --takeover`: the sockets go from process to process under load, and no request is lost. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { test } from "node:test";
import { makePrivateFolder } from "@weft/net/process/private-folder";
import { startControlPlane } from "@weft/testkit/control-plane";
import { startEchoServer } from "@weft/testkit/echo-server";
import { eventually } from "@weft/testkit/eventually";
import { callHttp } from "@weft/testkit/http-call";
import { startProgram, weftEntry } from "@weft/testkit/processes";
import { startSidecar } from "@weft/testkit/sidecar";
import { startLoad as startSteadyLoad } from "@weft/testkit/steady-load";
import { type App, startApp } from "./data-path/app.ts";
import { type Proxy as RunningProxy, startProxy } from "./data-path/bootstrap.ts";
import {
  createHttp1Client,
  createHttp2Client,
  gone,
  type Outcome,
  openEcho,
  openGrpcStream,
} from "./data-path/clients.ts";

const drainSeconds = 20;
const timeout = 120_000;

const start = (app: App, path: string, ...args: readonly string[]): Promise<RunningProxy> =>
  startProxy(app, {
    args: ["--drain-time", String(drainSeconds), "--takeover-socket", path, "--concurrency", "1", ...args],
  });

/** One request over a connection of its own. */
const callOnce = (port: number): Promise<Outcome> =>
  new Promise((resolve) => {
    const asked = request({ port, host: "127.0.0.1", path: "/once", agent: false }, (response) => {
      response.resume();
      response.on("error", (error) => resolve(`cut short: ${error.message}`));
      response.on("end", () => resolve(response.statusCode === 200 ? undefined : `status ${response.statusCode}`));
    });
    asked.on("error", (error) => resolve(`no answer: ${error.message}`));
    asked.end();
  });

/** Requests of every kind without a pause. Nobody may ever be refused; who is told to go dials again. */
const startLoad = ({ http1, http2 }: RunningProxy["ports"]) => {
  const failures: string[] = [];
  const answered = new Map<string, number>();
  let running = true;
  const note = (who: string, outcome: Outcome): void => {
    if (outcome === undefined) answered.set(who, (answered.get(who) ?? 0) + 1);
    else failures.push(`${who}: ${outcome}`);
  };
  const loop = async (who: string, call: () => Promise<Outcome>): Promise<void> => {
    while (running) note(who, await call());
  };
  const keepAlive = Array.from({ length: 3 }, () => createHttp1Client(http1));
  const sessions = Array.from({ length: 3 }, () => createHttp2Client(http2));
  const callSession = async ({ call, reopen }: (typeof sessions)[number]): Promise<Outcome> => {
    const outcome = await call();
    if (outcome !== gone) return outcome;
    reopen();
    return call();
  };
  const loops = [
    ...keepAlive.map(({ call }) => loop("keep-alive", () => call())),
    ...Array.from({ length: 3 }, () => loop("new connections", () => callOnce(http1))),
    ...sessions.map((session) => loop("http2", () => callSession(session))),
  ];
  return {
    failures,
    /** Resolves when each kind has had so many more answers. */
    more: async (count: number): Promise<void> => {
      const goals = ["keep-alive", "new connections", "http2"].map((who) => [who, (answered.get(who) ?? 0) + count]);
      await eventually(
        "more answers",
        () => failures.length > 0 || goals.every(([who, goal]) => (answered.get(String(who)) ?? 0) >= Number(goal)),
      );
    },
    stop: async (): Promise<void> => {
      running = false;
      await Promise.all(loops);
      for (const { close } of [...keepAlive, ...sessions]) close();
    },
  };
};

test("three takeovers in a row under load of every protocol fail no request and cut no stream", {
  timeout,
}, async () => {
  using folder = makePrivateFolder("weft-takeover-");
  const path = join(folder.path, "run", "takeover.sock");
  await using app = await startApp();
  await using cleanup = new AsyncDisposableStack();
  let proxy = cleanup.use(await start(app, path));
  const load = startLoad(proxy.ports);
  await load.more(30);
  for (let round = 0; round < 3; round++) {
    const { ports } = proxy;
    const grpc = openGrpcStream(ports.http2);
    const tcp = await openEcho(ports.tcp, false);
    assert.deepEqual([await grpc.say(), await tcp.say()], [undefined, undefined]);
    const next = cleanup.use(await start(app, path, "--takeover"));
    await proxy.program.waitFor(/stopping.*taken over/);
    assert.deepEqual(next.ports, ports);
    assert.equal(next.admin, proxy.admin, "the admin interface goes along");
    assert.match(await (await fetch(`http://${next.admin}/ready`)).text(), /LIVE/);
    await load.more(30);
    // What stands goes on in the process that drains; what is new comes to the other.
    assert.deepEqual([await grpc.say(), await tcp.say()], [undefined, undefined]);
    const fresh = openGrpcStream(ports.http2);
    assert.equal(await fresh.say(), undefined);
    assert.equal(await grpc.finish(), undefined);
    await tcp.close();
    assert.equal(await proxy.program.exited, 0, "it leaves when its last connection has");
    assert.equal(await fresh.say(), undefined);
    assert.equal(await fresh.finish(), undefined);
    proxy = next;
  }
  await load.stop();
  assert.deepEqual(load.failures, []);
});

test("from two workers to one, to three, to two: no connection is lost in a queue", { timeout }, async () => {
  using folder = makePrivateFolder("weft-takeover-");
  const path = join(folder.path, "takeover.sock");
  await using app = await startApp();
  await using cleanup = new AsyncDisposableStack();
  let proxy = cleanup.use(await start(app, path, "--concurrency", "2"));
  const load = startLoad(proxy.ports);
  await load.more(20);
  for (const workers of ["1", "3", "2"]) {
    const next = cleanup.use(await start(app, path, "--takeover", "--concurrency", workers));
    assert.deepEqual(next.ports, proxy.ports);
    assert.equal(await proxy.program.exited, 0);
    await load.more(20);
    proxy = next;
  }
  await load.stop();
  assert.deepEqual(load.failures, []);
});

test("one that dies before it is ready, or cannot start, leaves the one that runs as it was", { timeout }, async () => {
  using folder = makePrivateFolder("weft-takeover-");
  const path = join(folder.path, "takeover.sock");
  await using app = await startApp();
  await using proxy = await start(app, path);
  const load = startLoad(proxy.ports);
  await load.more(20);
  const sidecar = (bootstrap: object) => {
    const file = join(folder.path, `${Math.random()}.json`);
    writeFileSync(file, JSON.stringify(bootstrap));
    const line = [weftEntry, "sidecar", "-c", file, "--takeover", "--takeover-socket", path];
    return startProgram(process.execPath, ["--disable-warning=ExperimentalWarning", ...line]);
  };
  const socket = (port: number) => ({ address: { socket_address: { address: "127.0.0.1", port_value: port } } });
  const { http1 } = proxy.ports;
  const listener = (name: string, port: number, filter: object) => ({
    name,
    ...socket(port),
    filter_chains: [{ filters: [{ name, ...filter }] }],
  });
  const echo = { typed_config: { "@type": "type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo" } };
  const routedFrom = (source: object) => ({
    typed_config: {
      "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
      stat_prefix: "late",
      rds: { route_config_name: "r", config_source: source },
      http_filters: [
        {
          name: "router",
          typed_config: { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" },
        },
      ],
    },
  });
  const node = { id: "n", cluster: "c" };
  // It waits for a control plane that is not there, with the sockets in its hands; it would echo requests.
  const ads = { resource_api_version: "V3", ads: {}, initial_fetch_timeout: "300s" };
  const waiting = sidecar({
    node,
    dynamic_resources: {
      ads_config: {
        api_type: "GRPC",
        transport_api_version: "V3",
        grpc_services: [{ envoy_grpc: { cluster_name: "cp" } }],
      },
      lds_config: ads,
    },
    static_resources: {
      listeners: [listener("http1", http1, echo), listener("late", 0, routedFrom(ads))],
      clusters: [
        {
          name: "cp",
          load_assignment: { cluster_name: "cp", endpoints: [{ lb_endpoints: [{ endpoint: socket(1) }] }] },
        },
      ],
    },
  });
  await waiting.waitFor(/taking over.*sockets=4/);
  await waiting.waitFor(/WF3302/);
  await load.more(20);
  const second = sidecar({ node });
  assert.equal(await second.exited, 1);
  assert.match(second.lines.join("\n"), /WF5006 .*ended the conversation/);
  waiting.kill("SIGKILL");
  await proxy.program.waitFor(/WF5009/);
  await load.more(20);

  const bad = sidecar({ node, static_resources: { listeners: [listener("http1", http1, {})] } });
  assert.equal(await bad.exited, 1);
  assert.match(bad.lines.join("\n"), /WF3102 listener http1: /);
  const busy = sidecar({ node, static_resources: { listeners: [listener("x", app.ports.http1, echo)] } });
  assert.equal(await busy.exited, 1);
  assert.match(busy.lines.join("\n"), /WF3105 listener x: .*in use/);
  await load.more(20);

  // The one that runs can still be taken over from.
  await using next = await start(app, path, "--takeover");
  assert.equal(await proxy.program.exited, 0);
  assert.deepEqual(next.ports, proxy.ports);
  await load.more(20);
  await load.stop();
  assert.deepEqual(load.failures, []);
});

test("TCP lives on in the old one until its drain time is over, and where nobody runs a sidecar starts as usual", {
  timeout,
}, async () => {
  using folder = makePrivateFolder("weft-takeover-");
  const path = join(folder.path, "takeover.sock");
  await using app = await startApp();
  await using old = await start(app, path, "--takeover", "--drain-time", "2");
  await old.program.waitFor(/WF5007/);
  const tcp = await openEcho(old.ports.tcp, false);
  assert.equal(await tcp.say(), undefined);
  await using next = await start(app, path, "--takeover");
  await old.program.waitFor(/taken over/);
  assert.equal(await tcp.say(), undefined);
  assert.equal(await old.program.exited, 0);
  assert.match((await tcp.say()) ?? "", /closed|EPIPE|RESET/);
  const fresh = await openEcho(next.ports.tcp, false);
  assert.equal(await fresh.say(), undefined);
  await fresh.close();
});

test("in the mesh the data folder is enough: the new one has the keys, the ports and the admin interface", {
  timeout,
}, async () => {
  await using cp = await startControlPlane();
  await using echo = await startEchoServer("web");
  await using old = await startSidecar(cp, { name: "web", appPort: echo.port });
  await using caller = await startSidecar(cp, { name: "caller" });
  const call = { host: "web.default.svc.cluster.local", path: "/" };
  await eventually("a first answer", async () => (await callHttp(caller.outbound, call)).status === 200);
  await using load = startSteadyLoad(caller.outbound, call);
  await load.more(20);
  await using next = await startSidecar(cp, { name: "web", appPort: echo.port, again: old, args: ["--takeover"] });
  assert.equal(next.admin, old.admin);
  assert.equal(await old.program.exited, 0);
  await load.more(50);
  await load.stop();
  assert.deepEqual(load.failures, []);
});
