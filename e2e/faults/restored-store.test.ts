/** etcd restored from a snapshot, under live control planes and a sidecar that takes requests all the time. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { makePrivateFolder } from "@weft/net/process/private-folder";
import { startControlPlane, type TestControlPlane } from "@weft/testkit/control-plane";
import { startEchoServer } from "@weft/testkit/echo-server";
import { eventually } from "@weft/testkit/eventually";
import { callHttp } from "@weft/testkit/http-call";
import { startSidecar } from "@weft/testkit/sidecar";
import { startLoad } from "@weft/testkit/steady-load";
import { type RealEtcd, startEtcd } from "../registries/real-etcd.ts";
import { portsBecome, portsOf } from "../registries/sources.ts";
import { takeSnapshot } from "./etcd-snapshot.ts";

const instance = (service: string, id: string): string => `/v1/registry/${service}/instances/${id}`;

const put = (cp: TestControlPlane, path: string, port: number, more: object = {}) =>
  eventually(`${path} is registered`, async () => {
    await cp.api("PUT", path, { address: "127.0.0.1", servicePort: 80, port, ...more });
    return true;
  });

const entry = (host: string) => ({
  ...{ apiVersion: "networking.istio.io/v1", kind: "ServiceEntry", metadata: { name: host.replace(".", "-") } },
  spec: { hosts: [host], ports: [{ number: 80, name: "http", protocol: "HTTP" }], resolution: "DNS" },
});
const hostsOf = async (cp: TestControlPlane): Promise<string> =>
  [...new Set(JSON.stringify(await cp.api("GET", "/v1/config")).match(/\b(kept|gone|late)\.example/g))]
    .sort()
    .join(" ");

const clusterOf = async (etcd: RealEtcd): Promise<string> =>
  ((await etcd.call("kv/range", { key: "eA==" })) as { readonly header: { readonly cluster_id: string } }).header
    .cluster_id;

test("an etcd that is restored from a snapshot loses nothing that lives, and what is dead goes from it again", {
  timeout: 240_000,
}, async () => {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(makePrivateFolder("weft-restored-store-"));
  const keyFile = join(folder.path, "store-key");
  writeFileSync(keyFile, randomBytes(32).toString("base64"));
  const etcd = stack.use(await startEtcd());
  const args = ["--store", `etcd://${etcd.address}/weft`, "--store-key", keyFile];
  const one = stack.use(await startControlPlane({ args }));
  const two = stack.use(await startControlPlane({ args }));
  const planes = [one, two];
  const allBecome = (service: string, ports: string) =>
    Promise.all(planes.map((plane) => portsBecome(plane, service, ports)));
  const [early, late] = [stack.use(await startEchoServer("early")), stack.use(await startEchoServer("late"))];

  await put(one, instance("early", "a"), early.port);
  for (const [id, port] of [
    ["kept", 7001],
    ["gone", 7002],
    ["anew", 7003],
  ] as const)
    await put(one, instance("shop", id), port);
  await put(one, instance("brief", "gone"), 7004, { ttlSeconds: 10 });
  for (const host of ["kept.example", "gone.example"]) await one.api("POST", "/v1/config/apply", entry(host));
  const web = stack.use(await startSidecar({ ...one, secure: `${one.secure},${two.secure}` }, { name: "web" }));
  using snapshot = await takeSnapshot(etcd);
  const was = await clusterOf(etcd);

  await put(two, instance("late", "a"), late.port);
  await put(two, instance("shop", "late"), 7005, { ttlSeconds: 600 });
  await two.api("POST", "/v1/config/apply", entry("late.example"));
  for (const path of [instance("shop", "gone"), instance("shop", "anew"), instance("brief", "gone")])
    await two.api("DELETE", path);
  await two.api("POST", "/v1/config/delete", entry("gone.example"));
  await allBecome("shop", "7001 7005");
  const loads = ["early", "late"].map((host) => ({ host, path: "/" }));
  for (const call of loads)
    await eventually(`${call.host} answers`, async () => (await callHttp(web.outbound, call)).status === 200);
  const running = loads.map((call) => stack.use(startLoad(web.outbound, call, ({ status }) => status === 200, 1)));

  await snapshot.putBack();
  assert.notEqual(await clusterOf(etcd), was);
  await put(one, instance("shop", "anew"), 7003);
  await eventually(
    "what was taken out is gone again",
    async () => {
      const ports = await Promise.all(planes.flatMap((plane) => [portsOf(plane, "shop"), portsOf(plane, "brief")]));
      assert.deepEqual(ports, ["7001 7003 7005", "", "7001 7003 7005", ""]);
      assert.deepEqual(await Promise.all(planes.map(hostsOf)), [
        "kept.example late.example",
        "kept.example late.example",
      ]);
      return true;
    },
    120_000,
  );
  // One that comes now and knows nothing has the same.
  const fresh = stack.use(await startControlPlane({ args }));
  assert.equal(await portsOf(fresh, "shop"), "7001 7003 7005");
  assert.equal(await hostsOf(fresh), "kept.example late.example");
  for (const load of running) {
    await load.more(20);
    assert.deepEqual(load.failures, []);
  }
});
