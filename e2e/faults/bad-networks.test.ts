/** Registries behind a network that is slow or swallows everything, and one that comes back with an older state. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { startControlPlane } from "@weft/testkit/control-plane";
import { eventually } from "@weft/testkit/eventually";
import { createNetworkNamespace } from "@weft/testkit/network-namespace";
import { startEtcd } from "../registries/real-etcd.ts";
import { startZookeeper } from "../registries/real-zookeeper.ts";
import { startRelay } from "../registries/relay.ts";
import { portsBecome, portsOf, sourceOf, stateBecomes } from "../registries/sources.ts";
import { connectWriter } from "../registries/zookeeper-writer.ts";

const curator = (port: number): string => JSON.stringify({ address: "127.0.0.1", port });

// They wait for networks, not for processors.
describe("a bad network loses no endpoint", { concurrency: true }, () => {
  test("answers of etcd and ZooKeeper that take 10 s are waited for, and changes come all the same", async () => {
    await using etcd = await startEtcd();
    await using zookeeper = await startZookeeper(2_000);
    await using toEtcd = await startRelay(etcd.address);
    await using toZookeeper = await startRelay(zookeeper.address);
    using writer = await connectWriter(zookeeper.port);
    await writer.create("/services/keeper/a", curator(7011));
    await etcd.put("/weft/keys/a", "127.0.0.1:7001");
    await using cp = await startControlPlane({
      args: [
        ...["--registry", `etcd://${toEtcd.address}/weft`],
        ...["--registry", `zookeeper://${toZookeeper.address}/services`],
      ],
    });
    await portsBecome(cp, "keys", "7001");
    await portsBecome(cp, "keeper", "7011");
    toEtcd.slow(10_000);
    toZookeeper.slow(10_000);
    await etcd.put("/weft/keys/b", "127.0.0.1:7002");
    await etcd.delete("/weft/keys/a");
    await writer.create("/services/keeper/b", curator(7012));
    await portsBecome(cp, "keys", "7002");
    await portsBecome(cp, "keeper", "7011 7012");
    for (const name of ["etcd", "zookeeper"]) {
      const { state, events } = await sourceOf(cp, name);
      assert.deepEqual([name, state, events.lost], [name, "live", undefined]);
    }
  });

  test("a partition that swallows packets freezes the view, and is made good when it ends", async () => {
    using network = createNetworkNamespace();
    using folder = temporary();
    const [client, peer] = [2379, 2380].map((port) => `http://${network.inside.ipv4}:${port}`);
    await using _ = network.start("etcd", [
      ...["--name", "one", "--data-dir", join(folder.path, "data"), "--log-level", "error"],
      ...["--listen-client-urls", client ?? "", "--advertise-client-urls", client ?? ""],
      ...["--listen-peer-urls", peer ?? "", "--initial-advertise-peer-urls", peer ?? ""],
      ...["--initial-cluster", `one=${peer}`],
    ]);
    const base64 = (text: string): string => Buffer.from(text).toString("base64");
    /** From inside, so that a cut does not concern it. */
    const change = async (path: string, body: unknown): Promise<boolean> => {
      const url = `${client}/v3/kv/${path}`;
      const { code } = await network.run("curl", ["-fsS", "-m", "5", url, "-d", JSON.stringify(body)]);
      return code === 0;
    };
    const put = (key: string, value: string) => change("put", { key: base64(key), value: base64(value) });
    await eventually("etcd serves", async () => (await put("/weft/parted/a", "127.0.0.1:7001")) || undefined);
    await put("/weft/parted/b", "127.0.0.1:7002");
    await using cp = await startControlPlane({ args: ["--registry", `etcd://${network.inside.ipv4}:2379/weft`] });
    await portsBecome(cp, "parted", "7001 7002");
    const cut = (how: "-A" | "-D"): void => {
      const { status, stderr } = spawnSync("iptables", [how, "INPUT", "-s", network.inside.ipv4, "-j", "DROP"]);
      assert.equal(status, 0, String(stderr));
    };
    cut("-A");
    try {
      assert.ok(await change("deleterange", { key: base64("/weft/parted/a") }));
      assert.ok(await put("/weft/parted/c", "127.0.0.1:7003"));
      await stateBecomes(cp, "etcd", "lost");
      assert.equal(await portsOf(cp, "parted"), "7001 7002");
    } finally {
      cut("-D");
    }
    await portsBecome(cp, "parted", "7002 7003");
    assert.equal((await stateBecomes(cp, "etcd", "live")).held.absent, 0);
  });

  test("a registry that comes back with an older state takes nobody out, and what it tells anew is used", async () => {
    await using etcd = await startEtcd();
    using older = temporary();
    await etcd.put("/weft/aged/a", "127.0.0.1:7001");
    await etcd.kill();
    cpSync(etcd.dataFolder, older.path, { recursive: true });
    await etcd.restart();
    await using cp = await startControlPlane({ args: ["--registry", `etcd://${etcd.address}/weft`] });
    await etcd.put("/weft/aged/b", "127.0.0.1:7002");
    await etcd.put("/weft/aged/a", "127.0.0.1:7003");
    await portsBecome(cp, "aged", "7002 7003");
    await etcd.kill();
    rmSync(etcd.dataFolder, { recursive: true });
    cpSync(older.path, etcd.dataFolder, { recursive: true });
    await stateBecomes(cp, "etcd", "lost");
    await etcd.restart();
    await portsBecome(cp, "aged", "7001 7002?");
    await etcd.put("/weft/aged/b", "127.0.0.1:7004");
    await portsBecome(cp, "aged", "7001 7004");
  });
});

const temporary = () => {
  const path = mkdtempSync(join(tmpdir(), "weft-test-aged-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
};
