/** The sidecar as a process, from bootstrap files, on loopback. */
import assert from "node:assert/strict";
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { startChild } from "@weft/net/process/child";

const module = new URL("./sidecar.ts", import.meta.url).href;
const program = `const { runSidecar } = await import(${JSON.stringify(module)});
process.exit(await runSidecar(process.argv.slice(1)));`;

const folder = (): Disposable & { readonly path: string; write(name: string, text: string): string } => {
  const path = mkdtempSync(join(tmpdir(), "weft-sidecar-"));
  return {
    path,
    write: (name, text) => {
      writeFileSync(join(path, name), text);
      return join(path, name);
    },
    [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }),
  };
};

const start = (...args: string[]) => {
  const lines: string[] = [];
  const ready = Promise.withResolvers<string>();
  const child = startChild({
    command: process.execPath,
    args: ["--input-type=module", "-e", program, "--", ...args],
    env: process.env,
    onLine: (line, stream) => {
      lines.push(line);
      if (stream === "stdout" && line.startsWith("ready ")) ready.resolve(line);
    },
  });
  void child.exited.then(({ code }) => ready.reject(new Error(`ended with ${code}: ${lines.join(" | ")}`)));
  ready.promise.catch(() => undefined);
  return {
    child,
    lines,
    ready: ready.promise,
    [Symbol.asyncDispose]: async () => {
      await child.stop(1_000);
    },
  };
};

const upstream = async (answer: (path: string, reply: (body: string) => void) => void) => {
  const server: Server = createServer((request, response) => answer(request.url ?? "", (body) => response.end(body)));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.dispose]: () => {
      server.close();
      server.closeAllConnections();
    },
  };
};

const address = (port: number) => ({ address: { socket_address: { address: "127.0.0.1", port_value: port } } });
const cluster = (port: number) => ({
  name: "up",
  load_assignment: { cluster_name: "up", endpoints: [{ lb_endpoints: [{ endpoint: address(port) }] }] },
});
const listener = (port = 0) => ({
  name: "in",
  ...address(port),
  filter_chains: [
    {
      filters: [
        {
          name: "http",
          typed_config: {
            "@type":
              "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            stat_prefix: "in",
            route_config: {
              name: "r",
              virtual_hosts: [
                { name: "v", domains: ["*"], routes: [{ match: { prefix: "/" }, route: { cluster: "up" } }] },
              ],
            },
            http_filters: [
              {
                name: "envoy.filters.http.router",
                typed_config: { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" },
              },
            ],
          },
        },
      ],
    },
  ],
});
const bootstrap = (listeners: readonly object[], clusters: readonly object[]): string =>
  JSON.stringify({ node: { id: "n" }, admin: address(0), static_resources: { listeners, clusters } });
const part = (line: string, name: string): string => new RegExp(`\\b${name}=([^ ,]+)`).exec(line)?.[1] ?? "";

test("a bootstrap file serves, says where, and SIGTERM lets a running request end", { timeout: 30_000 }, async () => {
  using files = folder();
  const arrived = Promise.withResolvers<(body: string) => void>();
  using up = await upstream((path, reply) => (path === "/slow" ? arrived.resolve(reply) : reply("hello")));
  await using sidecar = start("--bootstrap", files.write("e.json", bootstrap([listener()], [cluster(up.port)])));
  const line = await sidecar.ready;
  const admin = part(line, "admin");
  const url = `http://${part(line, "in")}`;
  assert.equal((await fetch(`http://${admin}/ready`)).status, 200);
  assert.equal(await (await fetch(url)).text(), "hello");
  assert.equal((await fetch(`http://${admin}/drain_listeners`)).status, 405);
  const slow = fetch(`${url}/slow`);
  const reply = await arrived.promise;
  sidecar.child.kill("SIGTERM");
  while ((await fetch(`http://${admin}/ready`)).status === 200);
  reply("late");
  assert.equal(await (await slow).text(), "late");
  assert.equal((await sidecar.child.exited).code, 0);
});

test("bytes that are no HTTP hurt only their own connection", { timeout: 30_000 }, async () => {
  using files = folder();
  using up = await upstream((_, reply) => reply("hello"));
  await using sidecar = start("--bootstrap", files.write("e.json", bootstrap([listener()], [cluster(up.port)])));
  const at = part(await sidecar.ready, "in");
  const socket = connect(Number(at.split(":")[1]), "127.0.0.1");
  const closed = new Promise((resolve) =>
    socket
      .once("close", resolve)
      .resume()
      .on("error", () => undefined),
  );
  socket.write(Buffer.from([0, 1, 2, 3, 13, 10, 13, 10]));
  await closed;
  assert.equal(await (await fetch(`http://${at}`)).text(), "hello");
});

test("clusters and listeners from files follow their files", { timeout: 30_000 }, async () => {
  using files = folder();
  using one = await upstream((_, reply) => reply("one"));
  using two = await upstream((_, reply) => reply("two"));
  const cds = (port: number): string =>
    JSON.stringify({
      resources: [{ "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster", ...cluster(port) }],
    });
  const lds = JSON.stringify({
    resources: [{ "@type": "type.googleapis.com/envoy.config.listener.v3.Listener", ...listener() }],
  });
  const source = (path: string) => ({ path_config_source: { path } });
  const cdsPath = files.write("cds.json", cds(one.port));
  const file = files.write(
    "e.json",
    JSON.stringify({
      node: { id: "n" },
      dynamic_resources: { cds_config: source(cdsPath), lds_config: source(files.write("lds.json", lds)) },
    }),
  );
  await using sidecar = start("--bootstrap", file);
  const line = await sidecar.ready;
  assert.equal(part(line, "admin"), "none");
  const ask = async (): Promise<string> => (await fetch(`http://${part(line, "in")}`)).text();
  assert.equal(await ask(), "one");
  files.write("cds.json", "resources: [");
  renameSync(files.write("new.json", cds(two.port)), cdsPath);
  while ((await ask()) !== "two");
});

test("a port that is taken, a refused resource, a file that is not there or is no bootstrap end the start", async () => {
  using files = folder();
  using busy = await upstream(() => undefined);
  const cases: readonly (readonly [file: string, code: number, text: RegExp])[] = [
    [
      files.write("busy.json", bootstrap([listener(busy.port)], [cluster(busy.port)])),
      1,
      /WF3105 listener in: .*\. Next:/,
    ],
    [
      files.write("refused.json", bootstrap([{ ...listener(), filter_chains: [{ filters: [{ name: "x" }] }] }], [])),
      1,
      /WF3102 listener in: .*filters/,
    ],
    [join(files.path, "absent.yaml"), 1, /WF3104 there is no file/],
    [files.write("bad.yaml", "static_resources:\n  listner: []\n"), 1, /WF3101 .*bad\.yaml:2:3 /],
  ];
  await Promise.all(
    cases.map(async ([file, code, text]) => {
      await using sidecar = start("--bootstrap", file, "--log-level", "off");
      assert.equal((await sidecar.child.exited).code, code, file);
      assert.match(sidecar.lines.join("\n"), text);
    }),
  );
});
