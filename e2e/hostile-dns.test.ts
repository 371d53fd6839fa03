/** Name servers that lie, loop, flap and fall silent: what was known stays, and whoever asks for good names is served. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { startEchoServer } from "@weft/testkit/echo-server";
import { eventually } from "@weft/testkit/eventually";
import { callHttp } from "@weft/testkit/http-call";
import { createNetworkNamespace } from "@weft/testkit/network-namespace";
import { weftEntry } from "@weft/testkit/processes";
import { startLoad } from "@weft/testkit/steady-load";
import { startHostileDns } from "./hostile-dns.ts";

const at = (address: string, portValue: number) => ({ socketAddress: { address, portValue } });
const type = (name: string): string => `type.googleapis.com/envoy.extensions.filters.${name}`;
/** Of each sort of answer two clusters, one of each kind that asks for names. */
const served = ["good", "gone", "flap", "zero", "case"];
const lying = ["loopa", "huge", "cut", "other", "noise", "slowa", "slowb"];
const kinds = ["STRICT_DNS", "LOGICAL_DNS"] as const;
const clusterOf = (name: string, kind: string): string => `${name}-${kind}`;

const bootstrap = (inside: string, appPort: number): object => {
  const all = [...served, ...lying].flatMap((name) =>
    kinds.map((kind) => ({ name, kind, cluster: clusterOf(name, kind) })),
  );
  return {
    node: { id: "dns", cluster: "dns" },
    admin: { address: at(inside, 9901) },
    staticResources: {
      clusters: all.map(({ name, kind, cluster }) => ({
        ...{ name: cluster, type: kind, connectTimeout: "1s", dnsLookupFamily: "V4_ONLY", respectDnsTtl: true },
        ...{ dnsRefreshRate: "0.002s", dnsFailureRefreshRate: { baseInterval: "0.002s" } },
        loadAssignment: {
          clusterName: cluster,
          endpoints: [{ lbEndpoints: [{ endpoint: { address: at(`${name}.test`, appPort) } }] }],
        },
      })),
      listeners: [
        {
          ...{ name: "http", address: at(inside, 8080) },
          filterChains: [
            {
              filters: [
                {
                  name: "hcm",
                  typedConfig: {
                    "@type": type("network.http_connection_manager.v3.HttpConnectionManager"),
                    statPrefix: "http",
                    httpFilters: [{ name: "router", typedConfig: { "@type": type("http.router.v3.Router") } }],
                    routeConfig: {
                      virtualHosts: [
                        {
                          name: "all",
                          domains: ["*"],
                          routes: all.map(({ cluster }) => ({
                            match: { prefix: `/${cluster}` },
                            route: { cluster, timeout: "2s" },
                          })),
                        },
                      ],
                    },
                  },
                },
              ],
            },
          ],
        },
      ],
    },
  };
};

test("lies about some names hurt neither the others nor what was known", { timeout: 120_000 }, async () => {
  await using stack = new AsyncDisposableStack();
  const namespace = stack.use(createNetworkNamespace());
  const [outside] = namespace.outside.ipv4;
  const inside = namespace.inside.ipv4;
  const etc = `/etc/netns/${namespace.name}`;
  mkdirSync(etc, { recursive: true });
  stack.defer(() => rmSync(etc, { recursive: true, force: true }));
  writeFileSync(join(etc, "resolv.conf"), `nameserver ${outside}\noptions timeout:1 attempts:1\n`);
  writeFileSync(join(etc, "nsswitch.conf"), "hosts: files dns\n");
  const app = stack.use(await startEchoServer("app", 0, outside));
  const dns = stack.use(await startHostileDns(outside));
  const folder = mkdtempSync(join(tmpdir(), "weft-hostile-dns-"));
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, "bootstrap.json");
  writeFileSync(file, JSON.stringify(bootstrap(inside, app.port)));
  const startedMs = performance.now();
  const sidecar = stack.use(
    namespace.start(process.execPath, ["--disable-warning=ExperimentalWarning", weftEntry, "sidecar", "-c", file]),
  );
  await sidecar.waitFor(/\bready\b/);
  const [proxy, admin] = [`${inside}:8080`, `${inside}:9901`];
  const statusOf = async (cluster: string): Promise<number> => (await callHttp(proxy, { path: `/${cluster}` })).status;
  for (const name of served)
    for (const kind of kinds)
      await eventually(
        `${name} is served`,
        async () => ((await statusOf(clusterOf(name, kind))) === 200 ? true : undefined),
        40_000,
      );
  const loads = ["good-STRICT_DNS", "gone-LOGICAL_DNS", "gone-STRICT_DNS", "flap-STRICT_DNS", "zero-LOGICAL_DNS"].map(
    (cluster) => stack.use(startLoad(proxy, { path: `/${cluster}` }, ({ status }) => status === 200, 1)),
  );

  dns.forget();
  const known = dns.asked("gone");
  await eventually(
    "what is gone was asked for again, each way",
    () => (dns.asked("gone") > known + 6 ? true : undefined),
    60_000,
  );
  for (const name of lying) {
    await eventually(`${name} was asked for`, () => (dns.asked(name) > 0 ? true : undefined), 40_000);
    for (const kind of kinds) assert.ok((await statusOf(clusterOf(name, kind))) >= 500, name);
  }
  for (const load of loads) await load.more(50);
  for (const load of loads) {
    await load.stop();
    assert.deepEqual(load.failures, []);
  }
  assert.equal((await callHttp(admin, { path: "/ready" })).status, 200);
  const { body } = await callHttp(admin, { path: "/stats?filter=uncaught" });
  assert.doesNotMatch(body, /: [1-9]/, sidecar.lines.filter((line) => line.includes("WF5900")).join("\n"));
  // Ten a second and name, with two clusters that ask; each question may be sent again by TCP.
  const most = ((performance.now() - startedMs) / 100 + 10) * 2 * 2;
  for (const name of [...served, ...lying]) assert.ok(dns.asked(name) <= most, `${name}: ${dns.asked(name)} questions`);
  sidecar.kill("SIGTERM");
  await sidecar.exited;
});
