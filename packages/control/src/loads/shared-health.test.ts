/** Reported health over several replicas: one answer for all, whoever the proxies are with. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createGraph } from "@weft/core/collection";
import { silentLogger } from "@weft/core/world";
import fc from "fast-check";
import type { EndpointRecord, ServiceEndpoints } from "../model/service.ts";
import { openReplica } from "../store/shared/replica.ts";
import { createManualTime } from "../store/shared/testing/manual-time.ts";
import { createMemoryShared } from "../store/shared/testing/memory-shared-store.ts";
import {
  formatOpinions,
  healthRecordKey,
  healthRecordLimits,
  parseHealthRecordKey,
  parseOpinions,
} from "./health-record.ts";
import type { CheckedPorts } from "./reported-health.ts";
import { createSharedHealth, sharedHealthLimits } from "./shared-health.ts";

const key = "default/app.example";
const endpoint = (n: number, servicePort = 80): EndpointRecord => ({
  ...{ key: `k${n}`, source: "Registry", service: key, servicePort, address: `10.0.0.${n}`, port: 8080 },
  ...{ workloadPort: 8080, namespace: "default", workload: "app", serviceAccount: "", labels: {}, locality: "" },
  ...{ weight: 1, health: "healthy", network: "", cluster: "", meshTls: false },
});
const graph = createGraph();
const endpoints = graph.source<ServiceEndpoints>("endpoints");
endpoints.put({ key, endpoints: [1, 2, 3, 4].map((n) => endpoint(n)) });
graph.commit();
const model = { endpoints };
const idOf = (n: number): string => `80 10.0.0.${n}:8080`;

/** Proxies that check the port, and which endpoints each of them finds failed. */
type Findings = Readonly<Record<string, readonly number[]>>;
const checked = (findings: Findings): CheckedPorts => {
  const failing = new Map<string, Set<string>>();
  for (const [voice, hosts] of Object.entries(findings))
    for (const n of hosts) failing.set(idOf(n), (failing.get(idOf(n)) ?? new Set()).add(voice));
  const voices = new Set(Object.keys(findings));
  return voices.size === 0 ? new Map() : new Map([[key, new Map([[80, { voices, failing }]])]]);
};

const world = () => {
  const time = createManualTime();
  const shared = createMemoryShared();
  const { clock, setTimer } = time;
  const all: { judge: () => void }[] = [];
  const open = (id: string) => {
    const store = shared.open();
    const replica = openReplica({ store, id, clock, setTimer, log: silentLogger });
    const health = createSharedHealth({ store, replica, setTimer, log: silentLogger });
    let own: CheckedPorts = new Map();
    let verdict: readonly string[] = [];
    const judge = (): void => {
      verdict = health.judge(own, model).flatMap(({ failed }) => failed);
    };
    health.follow(judge);
    const one = {
      store,
      judge,
      verdict: () => verdict,
      heard: () => Object.fromEntries(health.heard(key)),
      finds: (findings: Findings) => {
        own = checked(findings);
        judge();
      },
      die: () => {
        const lease = shared.records.get(`replicas/${id}`)?.lease ?? "";
        health[Symbol.dispose]();
        store.cut();
        shared.expire(lease);
      },
    };
    all.push(one);
    return one;
  };
  const records = (): readonly string[] => [...shared.records.keys()].filter((name) => name.startsWith("health/"));
  /** Whatever is written and answered, in two rounds of writing at most. */
  const settle = () => time.advance(sharedHealthLimits.writeMs * 2);
  return { time, shared, open, settle, records };
};

test("what one replica's proxy finds failed is failed at all of them, until it finds it well again", async () => {
  const { open, settle, records } = world();
  const all = ["1", "2", "3"].map(open);
  await settle();
  all[0]?.finds({ a: [1] });
  await settle();
  assert.deepEqual(
    all.map((one) => one.verdict()),
    [[idOf(1)], [idOf(1)], [idOf(1)]],
  );
  all[0]?.finds({ a: [] });
  await settle();
  assert.deepEqual([all.map((one) => one.verdict()), records()], [[[], [], []], []]);
});

test("proxies that are with other replicas and find nothing are counted before anything is called failed", async () => {
  const { open, settle } = world();
  const [one, two] = [open("1"), open("2")];
  await settle();
  two.finds({ b: [], c: [] });
  one.finds({ a: [1] });
  // Never meanwhile either.
  const seen: (readonly string[])[] = [];
  one.store.follow("health", () => seen.push(one.verdict(), two.verdict()));
  await settle();
  assert.ok(seen.length > 0 && seen.every((verdict) => verdict.length === 0));
  two.finds({ b: [1], c: [] });
  await settle();
  assert.deepEqual([one.verdict(), two.verdict()], [[idOf(1)], [idOf(1)]]);
});

test("nothing is written while nothing fails, and equal findings are written once", async () => {
  const { open, settle, shared, records } = world();
  const [one, two] = [open("1"), open("2")];
  await settle();
  const before = shared.records.size;
  one.finds({ a: [], b: [] });
  two.finds({ c: [] });
  await settle();
  assert.equal(shared.records.size, before);
  one.finds({ a: [1], b: [1] });
  await settle();
  assert.equal(records().length, 2);
  const revision = one.store.revision();
  one.finds({ b: [1], a: [1] });
  await settle();
  assert.equal(one.store.revision(), revision);
});

test("findings that change without end are written once a second", async () => {
  const { time, open, settle } = world();
  const one = open("1");
  await settle();
  const revision = one.store.revision();
  for (let i = 0; i < 100; i++) {
    one.finds({ a: [1 + (i % 2)] });
    await time.advance(100);
  }
  assert.ok(one.store.revision() - revision <= 11, `${one.store.revision() - revision} writes in 10 s`);
});

