/** A kind that the cluster ceases to serve: for a moment, as its server begins again, or for good. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger } from "@weft/core/world";
import type { KubernetesApi, WatchHandlers } from "@weft/net/kubernetes/kubernetes-api";
import { KubernetesError } from "@weft/net/kubernetes/kubernetes-error";
import { makePrivateFolder } from "@weft/net/process/private-folder";
import { createManualTime } from "../../store/shared/testing/manual-time.ts";
import { openCluster } from "./cluster.ts";
import { holdMs } from "./object-table.ts";
import { forbiddenEveryMs } from "./reflector.ts";
import { goneAfterMs, lookEveryMs } from "./served-kinds.ts";
import { createClusterGraph } from "./testing/cluster-graph.ts";

const group = "networking.istio.io";
const kindPath = `/apis/${group}/v1/virtualservices`;
const route = (name: string) => ({
  metadata: { name, namespace: "shop", uid: name, resourceVersion: "5" },
  spec: { hosts: [`${name}.example`], http: [{ route: [{ destination: { host: "back" } }] }] },
});

/** It has one kind of configuration; while that is away, nothing of it is served, as when a server begins again. */
const serving = () => {
  let away = false;
  let there = true;
  const watches: { readonly query: URLSearchParams; readonly handlers: WatchHandlers }[] = [];
  const missing = (): KubernetesError => new KubernetesError(404, "NotFound", "not there");
  const api: KubernetesApi = {
    ...{ cluster: "test", server: "https://test" },
    async call({ path }) {
      if (path === "/apis")
        return { groups: away ? [] : [{ name: group, versions: [{ version: "v1", groupVersion: `${group}/v1` }] }] };
      if (path === `/apis/${group}/v1`) return { resources: [{ name: "virtualservices" }] };
      if (!path.startsWith(kindPath)) return { metadata: { resourceVersion: "5" }, items: [] };
      if (away) throw missing();
      return there
        ? { metadata: { resourceVersion: "5" }, items: [route("front")] }
        : { metadata: { resourceVersion: "6" }, items: [] };
    },
    watch(path, handlers) {
      if (path.includes("sendInitialEvents"))
        setImmediate(() => handlers.ended(new KubernetesError(400, "BadRequest", "no streams")));
      else if (path.startsWith(kindPath)) watches.push({ query: new URLSearchParams(path.split("?")[1]), handlers });
    },
    probe: () => Promise.resolve(),
    leaveConnections: () => {},
    [Symbol.dispose]: () => {},
  };
  return {
    api,
    watches,
    leave() {
      away = true;
      watches.at(-1)?.handlers.ended(missing());
    },
    comeBack() {
      away = false;
    },
    /** Told to a watch that began before it. */
    delete() {
      there = false;
      const object = { ...route("front"), metadata: { ...route("front").metadata, resourceVersion: "6" } };
      return (): void => {
        const last = watches.at(-1);
        if (last?.query.get("resourceVersion") === "5") last.handlers.line(JSON.stringify({ type: "DELETED", object }));
      };
    },
  };
};

const follow = async () => {
  const stack = new DisposableStack();
  const folder = stack.use(makePrivateFolder("weft-unserved-"));
  const server = serving();
  const { graph, rootNamespace, view } = createClusterGraph();
  const time = createManualTime();
  const cluster = stack.use(
    openCluster({
      ...{ view, rootNamespace, folder: folder.path, stored: graph.source("stored"), log: silentLogger },
      ...{ meshConfig: undefined, changed: () => {}, told: () => {}, random: () => 0.5, ...time },
      named: {
        ...{ name: "kubernetes", url: "kubernetes://", content: "test", cluster: "test" },
        ...{ probeAfterMs: 30_000, objectsMax: 100, open: () => server.api },
      },
    }),
  );
  const routes = (): string => {
    graph.commit();
    return [...view.configuration.values()].map(({ object }) => object.name).join(" ");
  };
  const held = (): boolean => cluster.findings().some(({ code }) => code === "WF2157");
  await time.advance(10_000);
  assert.equal(routes(), "front");
  return { server, time, routes, held, [Symbol.dispose]: () => stack.dispose() };
};

test("what is deleted before a server that begins again serves its kind is told by the watch that goes on", async () => {
  using followed = await follow();
  const { server, time, routes, held } = followed;
  server.leave();
  await time.advance(goneAfterMs - 5_000);
  assert.deepEqual([routes(), held()], ["front", false]);
  const tell = server.delete();
  server.comeBack();
  await time.advance(forbiddenEveryMs);
  assert.equal(server.watches.length, 2);
  tell();
  await time.advance(1_000);
  assert.deepEqual([routes(), held()], ["", false]);
});

test("a kind that stays away is gone with what it had, in the time of what is held", async () => {
  using followed = await follow();
  const { server, time, routes, held } = followed;
  server.leave();
  await time.advance(goneAfterMs + 3 * lookEveryMs);
  assert.deepEqual([routes(), held()], ["front", true]);
  await time.advance(holdMs);
  assert.deepEqual([routes(), held()], ["", false]);
});

test("a kind that was away for long and is served again is read, and its objects are no longer held", async () => {
  using followed = await follow();
  const { server, time, routes, held } = followed;
  server.leave();
  await time.advance(goneAfterMs + 3 * lookEveryMs);
  assert.equal(held(), true);
  server.comeBack();
  await time.advance(2 * lookEveryMs);
  assert.deepEqual([routes(), held(), server.watches.length], ["front", false, 2]);
  await time.advance(holdMs);
  assert.equal(routes(), "front");
});
