/** Services larger than is taken: each is named with its registry, keeps its last good endpoints, and harms no neighbour. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { readIfThere } from "@weft/net/files/files";
import { startControlPlane, type TestControlPlane } from "@weft/testkit/control-plane";
import { eventually } from "@weft/testkit/eventually";
import { startZookeeper } from "../registries/real-zookeeper.ts";
import { portsBecome, portsOf, sourceOf, stateBecomes } from "../registries/sources.ts";
import { connectWriter } from "../registries/zookeeper-writer.ts";
import { startGrowingConsul, startGrowingNacos } from "./growing-liars.ts";

const record = (port: number): string => JSON.stringify({ address: "127.0.0.1", port });
const longName = (at: number): string => `${at}`.padStart(200, "x");
const longNames = 40;

interface Huge {
  readonly name: string;
  readonly key: string;
  /** Of the huge service, before and after it could not be read for a while. */
  readonly ports: string;
  readonly after: string;
}

const namedOnce = (plane: TestControlPlane, { name, key }: Huge) =>
  eventually(
    `${name} names ${key}`,
    async () => {
      const found = (await sourceOf(plane, name)).unreadableRecords.find((one) => one.key === key);
      assert.match(found?.problem ?? "", /bytes/);
      const { items } = (await plane.api("GET", "/v1/analyze")) as {
        items: readonly { code: string; message: string }[];
      };
      return items.some(({ code, message }) => code === "WF2112" && message.startsWith(`registry ${name}: ${key}: `));
    },
    60_000,
  );

test("a service too large keeps its endpoints, also over a new control plane, and its neighbours are followed", async () => {
  await using zookeeper = await startZookeeper();
  await using consul = await startGrowingConsul();
  await using nacos = await startGrowingNacos();
  using writer = await connectWriter(zookeeper.port, 60_000);
  const liars = [consul, nacos];
  for (const liar of liars) liar.set("vast", [7001, 7002]);
  consul.set("near-consul", [7011]);
  nacos.set("near-nacos", [7011]);
  await writer.create("/services/vast-zookeeper/a", record(7001));
  await writer.create("/services/near-zookeeper/a", record(7011));
  const args = [
    ...["--registry", `zookeeper://${zookeeper.address}/services?frame-bytes-max=4096`],
    ...["--registry", `consul://${consul.address}?to-namespace=of-consul`],
    ...["--registry", `nacos://${nacos.address}?transport=http&to-namespace=of-nacos`],
  ];
  const first = await startControlPlane({ args });
  await using _ = first;
  const namespaces = new Map([
    ["consul", "of-consul"],
    ["nacos", "of-nacos"],
    ["zookeeper", "default"],
  ]);
  const vastOf = (name: string): string => (name === "zookeeper" ? "vast-zookeeper" : "vast");
  const numbered = Array.from({ length: longNames }, (_, at) => 8000 + at);
  const all: readonly Huge[] = [
    { name: "consul", key: "vast", ports: "7001 7002", after: "7001 7002? 7003" },
    { name: "nacos", key: "public/DEFAULT_GROUP@@vast", ports: "7001 7002", after: "7001 7002? 7003" },
    {
      ...{ name: "zookeeper", key: "/services/vast-zookeeper" },
      ports: [7001, ...numbered].join(" "),
      after: "7001 7003",
    },
  ];
  const become = (plane: TestControlPlane, { name }: Huge, wanted: string) =>
    portsBecome(plane, vastOf(name), wanted, namespaces.get(name));
  for (const [at, port] of numbered.entries())
    await writer.create(`/services/vast-zookeeper/${longName(at)}`, record(port));
  for (const one of all) await become(first, one, one.ports);
  for (const { name } of all) {
    const kept = () => readIfThere(`${first.folder}/data/registries/${name}.json`) ?? "";
    await eventually("it is kept", () => kept().includes(name === "zookeeper" ? "8039" : "7002"));
  }

  for (const liar of liars) liar.vast = true;
  for (const one of all.slice(0, 2)) await namedOnce(first, one);
  first.program.kill("SIGKILL");
  await first.program.exited;
  const { xds, secure, http } = first;
  await using cp = await startControlPlane({ folder: first.folder, addresses: { xds, secure, http }, args });
  for (const one of all) {
    await namedOnce(cp, one);
    await stateBecomes(cp, one.name, "live");
    assert.equal(await portsOf(cp, vastOf(one.name), namespaces.get(one.name)), one.ports);
  }
  consul.set("near-consul", [7012]);
  nacos.set("near-nacos", [7012]);
  await writer.set("/services/near-zookeeper/a", record(7012));
  await portsBecome(cp, "near-consul", "7012", "of-consul");
  await portsBecome(cp, "near-nacos", "7012", "of-nacos");
  await portsBecome(cp, "near-zookeeper", "7012");

  for (const liar of liars) {
    liar.vast = false;
    liar.set("vast", [7001, 7003]);
  }
  for (let at = 0; at < longNames; at++) await writer.delete(`/services/vast-zookeeper/${longName(at)}`);
  await writer.create("/services/vast-zookeeper/b", record(7003));
  for (const one of all.slice(0, 2)) await become(cp, one, one.after);
  // Whether the others were deleted or expired nobody could read, so that some of them are held.
  await eventually("what is there is used", async () => {
    const ports = (await portsOf(cp, "vast-zookeeper")).split(" ");
    return ports.filter((port) => !port.endsWith("?")).join(" ") === all[2]?.after || undefined;
  });
  for (const { name } of all) assert.equal((await sourceOf(cp, name)).unreadableRecords.length, 0);
});
