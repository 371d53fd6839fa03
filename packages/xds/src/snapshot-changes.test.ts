import assert from "node:assert/strict";
import { test } from "node:test";
import { LayeredMap } from "@weft/core/layered-map";
import { VersionedMap } from "@weft/core/versioned-map";
import fc from "fast-check";
import { createDiffer, diff } from "./diff.ts";
import { resourceType } from "./resource.ts";
import { createSnapshotBuilder, type Snapshot } from "./snapshot.ts";

const names = ["a", "b", "c", "d"];
const endpointsOf = (name: string, weight: number): object => ({ clusterName: name, weight });
const clusterOf = (name: string, timeout: number): object => ({ name, type: "EDS", timeout });
const urls = { endpoints: resourceType("endpoints").typeUrl, cluster: resourceType("cluster").typeUrl };

/** What a proxy should have, found without remembering anything. */
const plain = (snapshot: Snapshot, typeUrl: string): Readonly<Record<string, object>> =>
  Object.fromEntries([...(snapshot.types.get(typeUrl)?.entries ?? [])].map(([name, { json }]) => [name, json]));

const step = fc.oneof(
  fc.record({
    kind: fc.constant("endpoints" as const),
    weights: fc.dictionary(fc.constantFrom(...names), fc.nat({ max: 2 }), { noNullPrototype: true }),
  }),
  fc.record({ kind: fc.constant("clusters" as const), timeout: fc.nat({ max: 2 }) }),
  fc.record({ kind: fc.constant("own" as const), timeout: fc.nat({ max: 2 }) }),
  fc.record({ kind: fc.constant("names" as const), count: fc.integer({ min: 1, max: names.length }) }),
);

test("whatever changed and whoever lagged behind, each audience has what it should, and differences are exact", () => {
  const steps = fc.array(fc.record({ step, built: fc.subarray([0, 1, 2]) }), { minLength: 1, maxLength: 30 });
  fc.assert(
    fc.property(steps, (all) => {
      const builder = createSnapshotBuilder({ encode: (_, json) => Buffer.from(JSON.stringify(json)) });
      const differ = createDiffer();
      const last: (Snapshot | undefined)[] = [];
      const currentAt: number[] = [];
      let weights = new Map(names.map((name) => [name, 0]));
      let endpoints: ReadonlyMap<string, object> = VersionedMap.first(
        new Map(names.map((name) => [name, endpointsOf(name, 0)])),
      );
      // Some clusters that nobody gives endpoints.
      let lonely = ["lonely-0"];
      const clustersAt = (timeout: number): ReadonlyMap<string, object> => {
        lonely = Array.from({ length: timeout }, (_, i) => `lonely-${i}`);
        return new Map([...weights.keys(), ...lonely].map((name) => [name, clusterOf(name, timeout)]));
      };
      let clusters = clustersAt(0);
      let own = [0, 1, 2].map((id) => new Map([[`own-${id}`, { name: `own-${id}`, timeout: 0 }]]));
      for (const [epoch, { step: made, built }] of all.entries()) {
        if (made.kind === "endpoints") {
          const changed = Object.entries(made.weights).filter(([name]) => weights.has(name));
          weights = new Map([...weights, ...changed]);
          const values = changed.map(([name, weight]) => [name, endpointsOf(name, weight)] as const);
          endpoints = VersionedMap.changed(endpoints, new Map(values));
        } else if (made.kind === "clusters") {
          clusters = clustersAt(made.timeout);
        } else if (made.kind === "own") {
          own = own.map((_, id) => new Map([[`own-${id}`, { name: `own-${id}`, timeout: made.timeout }]]));
        } else {
          weights = new Map(names.slice(0, made.count).map((name) => [name, weights.get(name) ?? 0]));
          endpoints = VersionedMap.first(new Map([...weights].map(([name, n]) => [name, endpointsOf(name, n)])));
          clusters = clustersAt(0);
        }
        for (const id of built) {
          const cluster = LayeredMap.of(clusters, own[id] ?? new Map());
          const before = last[id];
          const onlyEndpoints = before !== undefined && made.kind === "endpoints" && currentAt[id] === epoch - 1;
          const now = onlyEndpoints
            ? builder.withEndpoints(endpoints, epoch, before)
            : builder.build({ cluster, endpoints } as never, epoch, before);
          currentAt[id] = epoch;
          last[id] = now;
          assert.deepEqual(plain(now, urls.cluster), Object.fromEntries(cluster));
          const empty = lonely.map((clusterName) => [clusterName, { clusterName }]);
          const given = Object.fromEntries([...endpoints, ...empty]);
          assert.deepEqual(plain(now, urls.endpoints), given);
          for (const url of Object.values(urls)) {
            const from = before?.types.get(url)?.entries ?? new Map();
            const to = now.types.get(url)?.entries ?? new Map();
            const said = differ(from, to);
            const exact = diff(new Map(from), new Map(to));
            assert.deepEqual(said.changed.map(({ name }) => name).sort(), exact.changed.map(({ name }) => name).sort());
            assert.deepEqual([...said.removed].sort(), [...exact.removed].sort());
          }
        }
      }
    }),
    { numRuns: 300 },
  );
});

test("a change of one among many encodes one, for all audiences together", () => {
  let encoded = 0;
  const builder = createSnapshotBuilder({
    encode: (_, json) => {
      encoded++;
      return Buffer.from(JSON.stringify(json));
    },
  });
  const many = Array.from({ length: 500 }, (_, i) => `s${i}`);
  const clusters = new Map(many.map((name) => [name, clusterOf(name, 1)]));
  let endpoints: ReadonlyMap<string, object> = VersionedMap.first(
    new Map(many.map((name) => [name, endpointsOf(name, 1)])),
  );
  const audiences = Array.from({ length: 20 }, (_, i) => new Map([[`own-${i}`, { name: `own-${i}` }]]));
  const sourceOf = (own: ReadonlyMap<string, object>) =>
    ({ cluster: LayeredMap.of<string, object>(clusters, own), endpoints }) as never;
  let snapshots = audiences.map((own) => builder.build(sourceOf(own), 1));
  assert.equal(encoded, 500 + 500 + 20);
  endpoints = VersionedMap.changed(endpoints, new Map([["s7", endpointsOf("s7", 2)]]));
  const before = snapshots;
  snapshots = audiences.map((own, at) => builder.build(sourceOf(own), 2, before[at]));
  assert.equal(encoded, 500 + 500 + 20 + 1);
  const types = new Set(snapshots.map(({ types }) => types.get(urls.endpoints)));
  assert.equal(types.size, 1, "all share the endpoints");
});
