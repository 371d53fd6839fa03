import assert from "node:assert/strict";
import { test } from "node:test";
import { WeftError } from "@weft/core/error";
import fc from "fast-check";
import type { InstanceRef } from "./instance.ts";
import type { RegistryLimits } from "./limits.ts";
import { createEmbeddedRegistry, type RegistryEvent } from "./registry.ts";
import { memoryStore } from "./store.ts";

const ref = (id: string, service = "catalog"): InstanceRef => ({ namespace: "default", service, id });
const body = { address: "10.0.0.1", port: 8080 };

const make = (entries = new Map<string, string>(), limits: Partial<RegistryLimits> = {}) => {
  const clock = { now: 0, nowMs: () => clock.now, wallMs: () => 1_700_000_000_000 + clock.now };
  const registry = createEmbeddedRegistry({ store: memoryStore(entries), clock, limits });
  return { clock, registry, entries };
};

const refuses = (act: () => unknown, code: string, text: RegExp) =>
  assert.throws(act, (error) => error instanceof WeftError && error.code === code && text.test(error.message));

test("an instance registers, is found, and goes; versions grow with each change", () => {
  const { registry } = make();
  const { instance, created } = registry.put(ref("a"), body);
  assert.equal(created, true);
  assert.deepEqual(instance.ports, [{ name: "", port: 8080, appPort: 8080, protocol: "auto", servicePort: 8080 }]);
  assert.equal(instance.resourceVersion, 1);
  assert.equal(registry.put(ref("a"), { ...body, weight: 5 }).instance.resourceVersion, 2);
  assert.equal(registry.put(ref("a"), { ...body, weight: 5 }).instance.resourceVersion, 2, "equal: no new version");
  registry.remove(ref("a"));
  assert.equal(registry.version(), 3);
  assert.equal(registry.get(ref("a")), undefined);
});

test("a kept record that is damaged is left out and told, the others stand", () => {
  const { registry, entries } = make();
  for (const id of ["a", "b", "c", "d", "e"]) registry.put(ref(id), body);
  const key = (id: string): string => `instance/default/catalog/${id}`;
  entries.set(key("b"), (entries.get(key("b")) ?? "").slice(0, 40));
  entries.set(key("c"), (entries.get(key("c")) ?? "").replace("10.0.0.1", "10.0.0.x"));
  entries.set(key("d"), (entries.get(key("d")) ?? "").replace("catalog", "cbtalog"));
  entries.set(key("e"), "null");
  entries.set("meta/version", "5x");
  const told: string[] = [];
  const clock = { nowMs: () => 0, wallMs: () => 0 };
  const again = createEmbeddedRegistry({ store: memoryStore(entries), clock, damaged: (one) => told.push(one) });
  assert.deepEqual(
    again.list().map(({ id }) => id),
    ["a"],
  );
  assert.deepEqual(
    told,
    ["b", "c", "d", "e"].map((id) => `default/catalog/${id}`),
  );
});

test("If-Match takes only the version that is there; 0 means that nothing may be there", () => {
  const { registry } = make();
  refuses(() => registry.put(ref("a"), body, { ifMatch: 3 }), "WF8004", /does not exist, not version 3/);
  registry.put(ref("a"), body, { ifMatch: 0 });
  refuses(() => registry.put(ref("a"), body, { ifMatch: 0 }), "WF8004", /has version 1/);
  refuses(() => registry.remove(ref("a"), { ifMatch: 9 }), "WF8004", /has version 1/);
  registry.remove(ref("a"), { ifMatch: 1 });
});

test("an instance lives as long as it renews, by heartbeat or by registering again", () => {
  const { registry, clock } = make();
  registry.put(ref("a"), { ...body, ttlSeconds: 10 });
  registry.put(ref("b"), { ...body, ttlSeconds: 10 });
  registry.put(ref("forever"), body);
  registry.put(ref("for-ever"), body);
  clock.now = 9000;
  registry.heartbeat(ref("a"));
  assert.equal(registry.deadlineMs(), 10_000);
  clock.now = 10_000;
  assert.deepEqual(
    registry.tick().map(({ id }) => id),
    ["b"],
  );
  assert.equal(registry.deadlineMs(), 19_000);
  clock.now = 18_999;
  assert.deepEqual(registry.tick(), []);
  registry.put(ref("a"), { ...body, ttlSeconds: 1 });
  assert.equal(registry.deadlineMs(), 19_000);
  clock.now = 19_999;
  assert.deepEqual(
    registry.tick().map(({ id }) => id),
    ["a"],
  );
  assert.equal(registry.deadlineMs(), undefined);
  refuses(() => registry.heartbeat(ref("a")), "WF8003", /not registered/);
});

