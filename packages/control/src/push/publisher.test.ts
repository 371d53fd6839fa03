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
import { createPublisher, type Subscriber, type Subscription } from "./publisher.ts";
import { createPushMetrics } from "./push-metrics.ts";

const none = new Map<string, never>();

/** A generator under the test's hands, on a clock under the test's hands. */
const nothing: GeneratedChange = {
  other: false,
  own: false,
  endpoints: new Set(),
  addresses: new Set(),
  names: new Set(),
};

const setUp = () => {
  const { clock, setTimer, pass } = virtualTime(1000);
  let endpoints: ReadonlyMap<string, object> = new Map([["a", { clusterName: "a" }]]);
  let pending: GeneratedChange = nothing;
  const counts = { generated: 0, encoded: 0 };
  const generator: Generator = {
    audienceOf: ({ namespace }) => namespace,
    endpointsOf: () => undefined,
    generate: () => {
      counts.generated++;
      const resources = { cluster: none, endpoints, listener: none, route: none, secret: none };
      return { resources: resources as unknown as ResourceSet, notes: [] };
    },
    refresh: () => {
      const change = pending;
      pending = nothing;
      return change;
    },
  };
  const publisher = createPublisher({
    generator,
    clock,
    setTimer,
    log: silentLogger,
    metrics: createPushMetrics(createMetrics()),
    encode: (_, json) => {
      if ("broken" in json) throw new Error("cannot be encoded");
      counts.encoded++;
      return Buffer.from(JSON.stringify(json));
    },
  });
  const pushes: Snapshot[] = [];
  return {
    publisher,
    counts,
    pushes,
    /** To all endpoints, unless told which. */
    subscribe: (namespace = "default", names?: readonly string[]): Subscription => {
      const subscriber: Subscriber = {
        proxy: { id: "p", namespace } as ProxyFacts,
        push: (snapshot) => void pushes.push(snapshot),
      };
      const subscription = publisher.connect(subscriber);
      if (names) for (const name of names) subscription.wants(name);
      else subscription.wantsAll();
      return subscription;
    },
    change: (names: Readonly<Record<string, object>>, other = false) => {
      endpoints = new Map(Object.entries(names));
      const changed = new Set(Object.keys(names));
      pending = { other, own: false, endpoints: new Set(["x"]), addresses: new Set(), names: changed };
      publisher.changed();
    },
    advance: pass,
  };
};

test("an endpoint change under light load is pushed at once, a burst is gathered", () => {
  const mesh = setUp();
  using _ = mesh.subscribe();
  mesh.change({ a: { clusterName: "a", n: 1 } });
  assert.equal(mesh.pushes.length, 2);
  for (let n = 2; n < 10; n++) mesh.change({ a: { clusterName: "a", n } });
  assert.equal(mesh.pushes.length, 2);
  mesh.advance(10);
  assert.equal(mesh.pushes.length, 3);
  const entries = mesh.pushes[2]?.types.get(resourceType("endpoints").typeUrl)?.entries;
  assert.deepEqual(entries?.get("a")?.json, { clusterName: "a", n: 9 });
});

test("other changes wait for quiet, but not for ever", () => {
  const mesh = setUp();
  using _ = mesh.subscribe();
  let n = 0;
  for (; n < 30 && mesh.pushes.length === 1; n++) {
    mesh.change({ a: { clusterName: "a", n } }, true);
    mesh.advance(5);
  }
  assert.ok(n >= 19 && n <= 21, `pushed after ${n * 5} ms`);
});

test("a change that changes nothing for a proxy is not pushed to it", () => {
  const mesh = setUp();
  using _ = mesh.subscribe();
  mesh.change({ a: { clusterName: "a" } });
  assert.equal(mesh.pushes.length, 1);
});

test("proxies that see the same are generated for once, and a change is encoded once for all", () => {
  const mesh = setUp();
  const subscriptions = Array.from({ length: 2000 }, () => mesh.subscribe());
  assert.equal(mesh.counts.generated, 1);
  mesh.change({ a: { clusterName: "a", n: 1 } });
  assert.deepEqual([mesh.counts.generated, mesh.counts.encoded, mesh.pushes.length], [2, 2, 4000]);
  for (const subscription of subscriptions) subscription[Symbol.dispose]();
  mesh.advance(1000);
  mesh.change({ a: { clusterName: "a", n: 2 } });
  assert.equal(mesh.pushes.length, 4000);
});

