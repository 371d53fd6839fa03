/** The mesh's names as a sidecar answers them, over UDP and TCP, while services come and go. */
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { promises as dns } from "node:dns";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { findFreePort } from "@weft/net/process/free-port";
import { recordType } from "@weft/protocols/dns/message";
import { addressRecord, answering, startFakeDns } from "@weft/proxy/dns/testing/fake-dns";
import { startControlPlane } from "@weft/testkit/control-plane";
import { eventually } from "@weft/testkit/eventually";
import { callHttp } from "@weft/testkit/http-call";
import { startMeshEnvoy } from "@weft/testkit/mesh-envoy";
import { type Program, startWeft } from "@weft/testkit/processes";
import { registerInstance, startSidecar, type TestSidecar } from "@weft/testkit/sidecar";
import { addressesIn, askDns } from "./dns-client.ts";

const timeout = 80_000;

const dnsPortOf = async (program: Program): Promise<number> => {
  const [, port] = await program.waitFor(/\bready\b.*\bdns=127\.0\.0\.1:(\d+)/);
  return Number(port);
};

const statOf = async ({ admin }: Pick<TestSidecar, "admin">, name: string): Promise<number> => {
  const { body } = await callHttp(admin, { path: "/stats" });
  return Number(new RegExp(`^${name}: (\\d+)$`, "m").exec(body)?.[1] ?? Number.NaN);
};

const entry = (name: string, spec: string): string => `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: ${name}}
spec: {${spec}, ports: [{number: 80, name: http, protocol: HTTP}]}
---`;

const kubernetes = `
apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: default}
spec: {clusterIP: 10.96.0.7, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: ratings, namespace: prod}
spec: {clusterIP: 10.96.0.8, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: default}
spec: {clusterIP: None, ports: [{name: tcp, port: 5432}]}
---
apiVersion: v1
kind: Endpoints
metadata: {name: db, namespace: default}
subsets: [{addresses: [{ip: 10.1.0.1}, {ip: 10.1.0.2}], ports: [{name: tcp, port: 5432}]}]
---`;

test("services, service entries and headless services have their names while they are there", { timeout }, async () => {
  await using stack = new AsyncDisposableStack();
  const yaml = [
    kubernetes,
    entry("fixed", "hosts: [fixed.example], addresses: [192.0.2.7, '2001:db8::7', 198.51.100.0/24], resolution: NONE"),
    entry("auto", "hosts: [auto.example], resolution: DNS"),
    entry("wild", "hosts: ['*.wild.example'], addresses: [192.0.2.9], resolution: NONE"),
  ].join("\n");
  const cp = stack.use(await startControlPlane({ yaml }));
  const web = stack.use(await startSidecar(cp, { name: "web", args: ["--dns", "127.0.0.1:0"] }));
  const plain = stack.use(await startSidecar(cp, { name: "plain" }));
  const port = await dnsPortOf(web.program);
  const a = async (name: string): Promise<readonly string[]> => addressesIn(await askDns(port, name));

  for (const name of ["reviews", "reviews.default", "reviews.default.svc", "reviews.default.svc.cluster.local"])
    assert.deepEqual(await a(name), ["10.96.0.7"], name);
  for (const name of ["ratings.prod", "ratings.prod.svc", "Ratings.PROD.svc.cluster.local."])
    assert.deepEqual(await a(name), ["10.96.0.8"], name);
  assert.deepEqual(await a("db.default"), ["10.1.0.1", "10.1.0.2"]);
  assert.deepEqual(await a("fixed.example"), ["192.0.2.7"], "networks are nothing to dial");
  assert.deepEqual(addressesIn(await askDns(port, "fixed.example", { type: recordType.aaaa })), ["2001:db8::7"]);
  assert.deepEqual(await a("any.thing.wild.example"), ["192.0.2.9"]);
  assert.match((await a("auto.example")).join(), /^240\.240\.\d+\.\d+$/);
  const other = await askDns(port, "reviews", { type: recordType.aaaa });
  assert.deepEqual([other.code, other.answers.length], [0, 0]);
  assert.deepEqual(addressesIn(await askDns(port, "reviews", { tcp: true })), ["10.96.0.7"]);
  assert.equal((await askDns(port, "none.default.svc.cluster.local")).code, 3);

  // A system's own resolver reads the answers too.
  const resolver = new dns.Resolver({ timeout: 10_000, tries: 2 });
  resolver.setServers([`127.0.0.1:${port}`]);
  assert.deepEqual(await resolver.resolve4("reviews.default", { ttl: true }), [{ address: "10.96.0.7", ttl: 30 }]);
  await assert.rejects(resolver.resolve6("reviews.default"), { code: "ENODATA" });
  await assert.rejects(resolver.resolve4("none.default.svc.cluster.local"), { code: "ENOTFOUND" });

  // Services come and go; an instance that registers brings a name with an address of its own.
  await registerInstance(cp, { service: "late", id: "1", port: 7, appPort: 8 });
  const [late] = await eventually("the new service has a name", async () => {
    const found = await a("late");
    return found.length > 0 ? found : undefined;
  });
  assert.match(late ?? "", /^240\.240\./);
  await cp.apply(entry("extra", "hosts: [extra.example], addresses: [192.0.2.44], resolution: NONE"));
  await eventually(
    "the applied entry has a name",
    async () => (await a("extra.example"))[0] === "192.0.2.44" || undefined,
  );
  await cp.api("DELETE", "/v1/registry/late/instances/1");
  await eventually("the name goes with its service", async () => {
    const { code } = await askDns(port, "late.default.svc.cluster.local");
    return code === 3 || undefined;
  });
  assert.ok((await statOf(web, "dns\\.answered")) > 10);
  assert.ok((await statOf(web, "dns\\.names")) > 10);

  // Who did not ask for it is not given it.
  const dump = (await callHttp(plain.admin, { path: "/config_dump" })).body;
  assert.doesNotMatch(dump, /dns_filter/);
  assert.doesNotMatch((await callHttp(plain.admin, { path: "/stats" })).body, /^dns\.names/m);
});

