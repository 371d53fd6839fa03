import assert from "node:assert/strict";
import { test } from "node:test";
import { ConfigError } from "@weft/core/config-error";
import { seededRandom } from "@weft/core/random";
import type { Host } from "../clusters/host.ts";
import { testHosts } from "../clusters/testing/fixtures.ts";
import { xxHash64 } from "../routing/xxhash64.ts";
import type { BalancerKind, PickHost } from "./balancer.ts";
import { balancers } from "./index.ts";

const build = (kind: BalancerKind, hosts: readonly Host[], raw: Record<string, unknown> = {}, seed = 1): PickHost =>
  kind.configure(raw)(hosts, { random: seededRandom(seed) });

/** How often each host is picked; the hash of the n-th request is that of its number. */
const spread = (pick: PickHost, hosts: readonly Host[], requests: number): number[] => {
  const counts = new Map<Host | undefined, number>();
  for (let i = 0; i < requests; i++) {
    const host = pick({ hash: xxHash64(String(i)) });
    counts.set(host, (counts.get(host) ?? 0) + 1);
  }
  return hosts.map((host) => counts.get(host) ?? 0);
};

const choosing = balancers.filter(({ policy }) => policy !== "CLUSTER_PROVIDED");

for (const kind of balancers) {
  test(`${kind.policy} gives nothing when there are no hosts`, () => {
    const pick = build(kind, []);
    assert.equal(pick({ hash: undefined }), undefined);
    assert.equal(pick({ hash: 7n }), undefined);
  });

  test(`${kind.policy} refuses settings it does not know`, () => {
    assert.throws(() => kind.configure({ noSuchSetting: 1 }), ConfigError);
  });
}

for (const kind of choosing) {
  test(`${kind.policy} gives the only host, with or without a hash`, () => {
    const hosts = testHosts(1);
    const pick = build(kind, hosts);
    assert.equal(pick({ hash: undefined }), hosts[0]);
    assert.equal(pick({ hash: (1n << 64n) - 1n }), hosts[0]);
  });

  test(`${kind.policy} spreads over equal hosts`, () => {
    const hosts = testHosts(5);
    for (const count of spread(build(kind, hosts), hosts, 5000)) assert.ok(count > 600 && count < 1500, String(count));
  });

  test(`${kind.policy} never touches what it balances over`, () => {
    const hosts = testHosts(3, [1, 2, 3]);
    const before = JSON.stringify(hosts);
    spread(build(kind, hosts), hosts, 50);
    assert.equal(JSON.stringify(hosts), before);
  });
}

const byPolicy = (policy: string): BalancerKind => balancers.find((kind) => kind.policy === policy) as BalancerKind;

test("round robin takes turns exactly, weights in proportion", () => {
  const equal = testHosts(4);
  assert.deepEqual(spread(build(byPolicy("ROUND_ROBIN"), equal), equal, 400), [100, 100, 100, 100]);
  const weighted = testHosts(3, [1, 2, 5]);
  const counts = spread(build(byPolicy("ROUND_ROBIN"), weighted), weighted, 800);
  for (const [index, expected] of [100, 200, 500].entries()) {
    assert.ok(Math.abs((counts[index] ?? 0) - expected) <= 2, String(counts));
  }
});

test("weighted round robin spreads a heavy host's turns", () => {
  const hosts = testHosts(2, [1, 3]);
  const pick = build(byPolicy("ROUND_ROBIN"), hosts);
  const turns = Array.from({ length: 40 }, () => hosts.indexOf(pick({ hash: undefined }) as Host)).join("");
  assert.doesNotMatch(turns, /1111|00/);
});

for (const policy of ["LEAST_REQUEST", "RING_HASH", "MAGLEV"]) {
  test(`${policy} respects weights`, () => {
    const hosts = testHosts(3, [1, 1, 4]);
    const counts = spread(build(byPolicy(policy), hosts), hosts, 6000);
    assert.ok((counts[2] ?? 0) > 3400 && (counts[2] ?? 0) < 4600, String(counts));
  });
}

test("least request prefers the idle host", () => {
  const hosts = testHosts(2);
  for (let i = 0; i < 10; i++) (hosts[0] as Host).counts.enter();
  const counts = spread(build(byPolicy("LEAST_REQUEST"), hosts), hosts, 1000);
  assert.ok((counts[1] ?? 0) > 680, String(counts));
  const scan = spread(build(byPolicy("LEAST_REQUEST"), hosts, { selectionMethod: "FULL_SCAN" }), hosts, 100);
  assert.deepEqual(scan, [0, 100]);
});

