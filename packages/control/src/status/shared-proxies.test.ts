/** Proxies of several control planes that share a store: counted together, each configuration for itself. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { ConfigObject } from "@weft/config/config-object";
import { parseConfig } from "@weft/config/parse-config";
import { silentLogger } from "@weft/core/world";
import fc from "fast-check";
import { openReplica } from "../store/shared/replica.ts";
import { createManualTime } from "../store/shared/testing/manual-time.ts";
import { createMemoryShared } from "../store/shared/testing/memory-shared-store.ts";
import { createConfigTerms } from "./config-terms.ts";
import { objectConcerns } from "./object-concerns.ts";
import { proxyRecordKey, proxyRecordLimits } from "./proxy-record.ts";
import { openSharedProxies, sharedProxiesLimits } from "./shared-proxies.ts";
import { createProxyProgress } from "./written-status-proxies.ts";

const policy = (name: string, spec: string): ConfigObject => {
  const text = `{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: ${name}, namespace: shop}, spec: ${spec}}`;
  const { objects, findings } = parseConfig(text, "test.yaml");
  assert.deepEqual(findings, []);
  const [object] = objects;
  assert.ok(object);
  return object;
};
const [old, other, young] = ["old", "other", "young"].map((name) => policy(name, "{mtls: {mode: STRICT}}"));
assert.ok(old && other && young);

const proxy = (id: string, status = "SYNCED", labels: Readonly<Record<string, string>> = {}, namespace = "shop") =>
  ({ proxy: { id, kind: "sidecar", namespace, labels }, types: () => [{ status }] }) as never;

const { lookMs, repeatMs, staleMs, silentMs } = sharedProxiesLimits;

const world = () => {
  const time = createManualTime();
  const shared = createMemoryShared();
  const open = (id: string, { offMs = 0, totalsOnly = false } = {}) => {
    const clock = { nowMs: () => time.clock.nowMs() + offMs, wallMs: () => time.clock.wallMs() - offMs };
    const { setTimer } = time;
    const store = shared.open();
    const replica = openReplica({ store, id, clock, setTimer, log: silentLogger });
    let proxies: readonly never[] = [];
    let objects: readonly ConfigObject[] = [old];
    const opened = openSharedProxies({
      ...{ store, replica, clock, setTimer, log: silentLogger, settled: () => true },
      proxies: () => proxies,
      ...(totalsOnly ? {} : { objects: () => objects }),
    });
    const terms = createConfigTerms();
    const progress = createProxyProgress();
    /** As the writer of status does. */
    const round = (): void => {
      terms.note(objects, clock.nowMs());
      progress.look(proxies, true, clock.nowMs(), opened.peers(terms));
      progress.concernedBy(objectConcerns(objects, "istio-system"));
    };
    return {
      store,
      shared: opened,
      round,
      has: (...given: readonly never[]) => {
        proxies = given;
      },
      applies: (...given: readonly ConfigObject[]) => {
        objects = given;
      },
      nowMs: () => clock.nowMs(),
      have: (object: ConfigObject, sinceMs: number) => progress.have(object, sinceMs),
      revision: () => progress.revision(),
      codes: () => opened.findings().map(({ code, name }) => `${code} ${name}`),
      die: () => {
        const lease = shared.records.get(`replicas/${id}`)?.lease ?? "";
        opened[Symbol.dispose]();
        store.cut();
        return () => shared.expire(lease);
      },
    };
  };
  /** Whatever is looked at, told and heard. */
  const settle = () => time.advance(lookMs * 3);
  return { time, shared, open, settle };
};