test("a proxy that went over to another replica counts once, as the later has it; the dead one's word ends with its lease", async () => {
  const { open, settle, records } = world();
  const [one, two] = [open("1"), open("2")];
  await settle();
  one.finds({ a: [1], b: [1] });
  await settle();
  assert.deepEqual(two.verdict(), [idOf(1)]);
  one.store.cut();
  two.finds({ a: [], b: [1] });
  await settle();
  assert.deepEqual(two.verdict(), []);
  one.die();
  two.finds({ b: [1] });
  await settle();
  assert.deepEqual([two.verdict(), records().length], [[idOf(1)], 1]);
});

test("a replica that is there and has not said what it thinks keeps the last verdict in force", async () => {
  const { open, settle } = world();
  const [one, two] = [open("1"), open("2")];
  await settle();
  one.finds({ a: [1] });
  await settle();
  assert.deepEqual(two.verdict(), [idOf(1)]);
  const three = open("3");
  await settle();
  assert.deepEqual([one.verdict(), three.verdict()], [[idOf(1)], [idOf(1)]]);
});

test("while the store is away a replica goes by its own proxies; what others said counts for thirty seconds", async () => {
  const { open, settle } = world();
  const [one, two] = [open("1"), open("2")];
  await settle();
  two.finds({ b: [2] });
  await settle();
  one.store.cut();
  one.finds({ a: [1] });
  assert.deepEqual(one.verdict(), []);
  one.finds({ a: [1, 2] });
  assert.deepEqual(one.verdict(), [idOf(2)]);
  one.store.cut(30_001);
  one.judge();
  assert.deepEqual(one.verdict(), [idOf(1), idOf(2)]);
  one.store.mend();
  await settle();
  assert.deepEqual([one.verdict(), two.verdict()], [[idOf(2)], [idOf(2)]]);
});

test("more than half of a port's endpoints are not called failed, whoever says so", async () => {
  const { open, settle } = world();
  const [one, two] = [open("1"), open("2")];
  await settle();
  one.finds({ a: [1, 2] });
  two.finds({ b: [3] });
  await settle();
  assert.deepEqual([one.verdict(), two.verdict()], [[], []]);
  one.finds({ a: [1, 2, 3] });
  two.finds({ b: [1, 2, 3] });
  await settle();
  assert.deepEqual([one.verdict(), two.verdict()], [[], []]);
});

test("records that nobody of this version wrote decide nothing", async () => {
  const { open, settle } = world();
  const one = open("1");
  await settle();
  const texts = ["", "null", "[]", '{"voices":3,"failing":{}}', '{"voices":"x","failing":{"80 10.0.0.1:8080":7}}'];
  for (const [i, value] of texts.entries()) {
    const name = healthRecordKey({ replica: `x${i}`, service: key, port: 80 });
    await one.store.write({ seen: [], puts: [{ key: name, value }] });
  }
  await one.store.write({ seen: [], puts: [{ key: "health/odd", value: "{}" }] });
  one.finds({ a: [1] });
  await settle();
  assert.deepEqual(one.verdict(), [idOf(1)]);
});

test("a record has the same text for equal findings, a bound for any, and reads back as it was written", () => {
  const findings = fc.dictionary(fc.string({ minLength: 1, maxLength: 8 }), fc.uniqueArray(fc.nat({ max: 40 })));
  fc.assert(
    fc.property(findings, (given) => {
      const [port] = [...(checked(given).get(key)?.values() ?? [])];
      if (!port) return;
      const text = formatOpinions(port);
      const reversed = checked(Object.fromEntries(Object.entries(given).reverse()))
        .get(key)
        ?.get(80);
      assert.equal(reversed && formatOpinions(reversed), text);
      const read = parseOpinions(text);
      assert.equal(read?.voices.size, port.voices.size);
      assert.deepEqual(
        [...(read?.failing ?? [])].map(([id, of]) => [id, of.size]),
        [...port.failing].map(([id, of]) => [id, of.size]).sort(([a], [b]) => ((a as string) < (b as string) ? -1 : 1)),
      );
      assert.equal(read && formatOpinions(read).length, text.length);
    }),
  );
  const many = Object.fromEntries(Array.from({ length: 1_000 }, (_, i) => [`proxy ${i}`, [1]]));
  const port = checked(many).get(key)?.get(80);
  assert.equal(port && parseOpinions(formatOpinions(port))?.voices.size, healthRecordLimits.voicesMax);
  const name = { replica: "r", service: "default/a/b", port: 8080 };
  assert.deepEqual(parseHealthRecordKey(healthRecordKey(name)), name);
});

test("how many check and for how many it fails is the same at every replica, and without one that died", async () => {
  const { open, time } = world();
  const [one, two] = [open("1"), open("2")];
  const settled = () => time.advance(3 * sharedHealthLimits.writeMs);
  await settled();
  one.finds({ a: [1], b: [] });
  two.finds({ c: [1, 2] });
  await settled();
  const both = { [idOf(1)]: { checking: 3, failing: 2 }, [idOf(2)]: { checking: 3, failing: 1 } };
  assert.deepEqual([one.heard(), two.heard()], [both, both]);
  two.die();
  await settled();
  assert.deepEqual(one.heard(), { [idOf(1)]: { checking: 2, failing: 1 } });
  one.finds({ a: [], b: [] });
  await settled();
  assert.deepEqual(one.heard(), {});
});
