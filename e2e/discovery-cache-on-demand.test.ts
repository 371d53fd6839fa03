/** What a sidecar fetched on demand: it leaves memory unused, stays on disk, and is there after a restart alone. */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { findFreePort } from "@weft/net/process/free-port";
import { eventually } from "@weft/testkit/eventually";
import { callHttp } from "@weft/testkit/http-call";
import { type Program, startWeft } from "@weft/testkit/processes";
import { type DeltaServer, startDeltaServer } from "./on-demand/delta-server.ts";
import {
  cluster,
  connectionManager,
  listener,
  router,
  routes,
  speaksHttp2,
  tcp,
  type,
} from "./same-bootstrap/parts.ts";

const ads = { ads: {}, resourceApiVersion: "V3" };
const onDemand = (json: object): object => ({
  name: "envoy.filters.http.on_demand",
  typedConfig: { "@type": type("extensions.filters.http.on_demand.v3.OnDemand"), ...json },
});
const ttlSeconds = 2;

let app: Server;
let appPort = 0;
let folder = "";
before(async () => {
  folder = mkdtempSync(join(tmpdir(), "weft-test-cache-"));
  app = createServer((_, response) => response.end("app"));
  await new Promise<void>((resolve) => app.listen(0, "127.0.0.1", resolve));
  appPort = (app.address() as { port: number }).port;
});
after(() => {
  app?.closeAllConnections();
  app?.close();
  rmSync(folder, { recursive: true, force: true });
});

interface Node extends AsyncDisposable {
  readonly program: Program;
  readonly admin: string;
  readonly clusters: string;
  readonly hosts: string;
}
const start = async (name: string, xds: number, threads: number): Promise<Node> => {
  const [clusters, hosts] = [await findFreePort("127.0.0.1", 0), await findFreePort("127.0.0.1", 0)];
  const byHeader = routes([{ match: { prefix: "/" }, route: { clusterHeader: "x-cluster" } }]);
  const file = join(folder, `${name}.json`);
  const bootstrap = {
    node: { id: name, cluster: "cache" },
    admin: { address: tcp(0) },
    dynamicResources: {
      adsConfig: {
        apiType: "DELTA_GRPC",
        transportApiVersion: "V3",
        grpcServices: [{ envoyGrpc: { clusterName: "xds" } }],
      },
    },
    staticResources: {
      clusters: [cluster("xds", [xds], speaksHttp2), cluster("static", [appPort])],
      listeners: [
        listener(
          "clusters",
          clusters,
          connectionManager({
            httpFilters: [onDemand({ odcds: { source: ads, timeout: "3s" } }), router],
            routeConfig: byHeader,
          }),
        ),
        listener(
          "hosts",
          hosts,
          connectionManager({
            httpFilters: [onDemand({}), router],
            rds: { routeConfigName: "table", configSource: ads },
          }),
        ),
      ],
    },
  };
  writeFileSync(file, JSON.stringify(bootstrap));
  const program = startWeft([
    ...["sidecar", "--bootstrap", file, "--data", join(folder, name), "--concurrency", String(threads)],
    ...["--discovery-cache-ttl", String(ttlSeconds), "--drain-time", "0"],
  ]);
  const stop = async (): Promise<void> => {
    await program[Symbol.asyncDispose]();
  };
  const [, admin = ""] = await program.waitFor(/\bready\b.*\badmin=(\S+)/);
  return {
    ...{ program, admin, clusters: `127.0.0.1:${clusters}`, hosts: `127.0.0.1:${hosts}` },
    [Symbol.asyncDispose]: stop,
  };
};
const ask = async (address: string, host: string, name = ""): Promise<string> => {
  const { status, body } = await callHttp(address, {
    host,
    path: "/",
    headers: name === "" ? {} : { "x-cluster": name },
  });
  return `${status} ${body}`;
};
const edsCluster = (name: string): object => ({
  ...{ name, type: "EDS", connectTimeout: "1s", edsClusterConfig: { edsConfig: ads } },
});
const put = (server: DeltaServer, name: string): void => {
  server.put("endpoints", name, (cluster(name, [appPort]) as { readonly loadAssignment: object }).loadAssignment);
  server.put("cluster", name, edsCluster(name));
};
const host = (domain: string): object => ({
  ...{ name: `table/${domain}`, domains: [domain] },
  routes: [{ match: { prefix: "/" }, route: { cluster: "static" } }],
});
const shown = async ({ admin }: Node) =>
  (await (await fetch(`http://${admin}/discovery_cache?entries`)).json()) as {
    readonly l1: { readonly hits: number; readonly evicted: number; readonly on_demand: readonly { name: string }[] };
    readonly l2: { readonly hits: number; readonly kept: readonly { kind: string; name: string }[] };
    readonly l3: { readonly hits: number };
  };
const names = (server: DeltaServer, node: string): ReadonlySet<string> =>
  server.streams(node).at(-1)?.names ?? new Set();

for (const threads of [1, 2])
  test(`${threads} threads: used entries stay, unused ones go with their subscription, all serve after a restart alone`, async () => {
    const node = `node-${threads}`;
    const server = await startDeltaServer();
    server.put("route", "table", { name: "table", virtualHosts: [], vhds: { configSource: ads } });
    for (const name of ["used", "unused", "lost"]) put(server, name);
    server.put("virtualHost", "table/a.test", host("a.test"));
    {
      await using sidecar = await start(node, server.port, threads);
      for (const name of ["used", "unused", "lost"]) assert.equal(await ask(sidecar.clusters, "x", name), "200 app");
      assert.equal(await ask(sidecar.hosts, "a.test"), "200 app");
      await eventually("all is on disk", async () => {
        const { kept } = (await shown(sidecar)).l2;
        const wanted = ["cluster used", "cluster unused", "endpoints lost", "virtualHost table/a.test", "route table"];
        return wanted.every((one) => kept.some(({ kind, name }) => one === `${kind} ${name}`)) ? true : undefined;
      });
      await eventually("what is not used leaves, what is used stays", async () => {
        assert.equal(await ask(sidecar.clusters, "x", "used"), "200 app");
        return names(server, node).has("unused") ? undefined : true;
      });
      assert.ok(names(server, node).has("used"));
      const { l1, l3 } = await shown(sidecar);
      assert.ok(l1.hits > 0 && l1.evicted > 0 && l3.hits >= 4);
      assert.ok(l1.on_demand.some(({ name }) => name === "used"));
    }
    await server[Symbol.asyncDispose]();
    const cache = join(folder, node, "discovery-cache");
    for (const name of readdirSync(cache)) {
      const bytes = readFileSync(join(cache, name));
      const at = bytes.indexOf('{"clusterName":"lost"');
      if (at < 0) continue;
      bytes[at + 16] = "t".charCodeAt(0);
      writeFileSync(join(cache, name), bytes);
    }
    await using alone = await start(node, server.port, threads);
    assert.equal(await ask(alone.clusters, "x", "used"), "200 app");
    assert.equal(await ask(alone.clusters, "x", "unused"), "200 app");
    assert.equal(await ask(alone.hosts, "a.test"), "200 app");
    assert.equal(await ask(alone.clusters, "x", "lost"), "503 ");
    const { l1, l2 } = await shown(alone);
    assert.ok(l2.hits >= 3);
    assert.equal(
      l1.on_demand.some(({ name }) => name === "lost"),
      false,
    );
    assert.ok(alone.program.lines.some((line) => line.includes("WF3320") && line.includes("endpoints lost")));
  });
