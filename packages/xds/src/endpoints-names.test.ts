import assert from "node:assert/strict";
import { test } from "node:test";
import { AwaitedEndpoints, endpointsNamesOf } from "./endpoints-names.ts";
import { typeUrl } from "./resource.ts";
import type { SnapshotEntry } from "./snapshot.ts";
import { TypeState } from "./type-state.ts";

const clusters = (count: number, first = 0): readonly SnapshotEntry[] =>
  Array.from({ length: count }, (_, i) => {
    const name = `c${first + i}`;
    return { typeUrl: "", name, version: "1", json: {}, endpointsName: `${name} eds`, bytes: new Uint8Array(0) };
  });
const subscribedTo = (names: readonly string[]): TypeState => {
  const state = new TypeState(typeUrl("envoy.config.endpoint.v3.ClusterLoadAssignment"));
  for (const name of names) state.names.add(name);
  return state;
};

test("clusters that take no endpoints ask for none", () => {
  const [first, second] = clusters(2) as [SnapshotEntry, SnapshotEntry];
  assert.deepEqual(endpointsNamesOf([{ ...first, endpointsName: undefined }, second]), ["c1 eds"]);
  assert.deepEqual(endpointsNamesOf([]), []);
});

test("the same list of clusters gives the same list of names", () => {
  const many = clusters(20);
  assert.equal(endpointsNamesOf(many), endpointsNamesOf(many));
  assert.deepEqual(
    endpointsNamesOf(many),
    many.map(({ endpointsName }) => endpointsName),
  );
});

test("of what was sent in however many responses a client is owed what it asks for, once", () => {
  const awaited = new AwaitedEndpoints();
  for (let i = 0; i < 30; i++) awaited.add(endpointsNamesOf(clusters(2, i)));
  const state = subscribedTo(["c0 eds", "c17 eds", "c30 eds", "other"]);
  awaited.oweTo(state);
  assert.deepEqual([...state.owed], ["c0 eds", "c17 eds", "c30 eds"]);
  const later = subscribedTo(["c0 eds"]);
  awaited.oweTo(later);
  assert.deepEqual([...later.owed], []);
});

test("a client of all endpoints is owed those of all clusters it was sent", () => {
  const awaited = new AwaitedEndpoints();
  awaited.add(endpointsNamesOf(clusters(3)));
  const state = subscribedTo([]);
  state.wildcard = true;
  awaited.oweTo(state);
  assert.equal(state.owed.size, 3);
});
