/** A cluster over a restart: what could be read last is in force, although what the API server has now cannot. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger } from "@weft/core/world";
import type { KubernetesApi } from "@weft/net/kubernetes/kubernetes-api";
import { KubernetesError } from "@weft/net/kubernetes/kubernetes-error";
import { makePrivateFolder } from "@weft/net/process/private-folder";
import { createManualTime } from "../../store/shared/testing/manual-time.ts";
import { openCluster } from "./cluster.ts";
import type { KubernetesObject } from "./kubernetes-object.ts";
import { createClusterGraph } from "./testing/cluster-graph.ts";

const settings = (mesh: string, resourceVersion: string): KubernetesObject => ({
  metadata: { name: "istio", namespace: "istio-system", uid: "u", resourceVersion },
  data: { mesh },
});

/** It has the one ConfigMap, or is out of reach. */
const server = (map: () => KubernetesObject | undefined): KubernetesApi => ({
  cluster: "test",
  server: "https://test",
  async call({ path }) {
    const object = map();
    if (!object) throw new KubernetesError(0, "", "out of reach");
    if (!path.includes("/configmaps")) throw new KubernetesError(403, "Forbidden", "not yours");
    return { metadata: { resourceVersion: object.metadata.resourceVersion }, items: [object] };
  },
  watch(path, { line, ended }) {
    const object = map();
    const error = path.includes("sendInitialEvents") ? new KubernetesError(400, "BadRequest", "no streams") : undefined;
    const since = Number(/[?&]resourceVersion=(\d+)/.exec(path)?.[1]);
    setImmediate(() => {
      if (object && Number(object.metadata.resourceVersion) > since) line(JSON.stringify({ type: "MODIFIED", object }));
      ended(error);
    });
  },
  probe: () => Promise.resolve(),
  leaveConnections: () => {},
  [Symbol.dispose]: () => {},
});

const started = (folder: string, map: () => KubernetesObject | undefined) => {
  const { graph, rootNamespace, view } = createClusterGraph();
  const time = createManualTime();
  const cluster = openCluster({
    ...{ view, rootNamespace, folder, stored: graph.source("stored"), log: silentLogger, random: () => 0.5 },
    ...{ meshConfig: { namespace: rootNamespace, revision: "default" }, changed: () => {}, told: () => {} },
    ...{ clock: time.clock, setTimer: time.setTimer },
    named: {
      ...{ name: "kubernetes", url: "kubernetes://", content: "test", cluster: "test" },
      ...{ probeAfterMs: 30_000, objectsMax: 10, open: () => server(map) },
    },
  });
  const inForce = () => {
    graph.commit();
    return view.configuration.get("MeshConfig/istio-system/istio")?.object.spec;
  };
  return { cluster, time, inForce };
};

test("the mesh's last good settings are in force after a restart, be their ConfigMap wrong by now or out of reach", async () => {
  using folder = makePrivateFolder("weft-good-form-");
  const good = { accessLogFile: "/dev/stdout" };
  let map: KubernetesObject | undefined = settings("accessLogFile: /dev/stdout", "5");
  const run = async () => {
    const one = started(folder.path, () => map);
    await one.time.advance(60_000);
    return one;
  };
  const first = await run();
  assert.deepEqual(first.inForce(), good);
  map = settings("accessLogFile: [", "6");
  await first.time.advance(600_000);
  assert.deepEqual(first.inForce(), good);
  assert.ok(first.cluster.status().unreadable.has("ConfigMap/istio-system/istio"), "the wrong form was seen");
  first.cluster[Symbol.dispose]();

  const second = await run();
  assert.deepEqual(second.inForce(), good);
  assert.ok(second.cluster.status().unreadable.has("ConfigMap/istio-system/istio"), "it is told of again");
  second.cluster[Symbol.dispose]();

  map = undefined;
  const third = await run();
  assert.deepEqual(third.inForce(), good);
  third.cluster[Symbol.dispose]();

  map = settings("accessLogFile: /tmp/log", "7");
  const fourth = await run();
  assert.deepEqual(fourth.inForce(), { accessLogFile: "/tmp/log" });
  fourth.cluster[Symbol.dispose]();
});
