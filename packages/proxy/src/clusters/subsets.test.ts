import assert from "node:assert/strict";
import { test } from "node:test";
import type { Cluster_LbSubsetConfigJson } from "@weft/xds/gen/envoy/config/cluster/v3/cluster";
import type { MetadataMatch, PickHost } from "../balancers/balancer.ts";
import { createClusterCounters } from "./counters.ts";
import type { Host, HostMetadata } from "./host.ts";
import { compileSubsets, criteriaOf, valueText } from "./subset-settings.ts";
import { createSubsetBuilder, subsetsMax, subsetsPerHostMax } from "./subsets.ts";
import { testHosts } from "./testing/fixtures.ts";

const tagged = (tags: readonly Readonly<Record<string, unknown>>[]): Host[] =>
  testHosts(tags.length).map((host, index) => {
    host.metadata = { "envoy.lb": tags[index] ?? {} } satisfies HostMetadata;
    return host;
  });

const asks = (struct: object, fallbacks?: readonly object[]): MetadataMatch => ({
  criteria: criteriaOf(struct),
  fallbacks: fallbacks?.map((each) => ({ criteria: criteriaOf(each), fallbacks: undefined })),
});

/** A pick that gives the first host of its subset, and how often one was built. */
const open = (json: Cluster_LbSubsetConfigJson, hosts: readonly Host[]) => {
  const settings = compileSubsets(json, "");
  assert.ok(settings);
  const counters = createClusterCounters();
  const build = createSubsetBuilder(settings, counters);
  const seen = { built: 0 };
  const builder = (list: readonly Host[]): PickHost =>
    build.build(list, (some) => {
      seen.built++;
      return () => some[0];
    });
  const pick = builder(hosts);
  const ask = (metadataMatch?: MetadataMatch): string | undefined => pick({ hash: undefined, metadataMatch })?.address;
  return { counters, seen, ask, builder, close: build.close };
};

const selector = (...keys: string[]) => ({ keys });

test("numbers, texts and members in any order are told apart and alike by value", () => {
  assert.notEqual(valueText(1), valueText("1"));
  assert.equal(valueText({ a: 1, b: [true, null] }), valueText({ b: [true, null], a: 1 }));
  const hosts = tagged([{ v: "1" }, { v: 1 }, { v: { b: 2, a: 1 } }]);
  const { ask } = open({ subsetSelectors: [selector("v")] }, hosts);
  assert.equal(ask(asks({ v: 1 })), "10.1.0.2:80");
  assert.equal(ask(asks({ v: "1" })), "10.1.0.1:80");
  assert.equal(ask(asks({ v: { a: 1, b: 2 } })), "10.1.0.3:80");
});

test("what a route asks leads to its hosts once it was asked, without work for the next request", () => {
  const { ask, seen, counters } = open({ subsetSelectors: [selector("v")] }, tagged([{ v: "1" }, { v: "2" }]));
  assert.equal(seen.built, 0);
  const match = asks({ v: "2" });
  for (let i = 0; i < 5; i++) assert.equal(ask(match), "10.1.0.2:80");
  assert.equal(seen.built, 1);
  assert.equal(counters.lbSubsetsSelected, 5);
  assert.equal(counters.lbSubsetsActive, 2);
});

test("subsets that come and go are counted", () => {
  const { builder, counters } = open({ subsetSelectors: [selector("v")] }, tagged([{ v: "1" }, { v: "2" }]));
  builder(tagged([{ v: "2" }, { v: "3" }]));
  const { lbSubsetsActive, lbSubsetsCreated, lbSubsetsRemoved } = counters;
  assert.deepEqual([lbSubsetsActive, lbSubsetsCreated, lbSubsetsRemoved], [2, 3, 1]);
});

test("names that every object has are no keys of a host", () => {
  const hosts = tagged([{}, { constructor: "x" }]);
  const { ask } = open({ subsetSelectors: [selector("constructor"), selector("toString")] }, hosts);
  assert.equal(ask(asks({ constructor: "x" })), "10.1.0.2:80");
  assert.equal(ask(asks({ toString: "x" })), undefined);
});

test("criteria beyond a selector's keys are dropped only where that is allowed", () => {
  const hosts = tagged([{ v: "1" }]);
  const json = { subsetSelectors: [selector("v")] };
  assert.equal(open(json, hosts).ask(asks({ v: "1", other: "x" })), undefined);
  const allowed: object = { ...json, allowRedundantKeys: true };
  assert.equal(open(allowed, hosts).ask(asks({ v: "1", other: "x" })), "10.1.0.1:80");
});