test("weighted least request holds a loaded host's share back", () => {
  const hosts = testHosts(2, [4, 1]);
  for (let i = 0; i < 7; i++) (hosts[0] as Host).counts.enter();
  const counts = spread(build(byPolicy("LEAST_REQUEST"), hosts), hosts, 3000);
  assert.ok(Math.abs((counts[0] ?? 0) - 1000) < 60, String(counts));
});

for (const policy of ["RING_HASH", "MAGLEV"]) {
  test(`${policy} gives the same host for the same hash, whatever the draw`, () => {
    const hosts = testHosts(7);
    const one = build(byPolicy(policy), hosts, {}, 1);
    const two = build(byPolicy(policy), hosts, {}, 2);
    for (let i = 0; i < 500; i++) {
      const hash = xxHash64(`user-${i}`);
      assert.equal(one({ hash }), two({ hash }));
    }
  });

  test(`${policy} moves little when a host leaves`, () => {
    const hosts = testHosts(10);
    const before = build(byPolicy(policy), hosts);
    const after = build(byPolicy(policy), hosts.slice(1));
    let moved = 0;
    let orphaned = 0;
    for (let i = 0; i < 5000; i++) {
      const hash = xxHash64(`user-${i}`);
      const from = before({ hash });
      if (from === hosts[0]) orphaned++;
      else if (after({ hash }) !== from) moved++;
    }
    assert.ok(orphaned > 300 && orphaned < 800, String(orphaned));
    assert.ok(moved < 400, String(moved));
  });
}

test("settings out of bounds are refused", () => {
  const cases: [string, Record<string, unknown>, RegExp][] = [
    ["LEAST_REQUEST", { choiceCount: 1 }, /choiceCount: must be at least 2/],
    ["LEAST_REQUEST", { slowStartConfig: { aggression: {} } }, /slowStartConfig.slowStartWindow: is required/],
    [
      "ROUND_ROBIN",
      { slowStartConfig: { slowStartWindow: "1s", aggression: { defaultValue: 0 } } },
      /slowStartConfig.aggression: must be greater than 0/,
    ],
    ["PEAK_EWMA", { decayTime: "0s" }, /decayTime: must be greater than 0/],
    ["MAGLEV", { consistentHashingLbConfig: { hashBalanceFactor: 99 } }, /hashBalanceFactor: must be at least 100/],
    ["RING_HASH", { minimumRingSize: "9", maximumRingSize: "8" }, /minimumRingSize: must not exceed/],
    ["RING_HASH", { hashFunction: "CRC32" }, /hashFunction: CRC32 is not supported/],
    ["MAGLEV", { tableSize: "65536" }, /tableSize: must be a prime/],
  ];
  for (const [policy, raw, message] of cases) assert.throws(() => byPolicy(policy).configure(raw), message);
});

/** The population of the paper, round after round, whoever is due. */
const paperTable = (hosts: readonly Host[], size: number): readonly Host[] => {
  const total = hosts.reduce((sum, { weight }) => sum + weight, 0);
  const entries = hosts
    .map((host) => ({ host, share: host.weight / total, target: 0, next: 0 }))
    .sort((a, b) => Buffer.compare(Buffer.from(a.host.address), Buffer.from(b.host.address)));
  const heaviest = Math.max(...entries.map(({ share }) => share));
  const table: Host[] = [];
  const wide = BigInt(size);
  for (let round = 1, filled = 0; filled < size; round++) {
    for (const entry of entries) {
      if (filled >= size || round * entry.share < entry.target) continue;
      entry.target += heaviest;
      const { address } = entry.host;
      const place = (): number =>
        Number((xxHash64(address) + ((xxHash64(address, 1n) % (wide - 1n)) + 1n) * BigInt(entry.next++)) % wide);
      let at = place();
      while (table[at] !== undefined) at = place();
      table[at] = entry.host;
      filled++;
    }
  }
  return table;
};

test("a Maglev table is that of the paper, however different the weights", () => {
  const random = seededRandom(3);
  for (const most of [1, 3, 97, 1e6, 4e9]) {
    const weights = Array.from({ length: 40 }, () => 1 + Math.floor(random() ** 9 * most));
    weights[7] = most;
    const hosts = testHosts(40, weights);
    const pick = build(byPolicy("MAGLEV"), hosts, { tableSize: "1009" });
    const table = Array.from({ length: 1009 }, (_, slot) => pick({ hash: BigInt(slot) }));
    assert.deepEqual(
      table.map((host) => host?.address),
      paperTable(hosts, 1009).map(({ address }) => address),
      String(most),
    );
  }
});
