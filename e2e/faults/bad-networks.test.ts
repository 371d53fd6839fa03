/** Registries behind a network that is slow. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { startControlPlane } from "@weft/testkit/control-plane";
import { startEtcd } from "../registries/real-etcd.ts";
import { startZookeeper } from "../registries/real-zookeeper.ts";
import { startRelay } from "../registries/relay.ts";
import { portsBecome, sourceOf } from "../registries/sources.ts";
import { connectWriter } from "../registries/zookeeper-writer.ts";
import { openKubernetes } from "./registries.ts";

const clustered = { service: "cluster", id: "a", port: 7021 };
const curator = (port: number): string => JSON.stringify({ address: "127.0.0.1", port });

test("answers of etcd, ZooKeeper and Kubernetes that take 10 s are waited for, and changes come all the same", async () => {
  await using etcd = await startEtcd();
  await using zookeeper = await startZookeeper(2_000);
  await using kubernetes = await openKubernetes();
  await using toEtcd = await startRelay(etcd.address);
  await using toZookeeper = await startRelay(zookeeper.address);
  await using toKubernetes = await startRelay(kubernetes.address);
  using writer = await connectWriter(zookeeper.port);
  await writer.create("/services/keeper/a", curator(7011));
  await etcd.put("/weft/keys/a", "127.0.0.1:7001");
  await kubernetes.register(clustered);
  await using cp = await startControlPlane({
    args: [
      ...["--registry", `etcd://${toEtcd.address}/weft`],
      ...["--registry", `zookeeper://${toZookeeper.address}/services`],
      ...["--registry", kubernetes.urlBy(toKubernetes.address)],
    ],
  });
  await portsBecome(cp, "keys", "7001");
  await portsBecome(cp, "keeper", "7011");
  await portsBecome(cp, "cluster", "7021");
  toEtcd.slow(10_000);
  toZookeeper.slow(10_000);
  toKubernetes.slow(10_000);
  await etcd.put("/weft/keys/b", "127.0.0.1:7002");
  await etcd.delete("/weft/keys/a");
  await writer.create("/services/keeper/b", curator(7012));
  await kubernetes.register({ ...clustered, id: "b", port: 7022 });
  await kubernetes.deregister(clustered);
  await portsBecome(cp, "keys", "7002");
  await portsBecome(cp, "keeper", "7011 7012");
  await portsBecome(cp, "cluster", "7022");
  for (const name of ["etcd", "zookeeper", "kubernetes"]) {
    const { state, events } = await sourceOf(cp, name);
    assert.deepEqual([name, state, events.lost], [name, "live", undefined]);
  }
});