test("a shorter life given later holds at once", () => {
  const { registry, clock } = make();
  registry.put(ref("a"), { ...body, ttlSeconds: 1000 });
  registry.put(ref("a"), { ...body, ttlSeconds: 2 });
  assert.equal(registry.deadlineMs(), 2000);
  clock.now = 2000;
  assert.equal(registry.tick().length, 1);
});

test("everything is there after a restart, with its whole life again, and versions go on", () => {
  const before = make();
  before.registry.put(ref("a"), { ...body, ttlSeconds: 10, labels: { version: "v1" } });
  before.registry.put(ref("b"), body);
  before.registry.remove(ref("b"));
  const { registry, clock } = make(before.entries);
  assert.deepEqual(registry.list(), before.registry.list());
  assert.equal(registry.version(), 3);
  refuses(() => registry.watch({ since: 2 }, () => {}), "WF8005", /begin at 3/);
  clock.now = 9999;
  assert.equal(registry.tick().length, 0);
  clock.now = 10_000;
  assert.equal(registry.tick().length, 1);
});

test("a store that refuses leaves the registry as it was", () => {
  const registry = createEmbeddedRegistry({
    store: {
      load: () => [],
      write: () => {
        throw new Error("disk full");
      },
    },
    clock: { nowMs: () => 0, wallMs: () => 0 },
  });
  assert.throws(() => registry.put(ref("a"), body), /disk full/);
  assert.deepEqual([registry.list().length, registry.version()], [0, 0]);
});

test("a watch begins with what is there, or after a version, and is refused when the history is gone", () => {
  const { registry } = make(new Map(), { historyMax: 2 });
  for (const id of ["a", "b", "c", "d", "e"]) registry.put(ref(id), body);
  const seen: RegistryEvent[] = [];
  using _ = registry.watch({}, (event) => void seen.push(event));
  assert.deepEqual(
    seen.map(({ type, object }) => `${type} ${object.id}`),
    ["a", "b", "c", "d", "e"].map((id) => `ADDED ${id}`),
  );
  const late: RegistryEvent[] = [];
  const watching = registry.watch({ since: 3 }, (event) => void late.push(event));
  registry.remove(ref("a"));
  watching[Symbol.dispose]();
  registry.remove(ref("b"));
  assert.deepEqual(
    late.map(({ type, resourceVersion }) => `${type} ${resourceVersion}`),
    ["ADDED 4", "ADDED 5", "DELETED 6"],
  );
  refuses(() => registry.watch({ since: 1 }, () => {}), "WF8005", /begin at 3/);
  refuses(() => registry.watch({ since: 99 }, () => {}), "WF8005", /since version 99/);
});