test("names hold through a restart of the sidecar without its control plane", { timeout }, async () => {
  await using stack = new AsyncDisposableStack();
  const cp = stack.use(await startControlPlane({ yaml: kubernetes }));
  const folder = mkdtempSync(join(tmpdir(), "weft-dns-"));
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  const first = await startSidecar(cp, { name: "web", folder, args: ["--dns", "127.0.0.1:0"] });
  assert.equal((await askDns(await dnsPortOf(first.program), "reviews")).answers.length, 1);
  await first[Symbol.asyncDispose]();
  await cp.program[Symbol.asyncDispose]();
  const again = stack.use(await startSidecar(cp, { name: "web", folder, args: ["--dns", "127.0.0.1:0"] }));
  assert.deepEqual(addressesIn(await askDns(await dnsPortOf(again.program), "reviews")), ["10.96.0.7"]);
});

const longRecords = Array.from({ length: 120 }, (_, index) => addressRecord("long.example", `192.0.2.${index}`));

const socket = (portValue: number, protocol?: "UDP") => ({
  socketAddress: { address: "127.0.0.1", portValue, ...(protocol ? { protocol } : {}) },
});
const type = (name: string): string => `type.googleapis.com/envoy.extensions.${name}`;

const staticSidecar = (upstream: number): object => ({
  node: { id: "static", cluster: "static" },
  admin: { address: socket(0) },
  staticResources: {
    listeners: [
      {
        name: "dns",
        address: socket(0, "UDP"),
        listenerFilters: [
          {
            name: "envoy.filters.udp.dns_filter",
            typedConfig: {
              "@type": type("filters.udp.dns_filter.v3.DnsFilterConfig"),
              statPrefix: "mesh",
              serverConfig: {
                inlineDnsTable: {
                  virtualDomains: [{ name: "own.example", endpoint: { addressList: { address: ["10.0.0.1"] } } }],
                },
              },
              clientConfig: {
                maxPendingLookups: "10",
                typedDnsResolverConfig: {
                  name: "envoy.network.dns_resolver.cares",
                  typedConfig: {
                    "@type": type("network.dns_resolver.cares.v3.CaresDnsResolverConfig"),
                    resolvers: [socket(upstream)],
                  },
                },
              },
            },
          },
        ],
      },
    ],
  },
});

