/** Virtual hosts that are fetched when a request asks for them, in both proxies by the same bootstrap. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { after, before, test } from "node:test";
import { findFreePort } from "@weft/net/process/free-port";
import { envoyPath } from "@weft/testkit/envoy";
import { eventually } from "@weft/testkit/eventually";
import { callHttp } from "@weft/testkit/http-call";
import { startProgram, startWeft } from "@weft/testkit/processes";
import { type Deed, type Peer, startTrio, type Trio } from "../same-bootstrap/pair.ts";
import {
  cluster,
  connectionManager,
  listener,
  logTo,
  router,
  speaksHttp2,
  tcp,
  type,
} from "../same-bootstrap/parts.ts";
import { type DeltaServer, startDeltaServer } from "./delta-server.ts";

let trio: Trio;
let server: DeltaServer;

const ads = { ads: {}, resourceApiVersion: "V3" };
const says = (name: string, domains: readonly string[], body: string, path = "/"): object => ({
  name,
  domains,
  routes: [{ match: { prefix: path }, directResponse: { status: 200, body: { inlineString: body } } }],
});
const table = (rest: object = {}): object => ({
  name: "table",
  virtualHosts: [says("fixed", ["fixed.test"], "fixed")],
  // Envoy is ready only when that is over: it takes an answer to a question about nothing for none.
  vhds: { configSource: { ...ads, initialFetchTimeout: "2s" } },
  ...rest,
});

before(async () => {
  server = await startDeltaServer();
  server.put("route", "table", table());
  trio = await startTrio(["in"], ({ listener: port, admin, log }) => ({
    node: { id: basename(log, ".log"), cluster: "on-demand" },
    admin: { address: tcp(admin) },
    dynamicResources: {
      adsConfig: {
        apiType: "DELTA_GRPC",
        transportApiVersion: "V3",
        grpcServices: [{ envoyGrpc: { clusterName: "xds" } }],
      },
    },
    staticResources: {
      clusters: [cluster("xds", [server.port], speaksHttp2)],
      listeners: [
        listener(
          "in",
          port("in"),
          connectionManager({
            accessLog: logTo(log),
            httpFilters: [
              {
                name: "envoy.filters.http.on_demand",
                typedConfig: { "@type": type("extensions.filters.http.on_demand.v3.OnDemand") },
              },
              router,
            ],
            rds: { routeConfigName: "table", configSource: ads },
          }),
        ),
      ],
    },
  }));
});
after(async () => {
  await trio?.[Symbol.asyncDispose]();
  await server?.[Symbol.asyncDispose]();
});

const ask = async (peer: Peer, host: string, path = "/", body?: string): Promise<string> => {
  const address = `127.0.0.1:${peer.port("in")}`;
  const method = body === undefined ? "GET" : "POST";
  const answer = await callHttp(address, { host, path, method, ...(body === undefined ? {} : { body }) });
  return `${answer.status} ${answer.body}`;
};
const asked = (peer: Peer, name: string): Promise<true> =>
  eventually(`${peer.name} asks for ${name}`, () =>
    server.streams(peer.name).some(({ names }) => names.has(name)) ? true : undefined,
  );
const both = (name: string, deed: Deed, expected: unknown): void => {
  for (const side of ["envoy", "weft", "threads"] as const)
    test(`${side}: ${name}`, async () => assert.deepEqual(await deed(trio[side]), expected));
};
const putHost = (peer: Peer, name: string, hosts: readonly string[], body = name, path = "/"): void => {
  const own = `table/${name}-${peer.name}`;
  server.put(
    "virtualHost",
    own,
    says(own, hosts, body, path),
    hosts.map((host) => `table/${host}`),
  );
};

both("a host that came with its table", (peer) => ask(peer, "fixed.test"), "200 fixed");
both(
  "a host that the server has, by one of its aliases",
  async (peer) => {
    const host = `one.${peer.name}.test`;
    putHost(peer, "one", [host, `two.${peer.name}.test`]);
    return [await ask(peer, host), await ask(peer, `two.${peer.name}.test`), await ask(peer, host.toUpperCase())];
  },
  ["200 one", "200 one", "200 one"],
);
both(
  "a host that the server has not",
  async (peer) => {
    const answer = await ask(peer, `none.${peer.name}.test`, "/none");
    const line = await eventually("a line", () => peer.log().find((each) => each.includes("/none")));
    return [answer, line.split("|")[2]];
  },
  ["404 ", "NR NoRouteFound route_not_found -"],
);
both(
  "a host that comes while requests wait, with a body",
  async (peer) => {
    const host = `slow.${peer.name}.test`;
    server.hush(`table/${host}`);
    const waiting = [ask(peer, host), ask(peer, host, "/", "a body")];
    await asked(peer, `table/${host}`);
    putHost(peer, "slow", [host]);
    return Promise.all(waiting);
  },
  ["200 slow", "200 slow"],
);
both(
  "a host that changes",
  async (peer) => {
    const host = `change.${peer.name}.test`;
    putHost(peer, "change", [host], "before");
    const first = await ask(peer, host);
    putHost(peer, "change", [host], "after");
    await eventually("it changes", async () => ((await ask(peer, host)) === "200 after" ? true : undefined));
    return first;
  },
  "200 before",
);
both(
  "a host that is here and has no such route",
  async (peer) => {
    const host = `path.${peer.name}.test`;
    putHost(peer, "path", [host], "path", "/only");
    return [await ask(peer, host, "/only"), await ask(peer, host, "/other")];
  },
  ["200 path", "404 "],
);
both(
  "a table that changes keeps the hosts that came",
  async (peer) => {
    const host = `kept.${peer.name}.test`;
    putHost(peer, "kept", [host]);
    const first = await ask(peer, host);
    server.put("route", "table", table({ virtualHosts: [says("fixed", ["fixed.test"], `fixed ${peer.name}`)] }));
    await eventually("it changes", async () =>
      (await ask(peer, "fixed.test")) === `200 fixed ${peer.name}` ? true : undefined,
    );
    return [first, await ask(peer, host)];
  },
  ["200 kept", "200 kept"],
);
both(
  "hosts serve on without a stream, and are asked for again on the next",
  async (peer) => {
    const host = `away.${peer.name}.test`;
    putHost(peer, "away", [host]);
    const first = await ask(peer, host);
    const streams = server.streams(peer.name).length;
    server.hangUp();
    const during = await ask(peer, host);
    await eventually("the next stream", () => (server.streams(peer.name).length > streams ? true : undefined));
    const next = server.streams(peer.name).at(-1);
    await eventually("it asks", () => (next?.names.has(`table/${host}`) ? true : undefined));
    return [first, during, await ask(peer, host)];
  },
  ["200 away", "200 away", "200 away"],
);
both(
  "a host that is taken away",
  async (peer) => {
    const host = `gone.${peer.name}.test`;
    putHost(peer, "gone", [host]);
    const first = await ask(peer, host);
    server.remove("virtualHost", `table/gone-${peer.name}`);
    await eventually("it is gone", async () => ((await ask(peer, host)) === "404 " ? true : undefined));
    return first;
  },
  "200 gone",
);

test("vhds of a table that stands in its listener: Envoy asks for its hosts, we refuse it", async () => {
  const folder = mkdtempSync(join(tmpdir(), "weft-inline-"));
  const port = await findFreePort("127.0.0.1", 0);
  const file = join(folder, "bootstrap.json");
  const dynamicResources = {
    adsConfig: {
      apiType: "DELTA_GRPC",
      transportApiVersion: "V3",
      grpcServices: [{ envoyGrpc: { clusterName: "xds" } }],
    },
  };
  const onDemand = {
    name: "envoy.filters.http.on_demand",
    typedConfig: { "@type": type("extensions.filters.http.on_demand.v3.OnDemand") },
  };
  const manager = connectionManager({ httpFilters: [onDemand, router], routeConfig: table() });
  const staticResources = {
    clusters: [cluster("xds", [server.port], speaksHttp2)],
    listeners: [listener("in", port, manager)],
  };
  writeFileSync(file, JSON.stringify({ node: { id: "inline", cluster: "inline" }, dynamicResources, staticResources }));
  const weft = startWeft(["sidecar", "--bootstrap", file]);
  const envoy = startProgram(envoyPath, ["-c", file, "--concurrency", "1", "--disable-hot-restart", "-l", "error"]);
  try {
    const refusal = /routeConfig\.vhds: is taken in tables that come by RDS only/;
    await eventually("it is refused", () => (weft.lines.some((line) => refusal.test(line)) ? true : undefined));
    await weft[Symbol.asyncDispose]();
    const get = (host: string) => callHttp(`127.0.0.1:${port}`, { host });
    await eventually("it serves", async () => ((await get("fixed.test")).status === 200 ? true : undefined), 20_000);
    server.put("virtualHost", "table/inline", says("table/inline", ["inline.test"], "inline"), ["table/inline.test"]);
    assert.equal((await get("inline.test")).body, "inline");
  } finally {
    await Promise.all([weft[Symbol.asyncDispose](), envoy[Symbol.asyncDispose]()]);
    rmSync(folder, { recursive: true, force: true });
  }
});
