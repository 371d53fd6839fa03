/** The shared store comes back with an older state: nobody who registered since is lost, at any moment, at either replica. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { makePrivateFolder } from "@weft/net/process/private-folder";
import { startControlPlane, type TestControlPlane } from "@weft/testkit/control-plane";
import { eventually } from "@weft/testkit/eventually";
import { type RealEtcd, startEtcd } from "../registries/real-etcd.ts";
import { portsBecome, portsOf, stateBecomes } from "../registries/sources.ts";
import { copyState } from "./older-state.ts";

const pathOf = (id: string): string => `/v1/registry/shop/instances/${id}`;

const register = (cp: TestControlPlane, id: string, more: { readonly port: number; readonly ttlSeconds?: number }) =>
  eventually(`${id} is registered`, async () => {
    await cp.api("PUT", pathOf(id), { address: "127.0.0.1", servicePort: 80, ...more });
    return true;
  });

/** Of every look at a service, at each replica, until disposed, those without one of the ports. */
const watchFor = (planes: readonly TestControlPlane[], wanted: readonly string[]) => {
  const lacking: string[] = [];
  let ended = false;
  const looking = planes.map(async (plane) => {
    for (let looks = 0; !ended || looks === 0; looks++) {
      const ports = (await portsOf(plane, "shop")).split(" ");
      if (!wanted.every((port) => ports.includes(port))) lacking.push(ports.join(" "));
      await wait(20);
    }
  });
  return {
    lacking,
    end: async () => {
      ended = true;
      await Promise.all(looking);
    },
  };
};

const isStored = async (etcd: RealEtcd, key: string): Promise<boolean> => {
  const answer = await etcd.call("kv/range", { key: Buffer.from(`/weft/${key}`).toString("base64") });
  return Number(answer.count ?? 0) === 1;
};

const wentBack = async (cp: TestControlPlane): Promise<{ readonly written: number } | undefined> => {
  const { items } = (await cp.api("GET", "/v1/registries")) as { readonly items: readonly Record<string, unknown>[] };
  return items.find(({ url }) => url === "embedded:")?.wentBack as { readonly written: number } | undefined;
};

test("a shared store that comes back with an older state loses no live endpoint and gets back what it lacks", async () => {
  using folder = makePrivateFolder("weft-older-store-");
  const keyFile = join(folder.path, "store-key");
  writeFileSync(keyFile, randomBytes(32).toString("base64"));
  await using etcd = await startEtcd();
  const args = ["--store", `etcd://${etcd.address}/weft`, "--store-key", keyFile];
  await using one = await startControlPlane({ args });
  await using two = await startControlPlane({ args });
  const planes = [one, two];
  const allBecome = (ports: string) => Promise.all(planes.map((plane) => portsBecome(plane, "shop", ports)));

  await register(one, "a", { port: 7001 });
  await register(one, "gone", { port: 7003 });
  await allBecome("7001 7003");
  using older = await copyState(etcd);
  await Promise.all(planes.map((plane) => stateBecomes(plane, "Registry", "live")));
  await register(two, "b", { port: 7002 });
  await register(two, "leased", { port: 7004, ttlSeconds: 60 });
  await one.api("DELETE", pathOf("gone"));
  await allBecome("7001 7002 7004");

  const watched = watchFor(planes, ["7001", "7002", "7004"]);
  await older.putBack();
  await eventually("the store has again what it lacked", async () => {
    assert.ok(await isStored(etcd, "store/repaired"));
    assert.ok(await isStored(etcd, "instances/default/shop/b"));
    assert.ok(await isStored(etcd, "instances/default/shop/leased"));
    return true;
  });
  // One that was taken out is there for a while, until all who may know better have come back.
  await allBecome("7001 7002 7003 7004");
  await eventually(
    "who has to be renewed has its time again",
    () => isStored(etcd, "alive/default/shop/leased"),
    60_000,
  );
  await allBecome("7001 7002 7004");
  await watched.end();
  assert.deepEqual(watched.lacking, []);
  const found = await Promise.all(planes.map(wentBack));
  assert.ok(found.some((each) => (each?.written ?? 0) >= 2));
});
