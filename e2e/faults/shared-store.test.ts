/** The shared store behind a network that swallows packets: nobody who registered is lost. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { makePrivateFolder } from "@weft/net/process/private-folder";
import { startControlPlane, type TestControlPlane } from "@weft/testkit/control-plane";
import { eventually } from "@weft/testkit/eventually";
import { openPlaceApart } from "../registries/place.ts";
import { startEtcd } from "../registries/real-etcd.ts";
import { portsBecome, portsOf } from "../registries/sources.ts";

const startOver = async (address: string, folder: string): Promise<TestControlPlane> => {
  const keyFile = join(folder, "store-key");
  writeFileSync(keyFile, randomBytes(32).toString("base64"));
  return await startControlPlane({ args: ["--store", `etcd://${address}/weft`, "--store-key", keyFile] });
};

const register = async (cp: TestControlPlane, id: string, port: number): Promise<number> => {
  const body = JSON.stringify({ address: "127.0.0.1", port, servicePort: 80 });
  const url = `http://${cp.http}/v1/registry/shop/instances/${id}`;
  const headers = { authorization: `Bearer ${readFileSync(cp.adminTokenFile, "utf8").trim()}` };
  return (await fetch(url, { method: "PUT", body, headers })).status;
};
const registered = (cp: TestControlPlane, id: string, port: number) =>
  eventually(`${id} is registered`, async () => (await register(cp, id, port)) < 300 || undefined, 60_000);

test("behind a partition of the shared store what is known stays, changes are refused in time and taken afterwards", async () => {
  using place = openPlaceApart();
  using folder = makePrivateFolder("weft-store-");
  await using etcd = await startEtcd({ place });
  await using cp = await startOver(etcd.address, folder.path);
  await registered(cp, "a", 7001);
  await portsBecome(cp, "shop", "7001");
  place.cut();
  assert.equal(await register(cp, "b", 7002), 503);
  assert.equal(await portsOf(cp, "shop"), "7001");
  place.mend();
  await registered(cp, "b", 7002);
  await portsBecome(cp, "shop", "7001 7002");
});
