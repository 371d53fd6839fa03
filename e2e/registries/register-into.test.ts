/** Services of the mesh in a real Consul and a real etcd: written, renewed, written again, and gone when their mesh is. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { startControlPlane, type TestControlPlane } from "@weft/testkit/control-plane";
import { startEchoServer } from "@weft/testkit/echo-server";
import { eventually } from "@weft/testkit/eventually";
import { callHttp } from "@weft/testkit/http-call";
import { startSidecar } from "@weft/testkit/sidecar";
import { type RealConsul, startConsul } from "./real-consul.ts";
import { type RealEtcd, startEtcd } from "./real-etcd.ts";
import { startZookeeper } from "./real-zookeeper.ts";
import { startRelay } from "./relay.ts";
import { endpointsOf, portsBecome, sourceOf, targetOf } from "./sources.ts";

const stack = new AsyncDisposableStack();
let consul: RealConsul;
let etcd: RealEtcd;
/** Writes into both, and reads both. */
let cp: TestControlPlane;
/** Another mesh, which reads Consul and etcd. */
let reader: TestControlPlane;
before(async () => {
  consul = stack.use(await startConsul());
  etcd = stack.use(await startEtcd());
  const urls = [`consul://${consul.address}`, `etcd://${etcd.address}/weft`];
  const flags = (name: string) => urls.flatMap((url) => [name, url]);
  const mesh = ["--trust-domain", "writer.example"];
  cp = stack.use(await startControlPlane({ args: [...flags("--registry"), ...flags("--register-into"), ...mesh] }));
  reader = stack.use(await startControlPlane({ args: flags("--registry") }));
});
after(() => stack.disposeAsync());

const register = (service: string, id: string, more: Readonly<Record<string, unknown>> = {}, plane = cp) =>
  plane.api("PUT", `/v1/registry/${service}/instances/${id}`, { address: "127.0.0.1", protocol: "http", ...more });
const remove = (service: string, id: string, namespace = "default") =>
  cp.api("DELETE", `/v1/registry/${service}/instances/${id}?namespace=${namespace}`);

interface ConsulEntry {
  readonly Service: { readonly Port: number; readonly Meta: Readonly<Record<string, string>> };
  readonly Checks: readonly { readonly Status: string }[];
}
const inConsul = async (service: string): Promise<readonly ConsulEntry[]> =>
  (await consul.get(`/v1/health/service/${service}`)) as readonly ConsulEntry[];
const consulHas = (service: string, wanted: string) =>
  eventually(
    `Consul has ${wanted || "nothing"} of ${service}`,
    async () => {
      const found = (await inConsul(service)).map(({ Service }) => Service.Port).sort();
      return found.join(" ") === wanted || undefined;
    },
    60_000,
  );
const inEtcd = async (prefix: string): Promise<readonly string[]> => {
  const base64 = (text: string): string => Buffer.from(text).toString("base64");
  const { kvs = [] } = (await etcd.call("kv/range", { key: base64(prefix), range_end: base64(`${prefix}~`) })) as {
    kvs?: readonly { readonly key: string }[];
  };
  return kvs.map(({ key }) => Buffer.from(key, "base64").toString());
};
const etcdHas = (prefix: string, ...wanted: readonly string[]) =>
  eventually(
    `etcd has ${wanted.join(" ") || "nothing"}`,
    async () => (await inEtcd(prefix)).join(" ") === wanted.join(" ") || undefined,
    60_000,
  );

test("what registers here stands there with all it has, is called from another mesh, and goes when it goes", async () => {
  await using echo = await startEchoServer("written");
  await register("cart", "c1", {
    ...{ port: echo.port, servicePort: 80, weight: 5, locality: "eu/a" },
    labels: { version: "v1", "app.kubernetes.io/name": "cart" },
  });
  await consulHas("cart", `${echo.port}`);
  await etcdHas("/weft/default/cart/", `/weft/default/cart/c1:${echo.port}`);
  await portsBecome(reader, "cart", `${echo.port} ${echo.port}`);
  for (const { weight } of await endpointsOf(reader, "cart")) assert.equal(weight, 5);
  const web = stack.use(await startSidecar(reader, { name: "web" }));
  await eventually(
    "it is called",
    async () => (await callHttp(web.outbound, { host: "cart" })).status === 200 || undefined,
  );

  await register("cart", "c1", { port: echo.port, servicePort: 80, health: "draining" });
  const drains = async () => (await endpointsOf(reader, "cart")).every(({ health }) => health === "draining");
  await eventually("both say that it drains", async () => (await drains()) || undefined);
  await remove("cart", "c1");
  await consulHas("cart", "");
  await etcdHas("/weft/default/cart/");
  await portsBecome(reader, "cart", "");
});

test("what the mesh wrote it does not read back", async () => {
  await register("own", "o1", { port: 7001 });
  await portsBecome(reader, "own", "7001 7001");
  await portsBecome(cp, "own", "7001");
  for (const name of ["consul", "etcd"]) assert.equal((await sourceOf(cp, name)).instances, 0);
  await remove("own", "o1");
});