test("a list of fallbacks is tried in turn, each over the route's other criteria", () => {
  const hosts = tagged([
    { v: "1", zone: "a" },
    { v: "1", zone: "b" },
  ]);
  const json: Cluster_LbSubsetConfigJson = {
    subsetSelectors: [selector("v", "zone")],
    metadataFallbackPolicy: "FALLBACK_LIST",
  };
  const { ask } = open(json, hosts);
  assert.equal(ask(asks({ v: "1" }, [{ zone: "x" }, { zone: "b" }])), "10.1.0.2:80");
  assert.equal(ask(asks({ v: "1" }, [{ zone: "x" }])), undefined);
  assert.equal(
    open({ ...json, metadataFallbackPolicy: "METADATA_NO_FALLBACK" }, hosts).ask(asks({ v: "1" })),
    undefined,
  );
});

test("endpoints cannot make subsets without bound", () => {
  const long = Array.from({ length: subsetsPerHostMax + 1 }, (_, i) => i);
  const json = { subsetSelectors: [selector("v")], listAsAny: true };
  const one = open(json, tagged([{ v: long }, { v: [7] }]));
  assert.equal(one.ask(asks({ v: 7 })), "10.1.0.2:80");
  const many = open(
    json,
    tagged(Array.from({ length: 60 }, (_, i) => ({ v: Array.from({ length: 200 }, (_, j) => `${i}-${j}`) }))),
  );
  assert.equal(many.counters.lbSubsetsActive, subsetsMax);
});

test("settings that make no sense are refused", () => {
  const cases: [object, RegExp][] = [
    [{ subsetSelectors: [{ keys: [] }] }, /subsetSelectors\[0\].keys: is required/],
    [{ subsetSelectors: [{ keys: ["a", "b"], singleHostPerSubset: true }] }, /keys: must be one/],
    [
      { subsetSelectors: [{ keys: ["a"], fallbackPolicy: "KEYS_SUBSET" }] },
      /subsetSelectors\[0\].fallbackKeysSubset: is required/,
    ],
    [
      { subsetSelectors: [{ keys: ["a"], fallbackPolicy: "KEYS_SUBSET", fallbackKeysSubset: ["a"] }] },
      /fallbackKeysSubset: must be some of/,
    ],
    [{ subsetSelectors: [{ keys: ["a"], fallbackKeysSubset: ["a"] }] }, /fallbackKeysSubset: is for KEYS_SUBSET/],
    [{ fallbackPolicy: "WHATEVER", subsetSelectors: [{ keys: ["a"] }] }, /fallbackPolicy: WHATEVER is not supported/],
  ];
  for (const [json, message] of cases) assert.throws(() => compileSubsets(json, ""), message);
  assert.equal(compileSubsets({ fallbackPolicy: "ANY_ENDPOINT" }, ""), undefined);
});

test("the subsets of a cluster that is gone are counted no more, whoever still picks by them", () => {
  const hosts = tagged([{ v: "1" }, { v: "2" }]);
  const { counters, ask, builder, close } = open({ subsetSelectors: [selector("v")] }, hosts);
  assert.equal(counters.lbSubsetsActive, 2);
  close();
  const seen = () => [counters.lbSubsetsActive, counters.lbSubsetsCreated, counters.lbSubsetsRemoved];
  assert.deepEqual(seen(), [0, 2, 2]);
  assert.equal(ask(asks({ v: "2" })), "10.1.0.2:80");
  builder(tagged([{ v: "3" }]));
  assert.deepEqual(seen(), [0, 2, 2]);
});

test("a host whose list names a value twice is in that subset once", () => {
  const hosts = tagged([{ v: ["1", "2", "1"] }, { v: ["2", "1"] }]);
  const json = { subsetSelectors: [selector("v")], listAsAny: true };
  const settings = compileSubsets(json, "");
  assert.ok(settings);
  const lists: (readonly Host[])[] = [];
  const pick = createSubsetBuilder(settings, createClusterCounters()).build(hosts, (some) => {
    lists.push(some);
    return () => some[0];
  });
  pick({ hash: undefined, metadataMatch: asks({ v: "1" }) });
  assert.deepEqual(lists, [hosts]);
});
