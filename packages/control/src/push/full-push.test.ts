/** A push to all proxies goes out in slices, between which everything else goes on. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { virtualTime } from "@weft/core/testing/virtual-time";
import { silentLogger } from "@weft/core/world";
import { resourceType } from "@weft/xds/resource";
import type { Snapshot } from "@weft/xds/snapshot";
import type { GeneratedChange, Generator } from "../generate/generator.ts";
import type { ProxyFacts } from "../generate/proxy-facts.ts";
import type { ResourceSet } from "../generate/resource-set.ts";
import { createMetrics } from "../metrics/metrics.ts";
import { createPublisher } from "./publisher.ts";
import { createPushMetrics } from "./push-metrics.ts";

const none = new Map<string, never>();
const unchanged: GeneratedChange = {
  ...{ other: false, own: false },
  ...{ endpoints: new Set(), addresses: new Set(), names: new Set() },
};
const pushMs = 1;
const endpointsUrl = resourceType("endpoints").typeUrl;

/** A mesh whose proxies see the same endpoints; a push to one of them takes a millisecond. */
const openMesh = () => {
  const time = virtualTime(1000);
  let busyMs = 0;
  let endpoints: ReadonlyMap<string, object> = new Map([["a", { clusterName: "a", n: 0 }]]);
  let pending = unchanged;
  /** Of proxies that a change took to another audience. */
  const moved = new Map<string, string>();
  const audienceOf = ({ id, namespace }: ProxyFacts): string => moved.get(id) ?? namespace;
  const generator: Generator = {
    audienceOf,
    endpointsOf: () => undefined,
    generate: (proxy) => {
      const own = new Map([...endpoints, ["audience", { clusterName: "audience", key: audienceOf(proxy) }]]);
      const resources = { cluster: none, endpoints: own, listener: none, route: none, secret: none };
      return { resources: resources as unknown as ResourceSet, notes: [] };
    },
    refresh: () => {
      const change = pending;
      pending = unchanged;
      return change;
    },
  };
  const nowMs = (): number => time.clock.nowMs() + busyMs;
  const publisher = createPublisher({
    generator,
    clock: { nowMs, wallMs: nowMs },
    setTimer: time.setTimer,
    log: silentLogger,
    metrics: createPushMetrics(createMetrics()),
    encode: (_, json) => {
      if ("broken" in json) throw new Error("cannot be encoded");
      return Buffer.from(JSON.stringify(json));
    },
  });
  const change = (names: Readonly<Record<string, object>>, other: boolean): void => {
    endpoints = new Map([...endpoints, ...Object.entries(names)]);
    pending = { ...unchanged, other, endpoints: new Set(["x"]), names: new Set(Object.keys(names)) };
    publisher.changed();
  };
  /** One more proxy, of the audience of its namespace. */
  const connect = (namespace: string, wanted: readonly string[] = [], id = namespace) => {
    const got: Snapshot[] = [];
    const subscription = publisher.connect({
      proxy: { id, namespace } as ProxyFacts,
      push: (snapshot) => {
        got.push(snapshot);
        busyMs += pushMs;
      },
    });
    for (const name of wanted) subscription.wants(name);
    return {
      leave: () => subscription[Symbol.dispose](),
      catchUp: () => subscription.catchUp(),
      got,
      has: (name: string) => got.at(-1)?.types.get(endpointsUrl)?.entries.get(name)?.json,
    };
  };
  /** What is due next: the beginning of a push, or its next slice. */
  const step = (): boolean => time.step(Number.POSITIVE_INFINITY);
  return { publisher, change, connect, moved, pass: time.pass, step };
};

const openCrowd = () => {
  const mesh = openMesh();
  const proxies = Array.from({ length: 50 }, (_, i) => mesh.connect(`n${i}`));
  const last = proxies.at(-1) as (typeof proxies)[number];
  const pushed = (): number => proxies.filter(({ got }) => got.length > 1).length;
  return { ...mesh, proxies, last, pushed };
};

