/** A cluster with more objects of a kind than are read: told, harmless to those that are known, and made good in time. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger } from "@weft/core/world";
import type { KubernetesApi, WatchHandlers } from "@weft/net/kubernetes/kubernetes-api";
import { KubernetesError } from "@weft/net/kubernetes/kubernetes-error";
import { makePrivateFolder } from "@weft/net/process/private-folder";
import { createManualTime } from "../../store/shared/testing/manual-time.ts";
import { openCluster } from "./cluster.ts";
import { createClusterGraph } from "./testing/cluster-graph.ts";

const service = (name: string) => ({
  metadata: { name, namespace: "shop", uid: name, resourceVersion: "5" },
  spec: { ports: [{ name: "http", port: 80 }] },
});

/** It has services and nothing else, lists them in pages and keeps watches open. */
const serving = (names: Set<string>) => {
  let watched: WatchHandlers | undefined;
  const api: KubernetesApi = {
    ...{ cluster: "test", server: "https://test" },
    async call({ path }) {
      const items = path.startsWith("/api/v1/services") ? [...names].sort().map(service) : [];
      return { metadata: { resourceVersion: "5" }, items };
    },
    watch(path, handlers) {
      if (path.includes("sendInitialEvents"))
        setImmediate(() => handlers.ended(new KubernetesError(400, "BadRequest", "no streams")));
      else if (path.startsWith("/api/v1/services")) watched = handlers;
    },
    probe: () => Promise.resolve(),
    leaveConnections: () => {},
    [Symbol.dispose]: () => {},
  };
  const say = (type: string, name: string): void => {
    if (type === "DELETED") names.delete(name);
    else names.add(name);
    const object = { ...service(name), metadata: { ...service(name).metadata, resourceVersion: "6" } };
    watched?.line(JSON.stringify({ type, object }));
  };
  return { api, say };
};

test("objects over the bound are counted by kind, and are read once there is room", async () => {
  using folder = makePrivateFolder("weft-left-out-");
  const { api, say } = serving(new Set(["a", "b", "c", "d", "e"]));
  const { graph, rootNamespace, view } = createClusterGraph();
  const time = createManualTime();
  using cluster = openCluster({
    ...{ view, rootNamespace, folder: folder.path, stored: graph.source("stored"), log: silentLogger },
    ...{ meshConfig: undefined, changed: () => {}, told: () => {}, random: () => 0.5, ...time },
    named: {
      ...{ name: "kubernetes", url: "kubernetes://", content: "test", cluster: "test" },
      ...{ probeAfterMs: 30_000, objectsMax: 3, open: () => api },
    },
  });
  const services = (): string => {
    graph.commit();
    return [...view.objects.values()].map(({ object }) => object.name).join(" ");
  };
  const told = (): readonly string[] =>
    cluster.findings().flatMap(({ code, message }) => (code === "WF2290" ? [message] : []));
  await time.advance(20_000);
  assert.equal(services(), "a b c");
  assert.deepEqual([...cluster.status().leftOut], [["Service", { what: "objects", count: 2, max: 3 }]]);
  assert.match(
    told().join(),
    /^kubernetes test\/Service: the cluster has 2 over the 3 that are read; they are left out/,
  );
  say("ADDED", "0");
  say("MODIFIED", "b");
  await time.advance(1_000);
  assert.equal(services(), "a b c");
  for (const name of ["a", "0"]) say("DELETED", name);
  await time.advance(1_000);
  assert.equal(services(), "b c d");
  say("DELETED", "b");
  await time.advance(1_000);
  assert.equal(services(), "c d e");
  assert.deepEqual([cluster.status().leftOut.size, told().length], [0, 0]);
});
