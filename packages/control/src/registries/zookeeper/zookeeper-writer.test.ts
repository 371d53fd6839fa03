/** The writer against a ZooKeeper in memory. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { parseRegistryUrl } from "../outside/registry-url.ts";
import { WriteRefusal, type WrittenInstance, writtenByLabel } from "../outside/write-session.ts";
import { curatorLayout } from "./curator.ts";
import { createFakeZookeeper, createVirtualWorld } from "./testing/fake-zookeeper.ts";
import { parseZookeeperUrl, zookeeperDriver } from "./zookeeper-driver.ts";
import { curatorRecord, openZookeeperWriter } from "./zookeeper-writer.ts";

const cart: WrittenInstance = {
  ...{ key: "default/cart/c1/80", namespace: "default", service: "cart", id: "c1", address: "10.0.0.1", port: 80 },
  ...{ servicePort: 80, protocol: "http", serviceAccount: "", locality: "eu/a", weight: 3, health: "healthy" },
  labels: { version: "v1", [writtenByLabel]: "mesh" },
};

const setup = async (mode: "serves" | "refuses" | "readOnly" = "serves") => {
  const world = createVirtualWorld(1);
  const zookeeper = createFakeZookeeper(world);
  zookeeper.readOnly = mode === "readOnly";
  zookeeper.mode = mode === "refuses" ? "refuses" : "serves";
  const ended: string[] = [];
  const settings = parseZookeeperUrl(parseRegistryUrl("zookeeper://a:1/s/deep"), undefined);
  /** Lets the world go on until that is settled. */
  const wait = async <T>(promise: Promise<T>): Promise<T> => {
    let settled = false;
    const mark = () => {
      settled = true;
    };
    promise.then(mark, mark);
    while (!settled) {
      world.run(10);
      await turn();
    }
    return await promise;
  };
  const tools = { ...world.tools, ended: (reason: string) => void ended.push(reason), mesh: "mesh" };
  const openWriter = openZookeeperWriter(settings, zookeeper.dial);
  const open = () => wait(openWriter(tools));
  return { world, zookeeper, ended, wait, open };
};
const path = "/s/deep/cart/c1:80";

test("a record is made with the nodes above it, changed, and taken out with its service when that is empty", async () => {
  const { zookeeper, wait, open } = await setup();
  const session = await open();
  await wait(session.put(cart));
  assert.equal(JSON.parse(zookeeper.nodes.get(path) ?? "").port, 80);
  assert.ok(zookeeper.requests.some((one) => one.kind === "create" && one.path === path && one.ephemeral));
  assert.ok(zookeeper.requests.every((one) => one.kind !== "create" || one.path === path || !one.ephemeral));
  await wait(session.put({ ...cart, weight: 9 }));
  assert.equal(zookeeper.requests.at(-1)?.kind, "set");
  await wait(session.put({ ...cart, id: "c2" }));
  await wait(session.remove(cart));
  assert.deepEqual([...zookeeper.nodes.keys()].filter((one) => one.startsWith("/s/deep/")).sort(), [
    "/s/deep/cart",
    "/s/deep/cart/c2:80",
  ]);
  await wait(session.remove({ ...cart, id: "c2" }));
  await wait(session.remove({ ...cart, id: "never" }));
  assert.ok(!zookeeper.nodes.has("/s/deep/cart"));
});

test("a node of an earlier session is made anew, as it would go with that", async () => {
  const { zookeeper, wait, open } = await setup();
  for (const one of ["/s", "/s/deep", "/s/deep/cart", path]) zookeeper.nodes.set(one, "old");
  const session = await open();
  await wait(session.put(cart));
  const kinds = zookeeper.requests.map(({ kind }) => kind);
  assert.deepEqual(kinds.slice(-2), ["delete", "create"]);
});

test("what is missing is told, and made when it is put again", async () => {
  const { zookeeper, wait, open } = await setup();
  const session = await open();
  await wait(session.put(cart));
  const all = new Map([[cart.key, cart]]);
  assert.deepEqual(await wait(session.renew(all)), []);
  zookeeper.nodes.delete(path);
  assert.deepEqual(await wait(session.renew(all)), [cart.key]);
  await wait(session.put(cart));
  assert.ok(zookeeper.nodes.has(path));
  zookeeper.nodes.delete(path);
  zookeeper.nodes.delete("/s/deep/cart");
  assert.deepEqual(await wait(session.renew(all)), [cart.key]);
});

test("a broken connection ends the session with its reason, once, and every call with it", async () => {
  const { world, zookeeper, ended, wait, open } = await setup();
  const session = await open();
  zookeeper.hold = true;
  const call = session.put(cart);
  call.catch(() => {});
  world.run(10);
  zookeeper.breakConnection();
  await assert.rejects(wait(call), /a:1/);
  assert.equal(ended.length, 1);
  await assert.rejects(wait(session.put(cart)), /a:1/);
});

test("a server that refuses, or only reads, gives no session", async () => {
  await assert.rejects((await setup("refuses")).open());
  await assert.rejects((await setup("readOnly")).open(), /only reads/);
});

test("a record that is too large is refused alone; a login that may not write ends the session", async () => {
  const { zookeeper, wait, open } = await setup();
  const session = await open();
  const large = { ...cart, labels: { long: "x".repeat(1 << 20) } };
  await assert.rejects(wait(session.put(large)), WriteRefusal);
  zookeeper.errors.set(path, -102);
  await assert.rejects(wait(session.put(cart)), (error: Error) => !(error instanceof WriteRefusal));
});

test("what is written reads back, and only Curator's layout is written", () => {
  for (const health of ["healthy", "draining"] as const) {
    const data = Buffer.from(curatorRecord({ ...cart, health }, "default"));
    const read = curatorLayout.read({ key: path, namespace: "default", service: "cart", name: "c1:80", data });
    assert.ok(read.kind === "instance");
    const { address, port, protocol, locality, weight, labels } = read.instance;
    assert.deepEqual([address, port, protocol, locality, weight], ["10.0.0.1", 80, "http", "eu/a", 3]);
    assert.equal(labels[writtenByLabel], "mesh");
    assert.equal(labels.version, "v1");
    assert.equal(read.instance.health, health);
  }
  assert.equal(JSON.parse(curatorRecord({ ...cart, namespace: "shop" }, "default")).name, "cart-shop");
  const dubbo = parseRegistryUrl("zookeeper://a:1/dubbo?layout=dubbo");
  assert.throws(() => zookeeperDriver.write?.(dubbo, undefined), /only read/);
});

test("two services of the mesh that would have one name are not mixed, also over a new session", async () => {
  const { zookeeper, wait, open } = await setup();
  const own = { ...cart, service: "cart-shop", key: "default/cart-shop/c1/80" };
  const other = { ...cart, namespace: "shop", key: "shop/cart/c1/80" };
  await wait((await open()).put(own));
  const session = await open();
  await assert.rejects(wait(session.put(other)), WriteRefusal);
  await wait(session.remove(other));
  assert.ok(zookeeper.nodes.has("/s/deep/cart-shop/c1:80"));
  await wait(session.remove(own));
  assert.ok(!zookeeper.nodes.has("/s/deep/cart-shop/c1:80"));
  await wait(session.put(other));
  assert.ok(zookeeper.nodes.has("/s/deep/cart-shop/c1:80"));
});
