/** Lists as streams, which an API server has only with a newer etcd: used where they are, and every change is seen. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { type CollectionFact, followCollection } from "@weft/control/registries/kubernetes/follow-collection";
import { createObjectTable, objectKey } from "@weft/control/registries/kubernetes/object-table";
import { realClock, setRealTimer } from "@weft/net/clock";
import type { KubernetesApi } from "@weft/net/kubernetes/kubernetes-api";
import { startControlPlane } from "@weft/testkit/control-plane";
import { eventually } from "@weft/testkit/eventually";
import { buildEtcd } from "../peers/etcd.ts";
import { type RealApiServer, startApiServer } from "./real-api-server.ts";

const stack = new AsyncDisposableStack();
let cluster: RealApiServer;
before(async () => {
  cluster = stack.use(await startApiServer({ etcd: buildEtcd() }));
  await cluster.apply("/api/v1/namespaces", { metadata: { name: "shop" } });
});
after(() => stack.disposeAsync());

const path = "/api/v1/namespaces/shop/configmaps";
const put = (name: string, value = "") => cluster.apply(path, { metadata: { name }, data: { value } });
const make = async (count: number): Promise<void> => {
  const names = Array.from({ length: count }, (_, at) => `many-${at}`);
  await Promise.all(
    Array.from({ length: 8 }, async () => {
      for (let name = names.pop(); name !== undefined; name = names.pop())
        await cluster.api.call({ method: "POST", path, body: { metadata: { name } } });
    }),
  );
};

/** Follows the collection, and notes what it asked. */
const follow = () => {
  const asked: string[] = [];
  const facts: CollectionFact[] = [];
  const table = createObjectTable("all");
  const api: KubernetesApi = {
    ...cluster.api,
    call: (call) => {
      asked.push(`list ${call.path}`);
      return cluster.api.call(call);
    },
    watch: (at, handlers, signal) => {
      asked.push(`watch ${at}`);
      cluster.api.watch(at, handlers, signal);
    },
  };
  const streams = { works: true };
  const tell = (fact: CollectionFact): void => {
    facts.push(fact);
    if (fact.kind === "listed") table.listed(fact.objects, fact.older, realClock.nowMs());
    else if (fact.kind === "put") table.put(fact.object);
    else if (fact.kind === "removed") table.removed(objectKey(fact.object));
  };
  stack.use(
    followCollection({
      ...{ api, path, selector: "", streams, tell },
      ...{ clock: realClock, setTimer: setRealTimer, random: Math.random },
    }),
  );
  const lists = (): number => facts.filter(({ kind }) => kind === "listed").length;
  const value = (name: string): unknown =>
    (table.get(`shop/${name}`)?.object.data as { readonly value?: string } | undefined)?.value;
  return { asked, facts, table, streams, lists, value };
};
const state = ({ facts }: ReturnType<typeof follow>) =>
  facts.findLast((fact) => fact.kind === "state" && fact.state !== "starting");
const isLive = async (following: ReturnType<typeof follow>): Promise<void> => {
  await eventually("it is live", () => {
    const last = state(following);
    return last?.kind === "state" && last.state === "live";
  });
};

test("a collection of 1,200 objects comes as one stream, without a single list, and its changes after it", async () => {
  await make(1_200);
  const following = follow();
  const { asked, table, streams, lists, value } = following;
  await isLive(following);
  assert.equal(table.size(), 1_200);
  assert.deepEqual([streams.works, lists(), asked.length], [true, 1, 1]);
  assert.match(asked[0] ?? "", /^watch .*sendInitialEvents=true/);
  await put("many-7", "changed");
  await eventually("the change is seen", () => value("many-7") === "changed");
  await cluster.delete(`${path}/many-8`);
  await eventually("the deletion is seen", () => table.get("shop/many-8") === undefined);
  assert.deepEqual([lists(), asked.length], [1, 1]);
});

test("after an outage it goes on from where it was, and after a forgotten history it is streamed anew", async () => {
  const following = follow();
  const { asked, table, streams, lists, value } = following;
  await isLive(following);
  await cluster.kill();
  await eventually("it is lost", () => {
    const last = state(following);
    return last?.kind === "state" && last.state === "lost";
  });
  await cluster.restart();
  await put("many-9", "after the outage");
  await eventually("what came meanwhile is seen", () => value("many-9") === "after the outage", 30_000);

  await cluster.kill();
  await cluster.etcd.compact();
  await cluster.restart();
  await put("many-10", "after the compaction");
  await eventually("what came after it is seen", () => value("many-10") === "after the compaction", 30_000);
  assert.equal(table.heldCount(), 0);
  assert.equal(streams.works, true);
  assert.ok(lists() >= 1);
  // To ask how far the server is takes one object; no page of a list was ever asked for.
  assert.deepEqual(
    asked.filter((one) => one.startsWith("list") && !one.endsWith("limit=1")),
    [],
  );
});

/** Lists of services that the API server was asked for, of anybody. */
const listsOfServices = async (): Promise<number> =>
  String(await cluster.api.call({ method: "GET", path: "/metrics" }))
    .split("\n")
    .filter((line) => /^apiserver_request_total\{.*resource="services".*verb="LIST"/.test(line))
    .reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);

test("a control plane reads a cluster by streams", async () => {
  const collection = "/api/v1/namespaces/shop/services";
  await cluster.apply(collection, { metadata: { name: "web" }, spec: { ports: [{ port: 80 }] } });
  await cluster.api.call({ method: "GET", path: collection });
  const before = await listsOfServices();
  assert.ok(before > 0, "lists are counted");
  const url = `kubernetes://?kubeconfig=${cluster.kubeconfig}`;
  await using cp = await startControlPlane({ args: ["--registry", url] });
  const { items } = (await cp.api("GET", "/v1/registry")) as { items: readonly { name: string }[] };
  assert.ok(items.some(({ name }) => name === "web"));
  assert.equal(await listsOfServices(), before);
});