test("all get it once, a slice at a time", () => {
  const { publisher, change, proxies, pushed, step } = openCrowd();
  change({ a: { clusterName: "a", n: 1 } }, true);
  step();
  assert.ok(pushed() > 0 && pushed() < 10, `${pushed()} in the first slice`);
  assert.equal(publisher.pending(), true);
  for (let left = 0; left < 100 && publisher.pending(); left++) step();
  assert.equal(publisher.pending(), false);
  assert.ok(proxies.every(({ got, has }) => got.length === 2 && (has("a") as { n: number }).n === 1));
});

test("endpoints that change meanwhile are with their subscribers before it ends, with all the rest, and once", () => {
  const { publisher, change, last, connect, pushed, proxies, pass, step } = openCrowd();
  const wants = connect("wants", ["a"]);
  change({ b: { clusterName: "b" } }, true);
  step();
  change({ a: { clusterName: "a", n: 2 } }, false);
  assert.ok(pushed() < 25);
  assert.deepEqual([wants.has("a"), wants.has("b")], [{ clusterName: "a", n: 2 }, { clusterName: "b" }]);
  assert.equal(last.has("b"), undefined);
  pass(1000);
  assert.equal(publisher.pending(), false);
  assert.equal(wants.got.length, 2);
  assert.ok(proxies.every(({ has }) => has("b") !== undefined));
  for (const proxy of proxies) proxy.catchUp();
  assert.ok(proxies.every(({ has }) => (has("a") as { n: number }).n === 2));
});

test("who connects meanwhile has the newest at once, who asks gets it, and who is gone gets nothing more", () => {
  const { change, connect, last, proxies, pass, step } = openCrowd();
  change({ b: { clusterName: "b" } }, true);
  step();
  const late = connect("late");
  const sharing = connect("n48");
  assert.deepEqual([late.has("b"), sharing.has("b")], [{ clusterName: "b" }, { clusterName: "b" }]);
  last.leave();
  pass(1000);
  assert.deepEqual([late.got.length, sharing.got.length, last.got.length], [1, 1, 1]);
  assert.ok(proxies.slice(0, -1).every(({ has }) => has("b") !== undefined));
});

test("who is taken to another audience leaves the others of its own what is theirs, before its turn too", () => {
  const { change, connect, moved, step, pass } = openCrowd();
  const mover = connect("shared", ["a"], "mover");
  const stayer = connect("shared", ["a"], "stayer");
  const keys = () => [mover, stayer].map(({ has }) => (has("audience") as { key: string }).key);
  moved.set("mover", "elsewhere");
  change({ b: { clusterName: "b" } }, true);
  mover.catchUp();
  stayer.catchUp();
  assert.deepEqual(keys(), ["elsewhere", "shared"]);
  step();
  moved.set("mover", "farther");
  change({ a: { clusterName: "a", n: 3 } }, false);
  assert.deepEqual(keys(), ["farther", "shared"]);
  pass(1000);
  assert.deepEqual(keys(), ["farther", "shared"]);
});

test("another change that concerns all waits for its end, and comes", () => {
  const { publisher, change, proxies, step } = openCrowd();
  change({ b: { clusterName: "b", n: 1 } }, true);
  step();
  change({ b: { clusterName: "b", n: 2 } }, true);
  for (let left = 0; left < 1000 && publisher.pending(); left++) step();
  assert.ok(proxies.every(({ has }) => (has("b") as { n: number }).n === 2));
  assert.ok(proxies.every(({ got }) => got.length <= 3));
});

test("what cannot be sent stays known while a push goes on, since when too", () => {
  const { publisher, change, pass, step } = openCrowd();
  change({ broken: { clusterName: "broken", broken: true } }, true);
  pass(1000);
  const [before] = publisher.badResources();
  assert.deepEqual([before?.name, before?.reason], ["broken", "cannot be encoded"]);
  change({ b: { clusterName: "b" } }, true);
  step();
  assert.equal(publisher.pending(), true);
  assert.deepEqual(publisher.badResources(), [before]);
  pass(1000);
  assert.deepEqual(publisher.badResources(), [before]);
  change({ broken: { clusterName: "broken" } }, true);
  pass(1000);
  assert.deepEqual(publisher.badResources(), []);
});