test("whoever follows the events holds what the registry holds", () => {
  const step = fc.record({
    act: fc.constantFrom("put", "remove", "beat", "wait"),
    id: fc.constantFrom("a", "b", "c"),
    ttlSeconds: fc.constantFrom(0, 1, 5),
    weight: fc.integer({ min: 1, max: 2 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const { registry, clock, entries } = make();
      const held = new Map<string, unknown>();
      let last = 0;
      using _ = registry.watch({}, ({ type, object, resourceVersion }) => {
        assert.ok(resourceVersion > last);
        last = resourceVersion;
        assert.equal(held.has(object.id), type !== "ADDED");
        if (type === "DELETED") held.delete(object.id);
        else held.set(object.id, object);
      });
      for (const { act, id, ttlSeconds, weight } of steps) {
        if (act === "put") registry.put(ref(id), { ...body, ttlSeconds, weight });
        else if (act === "wait") clock.now += 700;
        else if (registry.get(ref(id))) act === "remove" ? registry.remove(ref(id)) : registry.heartbeat(ref(id));
        registry.tick();
        assert.ok((registry.deadlineMs() ?? Number.POSITIVE_INFINITY) > clock.now);
      }
      assert.deepEqual([...held.values()].length, registry.list().length);
      assert.deepEqual(
        registry.list(),
        registry.list().map(({ id }) => held.get(id)),
      );
      assert.deepEqual(make(entries).registry.list(), registry.list());
    }),
  );
});

test("registrations that are wrong are refused by field", () => {
  const { registry } = make();
  const cases: readonly (readonly [Record<string, unknown>, string, RegExp])[] = [
    [{ port: 1 }, "WF8001", /^address is missing/],
    [{ address: "catalog", port: 1 }, "WF8001", /"catalog" is not an IP address/],
    [{ address: "1.2.3.256", port: 1 }, "WF8001", /not an IP address/],
    [{ address: "::1::", port: 1 }, "WF8001", /not an IP address/],
    [{ address: "0.0.0.0", port: 1 }, "WF8001", /"0.0.0.0" is what one listens on/],
    [{ address: "ff02::1", port: 1 }, "WF8001", /multicast/],
    [{ address: "10.0.0.1" }, "WF8001", /^port is missing/],
    [{ address: "10.0.0.1", port: "80" }, "WF8001", /port is not a whole number/],
    [{ address: "10.0.0.1", port: 70_000 }, "WF8001", /from 1 to 65535/],
    [{ ...body, protocol: "htpp" }, "WF8001", /protocol "htpp" is not known/],
    [{ ...body, health: "fine" }, "WF8001", /health is "fine"/],
    [{ ...body, labels: { a: 1 } }, "WF8001", /labels\.a is not text/],
    [{ ...body, labels: [] }, "WF8001", /labels is not an object/],
    [{ ...body, labels: { a: "x".repeat(300) } }, "WF8001", /labels\.a is too long/],
    [
      { ...body, labels: Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`l${i}`, ""])) },
      "WF8002",
      /more than 64/,
    ],
    [{ ...body, metadata: { a: "x".repeat(16_384) } }, "WF8002", /metadata/],
    [{ ...body, ttlSeconds: -1 }, "WF8001", /ttlSeconds/],
    [{ ...body, weight: 1.5 }, "WF8001", /weight/],
    [{ ...body, locality: "a/b/c/d" }, "WF8001", /locality/],
    [{ ...body, ports: [{ port: 1 }, { port: 1 }] }, "WF8001", /port twice/],
    [{ ...body, adress: "x" }, "WF8001", /field "adress" is not known/],
    [{ ...body, serviceAccount: "a/b" }, "WF8001", /serviceAccount is not a name/],
  ];
  for (const [wrong, code, text] of cases) refuses(() => registry.put(ref("a"), wrong), code, text);
  for (const wrong of [null, [], "x", 1])
    refuses(() => registry.put(ref("a"), wrong), "WF8001", /body is not an object/);
  refuses(
    () => registry.put({ namespace: "A", service: "s", id: "i" }, body),
    "WF8001",
    /namespace "A" is not a DNS label/,
  );
  refuses(() => registry.put(ref("a", "x.y"), body), "WF8001", /service/);
  refuses(() => registry.put(ref("a/b"), body), "WF8001", /id/);
  assert.equal(registry.version(), 0);
});

test("labels named like object members are labels", () => {
  const { registry } = make();
  const labels = JSON.parse('{"__proto__":"x","constructor":"y"}') as Record<string, string>;
  const { instance } = registry.put(ref("a"), { ...body, labels });
  assert.deepEqual(Object.entries(instance.labels), [
    ["__proto__", "x"],
    ["constructor", "y"],
  ]);
});

test("limits of a service and of the registry hold", () => {
  const { registry } = make(new Map(), { instancesPerServiceMax: 1, instancesMax: 2 });
  registry.put(ref("a"), body);
  refuses(() => registry.put(ref("b"), body), "WF8002", /service default\/catalog has its most/);
  registry.put(ref("b", "web"), body);
  refuses(() => registry.put(ref("c", "ratings"), body), "WF8002", /registry is full/);
  registry.put(ref("a"), { ...body, weight: 2 });
});

test("replicas on other ports of one machine are one service port", () => {
  const { registry } = make();
  const first = registry.put(ref("a"), { ...body, port: 9001, appPort: 3000, portName: "http", protocol: "http" });
  const second = registry.put(ref("b"), { ...body, port: 9002, appPort: 3001, portName: "http", protocol: "http" });
  assert.deepEqual(
    [first, second].map(({ instance }) => instance.ports[0]?.servicePort),
    [3000, 3000],
  );
  assert.equal(registry.put(ref("c"), { ...body, servicePort: 80 }).instance.ports[0]?.servicePort, 80);
});
