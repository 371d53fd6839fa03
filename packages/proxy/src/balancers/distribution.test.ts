/** Each balancer against the distribution it is to have, by Pearson's statistic over seeded draws. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom } from "@weft/core/random";
import type { Host } from "../clusters/host.ts";
import { testHosts } from "../clusters/testing/fixtures.ts";
import { xxHash64 } from "../routing/xxhash64.ts";
import type { BalancerTools, PickHost } from "./balancer.ts";
import { balancers } from "./index.ts";

const build = (
  policy: string,
  hosts: readonly Host[],
  raw: Record<string, unknown> = {},
  tools: Partial<BalancerTools> = {},
): PickHost => {
  const kind = balancers.find((each) => each.policy === policy);
  assert.ok(kind, policy);
  return kind.configure(raw)(hosts, { random: seededRandom(11), ...tools });
};

const draw = (pick: PickHost, hosts: readonly Host[], requests: number, hashed = false): number[] => {
  const counts = new Map<Host | undefined, number>();
  for (let i = 0; i < requests; i++) {
    const host = pick({ hash: hashed ? xxHash64(`request ${i}`) : undefined });
    counts.set(host, (counts.get(host) ?? 0) + 1);
  }
  return hosts.map((host) => counts.get(host) ?? 0);
};

/** Below what chance exceeds once in a thousand draws, for up to ten degrees of freedom. */
const chiSquareMost = [0, 10.8, 13.8, 16.3, 18.5, 20.5, 22.5, 24.3, 26.1, 27.9, 29.6];

const fits = (counts: readonly number[], shares: readonly number[], what = ""): void => {
  const total = counts.reduce((sum, n) => sum + n, 0);
  const whole = shares.reduce((sum, n) => sum + n, 0);
  const statistic = counts.reduce((sum, n, i) => {
    const expected = (total * (shares[i] ?? 0)) / whole;
    return sum + (n - expected) ** 2 / expected;
  }, 0);
  assert.ok(statistic < (chiSquareMost[counts.length - 1] ?? 0), `${what} ${counts.join()} is off by ${statistic}`);
};

test("random gives each host the same, whatever it weighs", () => {
  const hosts = testHosts(5, [1, 2, 3, 4, 100]);
  fits(draw(build("RANDOM", hosts), hosts, 20_000), [1, 1, 1, 1, 1]);
});

test("round robin and least request give idle hosts what they weigh", () => {
  const weights = [1, 2, 3, 4, 10];
  for (const policy of ["ROUND_ROBIN", "LEAST_REQUEST"]) {
    const hosts = testHosts(5, weights);
    fits(draw(build(policy, hosts), hosts, 20_000), weights, policy);
  }
});

test("least request of idle equals gives each the same, by two draws or by looking at all", () => {
  for (const raw of [{}, { choiceCount: 5 }, { enableFullScan: true }, { selectionMethod: "FULL_SCAN" }]) {
    const hosts = testHosts(4);
    fits(draw(build("LEAST_REQUEST", hosts, raw), hosts, 20_000), [1, 1, 1, 1], JSON.stringify(raw));
  }
});

test("least request of two draws meets the busiest host only when it draws it twice", () => {
  const hosts = testHosts(4);
  for (let i = 0; i < 9; i++) hosts[2]?.counts.enter();
  fits(draw(build("LEAST_REQUEST", hosts), hosts, 32_000), [5, 5, 1, 5]);
  fits(draw(build("LEAST_REQUEST", hosts, { choiceCount: 3 }), hosts, 64_000), [21, 21, 1, 21]);
});

test("what a busy host weighs falls with its requests as the bias says", () => {
  for (const [bias, share] of [
    [1, 1 / 4],
    [2, 1 / 16],
    [0, 1],
    [0.5, 1 / 2],
  ] as const) {
    const hosts = testHosts(2, [2, 1]);
    for (let i = 0; i < 3; i++) hosts[0]?.counts.enter();
    const raw = { activeRequestBias: { defaultValue: bias } };
    fits(draw(build("LEAST_REQUEST", hosts, raw), hosts, 9_000), [2 * share, 1], `bias ${bias}`);
  }
});