test("a stock Envoy that names an address answers the same names there", { timeout }, async () => {
  await using stack = new AsyncDisposableStack();
  const wild = entry("wild", "hosts: ['*.wild.example'], addresses: [192.0.2.9], resolution: NONE");
  const cp = stack.use(await startControlPlane({ yaml: `${kubernetes}${wild}` }));
  const port = await findFreePort("127.0.0.1", 0);
  const outboundPort = await findFreePort("127.0.0.1", 0);
  const metadata = { WEFT_DNS: `127.0.0.1:${port}` };
  const workload = { name: "web", service: "web" };
  const envoy = stack.use(await startMeshEnvoy(cp, workload, { mode: "DELTA_GRPC", outboundPort, metadata }));
  const a = async (name: string): Promise<readonly string[]> => addressesIn(await askDns(port, name));
  for (const name of ["reviews", "reviews.default", "reviews.default.svc", "reviews.default.svc.cluster.local"])
    assert.deepEqual(await a(name), ["10.96.0.7"], name);
  assert.deepEqual(await a("db.default"), ["10.1.0.1", "10.1.0.2"]);
  assert.deepEqual(await a("a.wild.example"), ["192.0.2.9"]);
  const { body } = await callHttp(envoy.admin, { path: "/stats?filter=lds.update_rejected" });
  assert.match(body, /lds\.update_rejected: 0/);
});

test("other names are asked for upstream, cut answers again over TCP, and garbage harms nobody", {
  timeout,
}, async () => {
  await using stack = new AsyncDisposableStack();
  const known = answering({ "else.example": ["192.0.2.200"] });
  const upstream = stack.use(
    await startFakeDns((question) =>
      question.name === "long.example"
        ? { answers: longRecords }
        : question.name === "silent.example"
          ? undefined
          : known(question),
    ),
  );
  const folder = mkdtempSync(join(tmpdir(), "weft-dns-"));
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(join(folder, "bootstrap.json"), JSON.stringify(staticSidecar(upstream.port)));
  const program = stack.use(startWeft(["sidecar", "-c", join(folder, "bootstrap.json"), "--concurrency", "2"]));
  const port = await dnsPortOf(program);
  const [, admin = ""] = await program.waitFor(/\bready\b.*\badmin=(\S+)/);

  assert.deepEqual(addressesIn(await askDns(port, "else.example")), ["192.0.2.200"]);
  assert.equal((await askDns(port, "none.example")).code, 3);
  assert.deepEqual(addressesIn(await askDns(port, "own.example")), ["10.0.0.1"]);
  assert.ok((await askDns(port, "long.example")).truncated);
  assert.equal((await askDns(port, "long.example", { tcp: true })).answers.length, longRecords.length);
  const resolver = new dns.Resolver({ timeout: 10_000, tries: 2 });
  resolver.setServers([`127.0.0.1:${port}`]);
  assert.equal((await resolver.resolve4("long.example")).length, longRecords.length);
  assert.ok(!upstream.asked.some(({ name }) => name === "own.example"));

  // Bytes of every kind, and a connection that begins and says no more; then all is as before.
  const noise = createSocket("udp4");
  stack.defer(() => void noise.close());
  for (let length = 0; length < 300; length++) noise.send(Buffer.alloc(length, length), port, "127.0.0.1");
  const half = connect(port, "127.0.0.1");
  stack.defer(() => void half.destroy());
  half.on("error", () => {});
  half.write(Buffer.from([0x40, 0x00, 0x01]));
  const torn = connect(port, "127.0.0.1");
  stack.defer(() => void torn.destroy());
  torn.on("error", () => {});
  torn.write(Buffer.from([0, 5, 1, 2, 3, 4, 5]));
  await new Promise((resolve) => torn.once("close", resolve));
  assert.deepEqual(addressesIn(await askDns(port, "own.example")), ["10.0.0.1"]);

  // More than may be under way: the rest is told so at once, and nobody waits for ever.
  const codes = await Promise.all(
    Array.from({ length: 30 }, async () => (await askDns(port, "silent.example", { tcp: true })).code),
  );
  assert.deepEqual(new Set(codes), new Set([2]));
  assert.ok((await statOf({ admin }, "dns\\.overflow")) >= 10);
  assert.ok((await statOf({ admin }, "dns\\.malformed")) > 0);
  assert.ok((await statOf({ admin }, "dns\\.forwarded")) > 3);
  const uncaught = program.lines.filter((line) => line.includes("WF5900")).join("\n");
  assert.equal(await statOf({ admin }, "server\\.uncaught_errors"), 0, uncaught);
});

test("an address that others could reach is refused before anything starts", { timeout }, async () => {
  await using program = startWeft([
    ...["sidecar", "--cp", "127.0.0.1:1", "--root-cert", "x", "--name", "web", "--dns", "0.0.0.0:15053"],
  ]);
  await program.waitFor(/WF3112/);
});