test("endpoints are pushed to those who want them, to others when they ask", () => {
  const mesh = setUp();
  const entryOf = (at: number) => mesh.pushes[at]?.types.get(resourceType("endpoints").typeUrl)?.entries.get("a")?.json;
  using wants = mesh.subscribe("one", ["a"]);
  using other = mesh.subscribe("one", ["b"]);
  for (let n = 0; n < 300; n++) mesh.subscribe(`more-${n}`, []);
  const before = mesh.pushes.length;
  mesh.change({ a: { clusterName: "a", n: 1 } });
  // A few of the others are brought up to date with each push.
  assert.ok(mesh.pushes.length > before && mesh.pushes.length < before + 50, `${mesh.pushes.length - before} pushes`);
  assert.deepEqual(entryOf(before), { clusterName: "a", n: 1 });
  mesh.advance(1000);
  const asked = mesh.subscribe("late", []);
  mesh.change({ a: { clusterName: "a", n: 2 } });
  const then = mesh.pushes.length;
  asked.catchUp();
  assert.deepEqual([mesh.pushes.length, entryOf(then)], [then + 1, { clusterName: "a", n: 2 }]);
  asked.catchUp();
  assert.equal(mesh.pushes.length, then + 1);
  wants.unwants("a");
  other.wants("a");
  other.unwants("a");
  other.catchUp();
  assert.deepEqual(entryOf(mesh.pushes.length - 1), { clusterName: "a", n: 2 });
});

test("who shares an audience with one that was pushed to is caught up as well", () => {
  const mesh = setUp();
  using _ = mesh.subscribe("one", ["a"]);
  using quiet = mesh.subscribe("one", []);
  for (let n = 0; n < 300; n++) mesh.subscribe(`more-${n}`, []);
  for (let n = 1; n < 40; n++) {
    mesh.change({ a: { clusterName: "a", n } });
    mesh.advance(1000);
  }
  const before = mesh.pushes.length;
  quiet.catchUp();
  assert.ok(mesh.pushes.length - before <= 1);
  const last = mesh.pushes.at(-1)?.types.get(resourceType("endpoints").typeUrl)?.entries.get("a")?.json;
  mesh.change({ a: { clusterName: "a", n: 99 } });
  const at = mesh.pushes.length;
  quiet.catchUp();
  assert.ok(mesh.pushes.length === at + 1 || mesh.pushes.length === at);
  assert.notDeepEqual(last, { clusterName: "a", n: 99 });
  assert.deepEqual(mesh.pushes.at(-1)?.types.get(resourceType("endpoints").typeUrl)?.entries.get("a")?.json, {
    clusterName: "a",
    n: 99,
  });
});

test("audiences share what is equal in them", () => {
  const mesh = setUp();
  using _ = mesh.subscribe("one");
  using __ = mesh.subscribe("two");
  assert.deepEqual([mesh.counts.generated, mesh.counts.encoded], [2, 1]);
  const [one, two] = mesh.pushes.map(({ types }) => types.get(resourceType("endpoints").typeUrl));
  assert.equal(one, two);
});

test("proxies that connect between two pushes share one number, which a push never has", () => {
  const mesh = setUp();
  using _ = mesh.subscribe("one");
  using __ = mesh.subscribe("two");
  mesh.change({ a: { clusterName: "a", n: 1 } });
  using ___ = mesh.subscribe("three");
  const [one, two, pushed, again, three] = mesh.pushes.map(({ epoch }) => epoch);
  assert.equal(one, two);
  assert.equal(pushed, again);
  assert.ok(one !== pushed && pushed !== three);
  assert.equal(mesh.publisher.changedAtMs(three ?? 0), undefined);
});

test("who connects while a change waits gets it at once, the others when it has settled", () => {
  const mesh = setUp();
  using _ = mesh.subscribe();
  mesh.change({ a: { clusterName: "a", n: 1 } }, true);
  using __ = mesh.subscribe();
  assert.equal(mesh.pushes.length, 2);
  assert.notEqual(mesh.pushes[0], mesh.pushes[1]);
  mesh.advance(10);
  assert.equal(mesh.pushes.length, 3);
  assert.equal(mesh.pushes[2], mesh.pushes[1]);
});

test("a resource that cannot be encoded stays as it was, is reported, and holds nothing else up", () => {
  const mesh = setUp();
  using _ = mesh.subscribe();
  mesh.change({ a: { clusterName: "a", broken: true }, b: { clusterName: "b" } });
  const entries = mesh.pushes[1]?.types.get(resourceType("endpoints").typeUrl)?.entries;
  assert.deepEqual([entries?.get("a")?.json, entries?.has("b")], [{ clusterName: "a" }, true]);
  assert.deepEqual(
    mesh.publisher.badResources().map(({ name, reason }) => [name, reason]),
    [["a", "cannot be encoded"]],
  );
  mesh.advance(1000);
  mesh.change({ a: { clusterName: "a", n: 3 } });
  assert.deepEqual(mesh.publisher.badResources(), []);
});

test("a subscriber that throws does not keep the others from their push", () => {
  const mesh = setUp();
  let calls = 0;
  const throwing: Subscriber = {
    proxy: { id: "bad", namespace: "default" } as ProxyFacts,
    push: () => {
      if (++calls > 1) throw new Error("stream is broken");
    },
  };
  using first = mesh.publisher.connect(throwing);
  first.wantsAll();
  using __ = mesh.subscribe();
  mesh.change({ a: { clusterName: "a", n: 1 } });
  assert.equal(mesh.pushes.length, 2);
});