test("a new host's share grows over the window, from the least percent on", () => {
  const raw = { slowStartConfig: { slowStartWindow: "60s", minWeightPercent: { value: 20 } } };
  for (const policy of ["ROUND_ROBIN", "LEAST_REQUEST"]) {
    for (const [afterMs, share] of [
      [0, 0.2],
      [6_000, 0.2],
      [30_000, 0.5],
      [59_999, 1],
      [60_001, 1],
    ] as const) {
      const hosts = testHosts(3);
      for (const host of hosts) host.healthySinceMs = -1e9;
      Object.assign(hosts[1] ?? {}, { healthySinceMs: 1_000 });
      const pick = build(policy, hosts, raw, { nowMs: () => 1_000 + afterMs });
      fits(draw(pick, hosts, 15_000), [1, share, 1], `${policy} after ${afterMs}`);
    }
  }
});

test("aggression bends the growth", () => {
  const raw = { slowStartConfig: { slowStartWindow: "100s", aggression: { defaultValue: 2 } } };
  const hosts = testHosts(2);
  Object.assign(hosts[0] ?? {}, { healthySinceMs: -1e9 });
  Object.assign(hosts[1] ?? {}, { healthySinceMs: 0 });
  const pick = build("ROUND_ROBIN", hosts, raw, { nowMs: () => 25_000 });
  fits(draw(pick, hosts, 15_000), [1, 0.5]);
});

test("a ring and a table give hosts their weights, as far as their size allows", () => {
  const weights = [1, 2, 3, 4];
  const hosts = testHosts(4, weights);
  const ring = draw(build("RING_HASH", hosts, { minimumRingSize: "100000" }), hosts, 20_000, true);
  const table = draw(build("MAGLEV", hosts), hosts, 20_000, true);
  for (const counts of [ring, table]) {
    for (const [index, weight] of weights.entries()) {
      const expected = (20_000 * weight) / 10;
      assert.ok(Math.abs((counts[index] ?? 0) - expected) < 0.06 * 20_000, counts.join());
    }
  }
});

test("bounded loads pass a full host over, always to the same other one", () => {
  for (const [policy, raw] of [
    ["RING_HASH", { consistentHashingLbConfig: { hashBalanceFactor: 150 } }],
    ["RING_HASH", { hashBalanceFactor: 150 }],
    ["MAGLEV", { consistentHashingLbConfig: { hashBalanceFactor: 150 } }],
  ] as const) {
    const hosts = testHosts(5);
    let active = 0;
    const pick = build(policy, hosts, raw, { active: () => active });
    const request = { hash: xxHash64("always the same") };
    const first = pick(request);
    assert.ok(first);
    // Of these ten and the next one a host may have half more than its fifth: four.
    for (let i = 0; i < 5; i++) first.counts.enter();
    active = 10;
    const second = pick(request);
    assert.ok(second && second !== first, policy);
    for (let i = 0; i < 10; i++) {
      pick({ hash: xxHash64(`another ${i}`) });
      assert.equal(pick(request), second, "whatever was asked meanwhile");
    }
    active = 20;
    assert.equal(pick(request), first, "its fair part has grown");
  }
});

test("bounded loads give the least loaded of all when every host is full", () => {
  const hosts = testHosts(3);
  for (const [index, host] of hosts.entries()) for (let i = 0; i < 9 - index; i++) host.counts.enter();
  const pick = build("RING_HASH", hosts, { hashBalanceFactor: 100 }, { active: () => 1 });
  for (let i = 0; i < 20; i++) assert.equal(pick({ hash: xxHash64(String(i)) }), hosts[2]);
});

test("asking again goes on to other hosts", () => {
  for (const policy of ["RING_HASH", "MAGLEV"]) {
    const hosts = testHosts(5);
    const pick = build(policy, hosts);
    const hash = xxHash64("again");
    const met = new Set(Array.from({ length: 12 }, (_, attempt) => pick({ hash, attempt })));
    assert.ok(met.size > 2, `${policy} met ${met.size}`);
  }
});