test("a namespace beside the default is told by the name in Consul, and reads back as it was", async () => {
  await register("cart", "n1", { namespace: "shop", port: 7011 });
  await consulHas("cart-shop", "7011");
  await portsBecome(reader, "cart", "7011 7011", "shop");
  await remove("cart", "n1", "shop");
  await portsBecome(reader, "cart", "", "shop");
});

test("what somebody took out there is written again", async () => {
  await register("stays", "s1", { port: 7021 });
  await consulHas("stays", "7021");
  await consul.deregister("weft-writer.example-default:stays:s1:7021");
  await etcd.delete("/weft/default/stays/s1:7021");
  await consulHas("stays", "");
  await consulHas("stays", "7021");
  await etcdHas("/weft/default/stays/", "/weft/default/stays/s1:7021");
});

test("a registry that lost its data gets everything again", async () => {
  for (const one of [consul, etcd]) {
    await one.kill();
    const name = one === consul ? "consul" : "etcd";
    await eventually("it is lost", async () => (await targetOf(cp, name)).state === "lost" || undefined, 60_000);
    const findings = (await cp.api("GET", "/v1/analyze")) as { items: readonly { code: string; message: string }[] };
    assert.ok(findings.items.some(({ code, message }) => code === "WF2120" && message.includes(name)));
    await one.restart({ empty: true });
  }
  await consulHas("stays", "7021");
  await etcdHas("/weft/default/stays/", "/weft/default/stays/s1:7021");
  const { state, written } = await targetOf(cp, "consul");
  assert.deepEqual([state, written.written, written.wanted], ["live", 1, 1]);
});

test("a registry that is away takes nobody out here, and gets what changed meanwhile", async () => {
  await using relay = await startRelay(consul.address);
  await using plane = await startControlPlane({
    args: ["--register-into", `consul://${relay.address}`, "--trust-domain", "third.example"],
  });
  await register("away", "a1", { port: 7031 }, plane);
  await register("away", "a2", { port: 7032 }, plane);
  await consulHas("away", "7031 7032");
  relay.cut();
  await register("away", "a3", { port: 7033 }, plane);
  await plane.api("DELETE", "/v1/registry/away/instances/a1?namespace=default");
  await eventually("it is lost", async () => (await targetOf(plane, "consul")).state === "lost" || undefined, 60_000);
  await portsBecome(plane, "away", "7032 7033");
  relay.mend();
  await consulHas("away", "7032 7033");
});

test("only namespaces that were asked for are written", async () => {
  await using plane = await startControlPlane({
    args: ["--register-into", `etcd://${etcd.address}/some?of-namespaces=shop`],
  });
  await register("cart", "x", { port: 7041 }, plane);
  await register("cart", "y", { port: 7042, namespace: "shop" }, plane);
  await etcdHas("/some/", "/some/shop/cart/y:7042");
});

test("in ZooKeeper too: written, read by another mesh, written again, and gone with the session", async () => {
  await using zookeeper = await startZookeeper();
  const url = `zookeeper://${zookeeper.address}/services?session-timeout-ms=4000`;
  const mesh = ["--trust-domain", "writer.example"];
  await using plane = await startControlPlane({ args: ["--register-into", url, "--registry", url, ...mesh] });
  await using other = await startControlPlane({ args: ["--registry", url] });
  await register("cart", "c1", { port: 7051, weight: 5 }, plane);
  await register("till", "t1", { port: 7052 }, plane);
  await portsBecome(other, "cart", "7051");
  await portsBecome(other, "till", "7052");
  assert.equal((await endpointsOf(other, "cart"))[0]?.weight, 5);
  assert.equal((await sourceOf(plane, "zookeeper")).instances, 0);
  await plane.api("DELETE", "/v1/registry/till/instances/t1?namespace=default");
  await portsBecome(other, "till", "");
  await zookeeper.kill();
  await eventually("it is lost", async () => (await targetOf(plane, "zookeeper")).state === "lost" || undefined);
  await zookeeper.restart({ empty: true });
  const isWritten = async () => (await targetOf(plane, "zookeeper")).written.written === 1;
  await eventually("it is written again", async () => (await isWritten()) || undefined, 60_000);
  const isRead = async (): Promise<boolean> => {
    const { state, held, events } = await sourceOf(other, "zookeeper");
    return state === "live" && (events.listed ?? 0) > 1 && held.absent === 0;
  };
  await eventually("it is read again", async () => (await isRead()) || undefined, 60_000);
  plane.program.kill("SIGKILL");
  await portsBecome(other, "cart", "");
});

test("when the control plane dies, what it wrote fails there and goes", async () => {
  await consulHas("stays", "7021");
  cp.program.kill("SIGKILL");
  await cp.program.exited;
  await etcdHas("/weft/default/stays/");
  const isCritical = async () => (await inConsul("stays")).some(({ Checks }) => Checks.some(isCriticalCheck));
  await eventually("Consul says that it fails", async () => (await isCritical()) || undefined, 60_000);
  await portsBecome(reader, "stays", "7021");
  assert.equal((await endpointsOf(reader, "stays"))[0]?.health, "unhealthy");
});

const isCriticalCheck = ({ Status }: { readonly Status: string }): boolean => Status === "critical";