describe("proxies of several control planes", () => {
  test("are added up, and those of one that dies fall out with its lease", async () => {
    const { open, settle } = world();
    const [one, two, three] = [open("1"), open("2"), open("3")];
    one.has(proxy("a"));
    two.has(proxy("b"), proxy("c"));
    three.has(proxy("d", "STALE"), proxy("e"), proxy("e"));
    one.round();
    const sinceMs = one.nowMs();
    await settle();
    for (const writer of [one, two]) {
      writer.round();
      assert.deepEqual(writer.shared.everywhere(), {
        ...{ controlPlanes: 3, proxies: 5, synced: 4, silent: 0 },
        oldestMs: writer.shared.everywhere().oldestMs,
      });
    }
    assert.deepEqual(one.have(old, sinceMs), { current: 4, total: 5 });
    const before = one.revision();
    const lapse = three.die();
    one.round();
    assert.deepEqual(one.have(old, sinceMs), { current: 4, total: 5 });
    lapse();
    one.round();
    assert.notEqual(one.revision(), before);
    assert.deepEqual(one.have(old, sinceMs), { current: 3, total: 3 });
    assert.equal(one.shared.everywhere().proxies, 3);
    assert.deepEqual(one.codes(), []);
  });

  test("are the same wherever the clocks are", async () => {
    for (const offMs of [-1e9, 1e9]) {
      const { open, settle } = world();
      const [one, two] = [open("1"), open("2", { offMs })];
      one.has(proxy("a"));
      two.has(proxy("b"));
      for (const writer of [one, two]) {
        writer.round();
        const sinceMs = writer.nowMs();
        await settle();
        writer.round();
        assert.deepEqual(writer.have(old, sinceMs), { current: 2, total: 2 });
        assert.ok(writer.shared.everywhere().oldestMs <= repeatMs);
      }
    }
  });

  test("have an object where they agreed to a configuration that has it, and nobody is sure of it before", async () => {
    const { open, settle } = world();
    const [one, two] = [open("1"), open("2")];
    one.has(proxy("a"));
    two.has(proxy("b"), proxy("c"));
    one.round();
    const oldMs = one.nowMs();
    await settle();
    one.round();
    one.applies(old, young);
    one.round();
    const youngMs = one.nowMs();
    await settle();
    one.round();
    // The other has not read it yet: what it tells is of before, and its proxies have what did not change.
    assert.deepEqual(one.have(young, youngMs), { current: 1, total: 3, silent: 1 });
    assert.deepEqual(one.have(old, oldMs), { current: 3, total: 3 });
    two.applies(old, young);
    two.has(proxy("b", "STALE"), proxy("c"));
    await settle();
    one.round();
    assert.deepEqual(one.have(young, youngMs), { current: 2, total: 3 });
    assert.deepEqual(one.have(old, oldMs), { current: 3, total: 3 });
  });

  test("have what did not change where the other configuration is not known here", async () => {
    const { open, settle } = world();
    const [one, two] = [open("1"), open("2")];
    two.has(proxy("b"));
    one.round();
    const oldMs = one.nowMs();
    await settle();
    one.round();
    two.applies(old, other);
    await settle();
    one.round();
    one.applies(old, young);
    one.round();
    const youngMs = one.nowMs();
    await settle();
    one.round();
    assert.deepEqual(one.have(old, oldMs), { current: 1, total: 1 });
    assert.deepEqual(one.have(young, youngMs), { current: 0, total: 1, silent: 1 });
  });

  test("have what is in force again where they never had anything else, and not where they stayed with that", async () => {
    const { open, settle } = world();
    const [one, two] = [open("1"), open("2")];
    const strict = policy("back", "{mtls: {mode: STRICT}}");
    const off = policy("back", "{mtls: {mode: DISABLE}}");
    const apply = (object: ConfigObject): number => {
      for (const each of [one, two]) each.applies(object);
      one.round();
      return one.nowMs();
    };
    apply(strict);
    two.has(proxy("stays"), proxy("goes"));
    await settle();
    one.round();
    const offMs = apply(off);
    two.has(proxy("stays", "STALE"), proxy("goes"));
    await settle();
    one.round();
    assert.deepEqual(one.have(off, offMs), { current: 1, total: 2 });
    const backMs = apply(policy("back", "{mtls: {mode: STRICT}}"));
    two.has(proxy("stays", "STALE"), proxy("goes", "STALE"));
    await settle();
    one.round();
    assert.deepEqual(one.have(strict, backMs), { current: 1, total: 2 });
  });

  test("are never said to have what they had no chance of, and after any history are counted as they are", async () => {
    const versions = new Map<string, ConfigObject>();
    const version = (name: string, n: number): ConfigObject => {
      const made =
        versions.get(`${name} ${n}`) ??
        policy(name, `{selector: {matchLabels: {v: "0"}}, portLevelMtls: {"${n + 1}": {mode: STRICT}}}`);
      versions.set(`${name} ${n}`, made);
      return made;
    };
    const names = ["x", "y"];
    const ids = ["a", "b", "c"];
    const step = fc.record({
      changes: fc.subarray(names),
      // Whether each control plane hears of it now, and which proxies of the other acknowledge what they have.
      ...{
        hereNow: fc.boolean(),
        thereNow: fc.boolean(),
        synced: fc.subarray(ids),
        ms: fc.constantFrom(1, 900, 2_100, 5_000),
      },
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 12 }), async (steps) => {
        const { open, settle, time } = world();
        const [one, two] = [open("1"), open("2")];
        const newest = new Map(names.map((name) => [name, 0]));
        let here = new Map(newest);
        let there = new Map(newest);
        const since = new Map<string, number>();
        /** By proxy and object: the newest version that it may have acknowledged. */
        const had = new Map<string, number>();
        const list = (of: ReadonlyMap<string, number>) => [...of].map(([name, n]) => version(name, n));
        const work = (synced: readonly string[]): void => {
          for (const id of synced)
            for (const [name, n] of there) had.set(`${id} ${name}`, Math.max(n, had.get(`${id} ${name}`) ?? -1));
          two.has(...ids.map((id) => proxy(id, synced.includes(id) ? "SYNCED" : "STALE", { v: "0" })));
          one.applies(...list(here));
          two.applies(...list(there));
        };
        const look = (): void => {
          one.round();
          for (const [name, n] of here) {
            const key = `${name} ${n}`;
            if (!since.has(key)) since.set(key, one.nowMs());
            const { current } = one.have(version(name, n), since.get(key) ?? 0);
            const able = ids.filter((id) => (had.get(`${id} ${name}`) ?? -1) >= n);
            assert.ok(current <= able.length, `${current} have ${key}`);
          }
        };
        for (const { changes, hereNow, thereNow, synced, ms } of steps) {
          for (const name of changes) newest.set(name, (newest.get(name) ?? 0) + 1);
          if (hereNow) here = new Map(newest);
          if (thereNow) there = new Map(newest);
          work(synced);
          look();
          await time.advance(ms);
          look();
        }
        here = new Map(newest);
        there = new Map(newest);
        work(ids);
        for (let n = 0; n < 3; n++) {
          look();
          await settle();
        }
        one.round();
        for (const [name, n] of newest) {
          const all = { current: ids.length, total: ids.length };
          assert.deepEqual(one.have(version(name, n), since.get(`${name} ${n}`) ?? 0), all);
        }
      }),
      { numRuns: 60 },
    );
  });

  test("are not taken to have what came with this look: it may not have been given to anybody", async () => {
    const { time, open } = world();
    const [one, two] = [open("1"), open("2")];
    two.has(proxy("b"));
    await time.advance(lookMs);
    one.applies(old, young);
    two.applies(old, young);
    one.round();
    const youngMs = one.nowMs();
    await time.advance(lookMs);
    one.round();
    assert.equal(one.have(young, youngMs).current, 0);
    await time.advance(lookMs);
    one.round();
    assert.equal(one.have(young, youngMs).current, 1);
  });

  test("are told apart by the labels that something selects by, and by no others", async () => {
    const { open, settle, shared } = world();
    const [one, two] = [open("1"), open("2")];
    const gold = policy("gold", "{selector: {matchLabels: {tier: gold}}, mtls: {mode: STRICT}}");
    for (const each of [one, two]) each.applies(old, gold);
    const some = (from: number, tier: string) =>
      Array.from({ length: 20 }, (_, i) => proxy(`p${from + i}`, "SYNCED", { tier, pod: `p${from + i}` }));
    two.has(...some(0, "gold"), ...some(20, "tin"));
    one.round();
    const sinceMs = one.nowMs();
    await settle();
    one.round();
    assert.deepEqual(one.have(gold, sinceMs), { current: 20, total: 20 });
    assert.deepEqual(one.have(old, sinceMs), { current: 40, total: 40 });
    const { value = "" } = shared.records.get(proxyRecordKey("2")) ?? {};
    assert.ok(!value.includes("pod"), value);
    assert.ok(value.length < 400, value);
  });

  test("of more kinds than are told are counted in the total, and said to be left out", async () => {
    const { open, settle } = world();
    const [one, two] = [open("1"), open("2")];
    const { groupsMax } = proxyRecordLimits;
    two.has(...Array.from({ length: groupsMax + 7 }, (_, i) => proxy(`p${i}`, "SYNCED", {}, `n${i}`)));
    await settle();
    one.round();
    assert.equal(one.have(old, 0).left, 7);
    assert.equal(one.shared.everywhere().proxies, groupsMax + 7);
    assert.deepEqual(one.codes(), ["WF2282 2"]);
  });

  test("are not counted by what cannot be read, which is said; the others are", async () => {
    const { open, settle, shared, time } = world();
    const [one, two, three] = [open("1"), open("2"), open("3")];
    two.has(proxy("b"));
    three.has(proxy("c"));
    await settle();
    one.round();
    const group = (total: unknown, at: unknown) => ["sidecar", "shop", [], total, at];
    const record = (more: object) => ({ v: 1, total: 2, synced: 1, configs: ["x"], groups: [], left: 2, ...more });
    const bad = [
      ...["", "null", "[]", "{", '"x"', JSON.stringify(record({})).padEnd(proxyRecordLimits.bytesMax + 1)],
      ...[{ v: 2 }, { total: -1 }, { total: 1e300 }, { total: "2" }, { synced: 3 }, { left: 1 }, { configs: {} }].map(
        (more) => JSON.stringify(record(more)),
      ),
      ...[group(3, []), group(2, [[0, 3]]), group(2, [[1, 1]]), group(2, [[0]]), group(2.5, []), ["x"], null].map(
        (one) => JSON.stringify(record({ groups: [one], left: 0 })),
      ),
      JSON.stringify(record({ groups: [["proxy", "shop", [], 2, []]], left: 0 })),
    ];
    for (const value of bad) {
      const lease = shared.records.get("replicas/2")?.lease;
      await one.store.write({ seen: [], puts: [{ key: proxyRecordKey("2"), value, lease }] });
      one.round();
      assert.deepEqual(one.codes(), ["WF2280 2"], value.slice(0, 80));
      const { controlPlanes, proxies, silent } = one.shared.everywhere();
      assert.deepEqual({ controlPlanes, proxies, silent }, { controlPlanes: 2, proxies: 1, silent: 1 });
      assert.deepEqual(one.have(old, 0), { current: 1, total: 1, silent: 1 });
    }
    await time.advance(lookMs);
    assert.deepEqual(one.codes(), []);
  });

  test("are missed where a control plane is there and says nothing, but not at once", async () => {
    const { open, settle, time, shared } = world();
    const one = open("1");
    await settle();
    await one.store.write({ seen: [], puts: [{ key: "replicas/2", value: "{}", lease: await one.store.grant(10) }] });
    assert.deepEqual([one.codes(), one.shared.everywhere().silent], [[], 0]);
    await time.advance(silentMs);
    one.round();
    assert.deepEqual(one.codes(), ["WF2281 2"]);
    assert.deepEqual(one.have(old, 0), { current: 0, total: 0, silent: 1 });
    shared.expire(shared.records.get("replicas/2")?.lease ?? "");
    assert.deepEqual(one.codes(), []);
  });

  test("of whom only totals are told make no status sure", async () => {
    const { open, settle } = world();
    const [one, two] = [open("1"), open("2", { totalsOnly: true })];
    await settle();
    one.round();
    assert.deepEqual(one.have(old, 0), { current: 0, total: 0 });
    two.has(proxy("b"));
    await settle();
    one.round();
    assert.deepEqual(one.have(old, 0), { current: 0, total: 0, silent: 1 });
    assert.equal(one.shared.everywhere().proxies, 1);
  });
});

