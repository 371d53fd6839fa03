import assert from "node:assert/strict";
import { test } from "node:test";
import { contentHash } from "./content-hash.ts";
import { createDiffer, diff } from "./diff.ts";
import { type ResourceKind, resourceType } from "./resource.ts";
import { createSnapshotBuilder, type Snapshot, type SnapshotResource } from "./snapshot.ts";

const cluster = (name: string, extra: object = {}): SnapshotResource => ({
  kind: "cluster",
  name,
  json: { name, type: "STATIC", ...extra },
});

const counting = () => {
  const encoded: string[] = [];
  const bad: string[] = [];
  const builder = createSnapshotBuilder({
    encode: (_, json) => {
      const text = JSON.stringify(json);
      if (text.includes("broken")) throw new Error("no such field");
      encoded.push(text);
      return Buffer.from(text);
    },
    onBad: ({ name }, error) => bad.push(`${name}: ${(error as Error).message}`),
  });
  const build = (resources: readonly SnapshotResource[], epoch: number, previous?: Snapshot): Snapshot =>
    builder.build({ cluster: new Map(resources.map(({ name, json }) => [name, json])) }, epoch, previous);
  return { builder: { build }, encoded, bad };
};
const names = (snapshot: ReturnType<ReturnType<typeof counting>["builder"]["build"]>, kind: ResourceKind) => [
  ...(snapshot.types.get(resourceType(kind).typeUrl)?.entries.keys() ?? []),
];

test("a resource is encoded once for all the snapshots it is in, by identity or by equal content", () => {
  const { builder, encoded } = counting();
  const shared = cluster("a");
  builder.build([shared], 1);
  builder.build([shared, cluster("b")], 2);
  builder.build([cluster("a"), cluster("b")], 3);
  assert.equal(encoded.length, 2);
});

test("a snapshot in which nothing changed is the previous one, and unchanged types stay the same object", () => {
  const { builder } = counting();
  const first = builder.build([cluster("a")], 1);
  assert.equal(builder.build([cluster("a")], 2, first), first);
  const second = builder.build([cluster("a", { connectTimeout: "1s" })], 3, first);
  assert.notEqual(second, first);
  const { typeUrl } = resourceType("endpoints");
  assert.equal(second.types.get(typeUrl), first.types.get(typeUrl));
});

test("versions depend on content only, not on the order of members or of resources", () => {
  assert.equal(contentHash({ a: 1, b: { c: [1, 2], d: "x" } }), contentHash({ b: { d: "x", c: [1, 2] }, a: 1 }));
  assert.notEqual(contentHash({ a: [1, 2] }), contentHash({ a: [2, 1] }));
  assert.notEqual(contentHash({ a: "1" }), contentHash({ a: 1 }));
  const { builder } = counting();
  const { typeUrl } = resourceType("cluster");
  const one = builder.build([cluster("a"), cluster("b")], 1).types.get(typeUrl);
  const two = builder.build([cluster("b"), cluster("a")], 2).types.get(typeUrl);
  assert.equal(one?.version(), two?.version());
});

test("a resource that cannot be encoded stays at its last good form and is told", () => {
  const { builder, bad } = counting();
  const good = builder.build([cluster("a"), cluster("b")], 1);
  const next = builder.build([cluster("a", { broken: 1 }), cluster("b", { connectTimeout: "2s" })], 2, good);
  const { typeUrl } = resourceType("cluster");
  assert.equal(next.types.get(typeUrl)?.entries.get("a"), good.types.get(typeUrl)?.entries.get("a"));
  assert.notEqual(next.types.get(typeUrl)?.entries.get("b"), good.types.get(typeUrl)?.entries.get("b"));
  assert.deepEqual(bad, ["a: no such field"]);
  assert.deepEqual(names(builder.build([cluster("c", { broken: 1 })], 3), "cluster"), []);
});

test("an EDS cluster without endpoints gets empty ones under the name it asks for", () => {
  const { builder } = counting();
  const snapshot = builder.build(
    [cluster("a", { type: "EDS" }), cluster("b", { type: "EDS", edsClusterConfig: { serviceName: "b-eds" } })],
    1,
  );
  assert.deepEqual(names(snapshot, "endpoints"), ["a", "b-eds"]);
});

test("a diff has what changed and what is gone, and the differ gives the same answer for the same pair", () => {
  const { builder } = counting();
  const { typeUrl } = resourceType("cluster");
  const from = builder.build([cluster("a"), cluster("b"), cluster("c")], 1).types.get(typeUrl)!.entries;
  const to = builder
    .build([cluster("a"), cluster("b", { altStatName: "x" }), cluster("d")], 2)
    .types.get(typeUrl)!.entries;
  const found = diff(from, to);
  assert.deepEqual([found.changed.map(({ name }) => name), found.removed], [["b", "d"], ["c"]]);
  const differ = createDiffer();
  assert.equal(differ(from, to), differ(from, to));
  assert.deepEqual(differ(to, from).removed, ["d"]);
});

test("empty endpoints come and go with the clusters and the endpoints given, and are shared by equal needs", () => {
  const builder = createSnapshotBuilder({ encode: (_, json) => Buffer.from(JSON.stringify(json)) });
  const eds = (...names: string[]) => new Map(names.map((name) => [name, { name, type: "EDS" }]));
  const cla = (...names: string[]) => new Map(names.map((name) => [name, { clusterName: name, endpoints: [{}] }]));
  const one = { cluster: eds("a", "b"), endpoints: cla("a") };
  const other = { cluster: eds("b", "c", "a"), endpoints: cla("a", "c") };
  const filled = (snapshot: Snapshot): Record<string, boolean> => {
    const entries = snapshot.types.get(resourceType("endpoints").typeUrl)?.entries ?? new Map();
    return Object.fromEntries([...entries].map(([name, { json }]) => [name, "endpoints" in json]));
  };
  let before = builder.build(one, 1);
  assert.deepEqual(filled(before), { a: true, b: false });
  for (const [given, expected] of [
    [cla("a", "b"), { a: true, b: true }],
    [cla("b"), { a: false, b: true }],
    [cla(), { a: false, b: false }],
    [cla("a"), { a: true, b: false }],
  ] as const) {
    before = builder.build({ cluster: one.cluster, endpoints: given }, 2, before);
    assert.deepEqual(filled(before), expected);
  }
  const url = resourceType("endpoints").typeUrl;
  const [x, y] = [eds("a", "b", "c"), other.cluster].map((cluster) => builder.build({ ...other, cluster }, 3));
  assert.equal(x?.types.get(url), y?.types.get(url));
});
