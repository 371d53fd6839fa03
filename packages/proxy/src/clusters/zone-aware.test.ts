import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom } from "@weft/core/random";
import type { Random } from "@weft/core/world";
import { createClusterCounters } from "./counters.ts";
import type { Host } from "./host.ts";
import { sortHosts } from "./priority-sets.ts";
import { testHosts } from "./testing/fixtures.ts";
import { type ZoneAwareSettings, zoneRouting } from "./zone-aware.ts";

const own = { region: "r", zone: "z1", subZone: "" };
const settings: ZoneAwareSettings = { minClusterSize: 6, enabled: 100, failOnPanic: false, forceLocal: false };

/** Hosts by zone: `{ z1: 2 }`, unhealthy ones by a name that ends in `!`. */
const hostsIn = (zones: Readonly<Record<string, number>>): Host[] =>
  Object.entries(zones).flatMap(([name, count]) =>
    testHosts(count).map((host) => {
      host.locality = { region: "r", zone: name.replace("!", ""), subZone: "" };
      if (name.endsWith("!")) host.health = "unhealthy";
      return host;
    }),
  );
const sorted = (zones: Readonly<Record<string, number>>) =>
  sortHosts(hostsIn(zones), { localityWeights: new Map(), local: own, weighted: false })[0];

type Zones = Readonly<Record<string, number>>;

const open = (
  upstream: Zones,
  locals: Zones,
  rest: Partial<ZoneAwareSettings> = {},
  random: Random = seededRandom(4),
) => {
  const counters = createClusterCounters();
  const set = sorted(upstream);
  assert.ok(set);
  const tools = { random, counters, panicThreshold: 50 };
  const choose = zoneRouting(set, sorted(locals), { ...settings, ...rest }, tools);
  const shares = (requests = 20_000): ReadonlyMap<string, number> => {
    const counts = new Map<string, number>();
    for (let i = 0; i < requests; i++) {
      const zone = choose?.() ?? "unrouted";
      const name = typeof zone === "number" ? (set.localities[zone]?.locality.zone ?? "") : zone;
      counts.set(name, (counts.get(name) ?? 0) + 1 / requests);
    }
    return counts;
  };
  return { counters, shares };
};

const near = (shares: ReadonlyMap<string, number>, expected: Readonly<Record<string, number>>): void => {
  assert.deepEqual([...shares.keys()].sort(), Object.keys(expected).sort());
  for (const [zone, share] of Object.entries(expected)) {
    assert.ok(Math.abs((shares.get(zone) ?? 0) - share) < 0.02, `${zone} ${shares.get(zone)}`);
  }
};

test("all stays in the zone that has as large a part of the hosts as of the proxies", () => {
  const { shares, counters } = open({ z1: 3, z2: 3 }, { z1: 2, z2: 2 });
  near(shares(), { z1: 1 });
  assert.equal(counters.lbZoneRoutingAllDirectly, 20_000);
});

test("what the zone cannot take goes to zones with room, in proportion to it", () => {
  const { shares } = open({ z1: 2, z2: 5, z3: 3 }, { z1: 2, z2: 2, z3: 1 });
  // A half can stay; the second zone has 10 percent of room, the third 10.
  near(shares(), { z1: 0.5, z2: 0.25, z3: 0.25 });
});

test("a zone without hosts sends everything to those with room", () => {
  const { shares } = open({ z2: 3, z3: 3 }, { z1: 2, z2: 1, z3: 1 });
  near(shares(), { z2: 0.5, z3: 0.5 });
});

test("only so many percent of the requests are routed by zone", () => {
  near(open({ z1: 3, z2: 3 }, { z1: 1, z2: 1 }, { enabled: 30 }).shares(), { z1: 0.3, all: 0.7 });
});

test("small clusters, one zone, or proxies unknown here are not routed by zone", () => {
  const small = open({ z1: 2, z2: 2 }, { z1: 1, z2: 1 });
  near(small.shares(10), { unrouted: 1 });
  assert.equal(small.counters.lbZoneClusterTooSmall, 1);
  near(open({ z1: 2, z2: 2 }, { z1: 1, z2: 1 }, { minClusterSize: 4 }).shares(10), { z1: 1 });
  near(open({ z1: 8 }, { z1: 1, z2: 1 }).shares(10), { unrouted: 1 });
  near(open({ z1: 4, z2: 4 }, { z1: 4 }).shares(10), { unrouted: 1 });
  const strange = open({ z1: 4, z2: 4 }, { z2: 2, z3: 2 });
  near(strange.shares(10), { unrouted: 1 });
  assert.equal(strange.counters.lbLocalClusterNotOk, 1);
});

test("the own zone is forced where that is asked, whatever its part", () => {
  near(open({ z1: 1, z2: 9 }, { z1: 5 }, { forceLocal: true }).shares(100), { z1: 1 });
});

test("when the proxies' own cluster is in panic nothing is known of zones", () => {
  const locals = { z1: 1, "z1!": 3, z2: 1, "z2!": 3 };
  near(open({ z1: 3, z2: 3 }, locals).shares(100), { all: 1 });
  near(open({ z1: 3, z2: 3 }, locals, { failOnPanic: true }).shares(100), { none: 1 });
});

test("a zone without room is given none, also not by the least draw", () => {
  const draws = [0.999, 0];
  let turn = 0;
  const random = (): number => draws[turn++ % draws.length] as number;
  near(open({ z1: 2, z2: 2, z3: 6 }, { z1: 3, z2: 3, z3: 2 }, {}, random).shares(10), { z3: 1 });
});
