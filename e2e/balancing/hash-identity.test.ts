/** Consistent hashing gives a key the same host in our sidecar and in Envoy, for every kind of set of endpoints. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { type Pair, startPair } from "../same-bootstrap/pair.ts";
import { type } from "../same-bootstrap/parts.ts";
import { askAll, assigned, at, balancingBootstrap, keysOf, type ManyHosts, startManyHosts } from "./parts.ts";

const keys = keysOf(1_000);
const ring = { lbPolicy: "RING_HASH" };
const maglev = { lbPolicy: "MAGLEV" };
const typed = (name: string, message: string, rest: object): object => ({
  loadBalancingPolicy: {
    policies: [
      {
        typedExtensionConfig: {
          name: `envoy.load_balancing_policies.${name}`,
          typedConfig: { "@type": type(`extensions.load_balancing_policies.${name}.v3.${message}`), ...rest },
        },
      },
    ],
  },
});

const setsFor = (port: number): Readonly<Record<string, object>> => {
  const hosts = (...numbers: readonly number[]): object => ({ lbEndpoints: numbers.map((n) => at(n, port)) });
  const weighted = (...weights: readonly number[]): object => ({
    lbEndpoints: weights.map((weight, index) => at(index + 1, port, { loadBalancingWeight: weight })),
  });
  const zone = (name: string, weight: number, numbers: readonly number[]): object => ({
    locality: { region: "r", zone: name },
    ...(weight === 0 ? {} : { loadBalancingWeight: weight }),
    ...hosts(...numbers),
  });
  const named = (n: number, hashKey: string): object =>
    at(n, port, { metadata: { filterMetadata: { "envoy.lb": { hash_key: hashKey } } } });
  const hostnames = { lbEndpoints: [1, 2, 3, 4].map((n) => at(n, port, {}, { hostname: `pod-${n}.example` })) };
  const byHostname = {
    type: "STRICT_DNS",
    commonLbConfig: { consistentHashingLbConfig: { useHostnameForHashing: true } },
  };
  const byLocality = { commonLbConfig: { localityWeightedLbConfig: {} } };
  const sick = (n: number): object => at(n, port, { healthStatus: "UNHEALTHY" });
  const zones = [zone("z2", 3, [1, 2]), zone("z1", 1, [3, 4, 5]), zone("z3", 0, [6])];
  return {
    "ring-5": { ...ring, ...assigned(hosts(1, 2, 3, 4, 5)) },
    "ring-unordered": { ...ring, ...assigned(hosts(9, 2, 7, 4, 11, 30, 21)) },
    "ring-1": { ...ring, ...assigned(hosts(1)) },
    "ring-weights": { ...ring, ...assigned(weighted(1, 5, 2, 9)) },
    "ring-small": {
      ...ring,
      ringHashLbConfig: { minimumRingSize: 10, maximumRingSize: 11 },
      ...assigned(hosts(1, 2, 3)),
    },
    "ring-fractions": {
      ...ring,
      ringHashLbConfig: { minimumRingSize: 1, maximumRingSize: 37 },
      ...assigned(weighted(3, 1, 7, 7, 2)),
    },
    "ring-murmur": { ...ring, ringHashLbConfig: { hashFunction: "MURMUR_HASH_2" }, ...assigned(hosts(1, 2, 3, 4, 5)) },
    "ring-names": { ...ring, ...byHostname, ...assigned(hostnames) },
    "ring-keys": { ...ring, ...assigned({ lbEndpoints: [named(1, "b"), named(2, "a"), named(3, "")] }) },
    "ring-zones": { ...ring, ...byLocality, ...assigned(...zones) },
    "ring-sick": { ...ring, ...assigned({ lbEndpoints: [at(1, port), sick(2), at(3, port), at(4, port)] }) },
    "ring-panic": { ...ring, ...assigned({ lbEndpoints: [at(1, port), sick(2), sick(3), sick(4)] }) },
    "ring-priorities": {
      ...ring,
      ...assigned({ lbEndpoints: [at(1, port), sick(2), at(3, port), sick(4)] }, { priority: 1, ...hosts(5, 6, 7) }),
    },
    "ring-typed": {
      ...typed("ring_hash", "RingHash", { minimumRingSize: 128, localityWeightedLbConfig: {} }),
      ...assigned(zone("z2", 3, [1, 2]), zone("z1", 2, [3, 4])),
    },
    "maglev-5": { ...maglev, ...assigned(hosts(1, 2, 3, 4, 5)) },
    "maglev-unordered": { ...maglev, ...assigned(hosts(9, 2, 7, 4, 11, 30, 21)) },
    "maglev-weights": { ...maglev, maglevLbConfig: { tableSize: 251 }, ...assigned(weighted(1, 5, 2, 9)) },
    "maglev-names": { ...maglev, ...byHostname, ...assigned(hostnames) },
    "maglev-keys": { ...maglev, ...assigned({ lbEndpoints: [named(1, "b"), named(2, "a"), named(3, "")] }) },
    "maglev-zones": { ...maglev, maglevLbConfig: { tableSize: 1021 }, ...byLocality, ...assigned(...zones) },
    "maglev-sick": { ...maglev, ...assigned({ lbEndpoints: [at(1, port), sick(2), at(3, port), at(4, port)] }) },
    "maglev-typed": {
      ...typed("maglev", "Maglev", { tableSize: 509, consistentHashingLbConfig: { useHostnameForHashing: true } }),
      type: "STRICT_DNS",
      ...assigned(hostnames),
    },
  };
};

let upstream: ManyHosts;
let pair: Pair;
const names = Object.keys(setsFor(1));

before(async () => {
  upstream = await startManyHosts();
  const sets = Object.entries(setsFor(upstream.port)).map(([name, cluster]) => ({ name, cluster }));
  pair = await startPair(["main"], (ports) => balancingBootstrap(ports, sets));
});
after(async () => {
  for (const each of [pair, upstream]) await each?.[Symbol.asyncDispose]();
});

for (const name of names) {
  test(`a thousand keys go to the same hosts: ${name}`, async () => {
    const [theirs, ours] = await Promise.all([askAll(pair.envoy, name, keys), askAll(pair.weft, name, keys)]);
    assert.deepEqual(ours, theirs);
    if (name !== "ring-1") assert.ok(new Set(theirs).size > 1, "one host would prove nothing");
  });
}