describe("what is told of proxies", () => {
  const revisionOf = ({ shared }: ReturnType<typeof world>, id: string): number =>
    shared.records.get(proxyRecordKey(id))?.revision ?? 0;

  test("is written where it changed, at most every two seconds, and now and then where it did not", async () => {
    const all = world();
    const one = all.open("1");
    await all.settle();
    const first = revisionOf(all, "1");
    await all.time.advance(lookMs * 5);
    assert.equal(revisionOf(all, "1"), first);
    for (let n = 0; n < 10; n++) {
      one.has(proxy(`p${n}`), ...(n % 2 ? [proxy("x")] : []));
      await all.time.advance(lookMs / 10);
    }
    assert.equal(revisionOf(all, "1"), first + 1);
    await all.time.advance(repeatMs + lookMs);
    assert.ok(revisionOf(all, "1") > first + 1);
  });
  test("is there again with a new lease, and where somebody took it away", async () => {
    const all = world();
    const one = all.open("1");
    one.has(proxy("a"));
    await all.settle();
    all.shared.expire(all.shared.records.get("replicas/1")?.lease ?? "");
    assert.equal(revisionOf(all, "1"), 0);
    await all.settle();
    assert.equal(all.shared.records.get(proxyRecordKey("1"))?.lease, all.shared.records.get("replicas/1")?.lease);
    await one.store.write({ seen: [], deletes: [proxyRecordKey("1")] });
    await all.settle();
    assert.notEqual(revisionOf(all, "1"), 0);
  });
  test("counts until it is too old, which shows while the store is away too", async () => {
    const { open, settle, time } = world();
    const [one, two] = [open("1"), open("2")];
    two.has(proxy("b"));
    await settle();
    one.store.cut();
    const { oldestMs } = one.shared.everywhere();
    await time.advance(staleMs - oldestMs);
    assert.deepEqual(one.shared.everywhere(), {
      controlPlanes: 2,
      proxies: 1,
      synced: 1,
      oldestMs: staleMs,
      silent: 0,
    });
    await time.advance(silentMs + 1);
    one.shared.everywhere();
    await time.advance(silentMs);
    assert.deepEqual(one.shared.everywhere(), { controlPlanes: 1, proxies: 0, synced: 0, oldestMs: 0, silent: 1 });
    one.store.mend();
    await time.advance(repeatMs);
    assert.equal(one.shared.everywhere().proxies, 1);
  });
});
