/** Which hosts a request may go to: the same sets, and shares as close as chance lets them be, in Envoy and here. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { type Pair, type Peer, startPair } from "../same-bootstrap/pair.ts";
import { type } from "../same-bootstrap/parts.ts";
import { askAll, assigned, at, balancingBootstrap, type ManyHosts, startManyHosts } from "./parts.ts";

interface Case {
  readonly cluster: object;
  readonly route?: object;
  /** The share of requests that each host gets, by the last number of its address; 503 as a number of its own. */
  readonly shares: Readonly<Record<number, number>>;
}

const requests = 600;
/** Seven deviations of a count that chance makes: it fails once in many billions of runs. */
const slack = (share: number): number => 7 * Math.sqrt(requests * share * (1 - share)) + 2;

const typed = (name: string, message: string, rest: object): object => ({
  typedExtensionConfig: {
    name: `envoy.load_balancing_policies.${name}`,
    typedConfig: { "@type": type(`extensions.load_balancing_policies.${name}.v3.${message}`), ...rest },
  },
});

const casesFor = (port: number): Readonly<Record<string, Case>> => {
  const healthy = (n: number, rest: object = {}): object => at(n, port, rest);
  const sick = (n: number): object => at(n, port, { healthStatus: "UNHEALTHY" });
  const degraded = (n: number): object => at(n, port, { healthStatus: "DEGRADED" });
  const heavy = (n: number, loadBalancingWeight: number): object => at(n, port, { loadBalancingWeight });
  const group = (...lbEndpoints: readonly object[]): object => ({ lbEndpoints });
  const priority = (level: number, ...lbEndpoints: readonly object[]): object => ({ priority: level, lbEndpoints });
  const zone = (name: string, loadBalancingWeight: number, ...lbEndpoints: readonly object[]): object => ({
    locality: { region: "r", zone: name },
    loadBalancingWeight,
    lbEndpoints,
  });
  const tagged = (n: number, tags: object): object =>
    at(n, port, { metadata: { filterMetadata: { "envoy.lb": tags } } });
  const asks = (tags: object): object => ({ metadataMatch: { filterMetadata: { "envoy.lb": tags } } });
  const subsets = (rest: object, ...selectors: readonly object[]): object => ({
    lbSubsetConfig: { subsetSelectors: selectors, ...rest },
    ...assigned(
      group(
        tagged(1, { stage: "prod", version: "1" }),
        tagged(2, { stage: "prod", version: "2" }),
        tagged(3, { stage: "dev", version: "2", region: ["eu", "us"] }),
        tagged(4, {}),
      ),
    ),
  });
  const noPanic = { commonLbConfig: { healthyPanicThreshold: {} } };
  const weighted = { commonLbConfig: { localityWeightedLbConfig: {} } };
  return {
    "round-robin": {
      cluster: assigned(group(healthy(1), healthy(2), healthy(3))),
      shares: { 1: 1 / 3, 2: 1 / 3, 3: 1 / 3 },
    },
    "round-robin-weights": {
      cluster: assigned(group(heavy(1, 1), heavy(2, 2), heavy(3, 7))),
      shares: { 1: 0.1, 2: 0.2, 3: 0.7 },
    },
    random: {
      cluster: { lbPolicy: "RANDOM", ...assigned(group(heavy(1, 1), heavy(2, 9))) },
      shares: { 1: 0.5, 2: 0.5 },
    },
    "least-request-weights": {
      cluster: { lbPolicy: "LEAST_REQUEST", ...assigned(group(heavy(1, 1), heavy(2, 4))) },
      shares: { 1: 0.2, 2: 0.8 },
    },
    "priority-healthy": {
      cluster: assigned(priority(0, healthy(1), healthy(2)), priority(1, healthy(3))),
      shares: { 1: 0.5, 2: 0.5 },
    },
    "priority-half": {
      cluster: assigned(priority(0, healthy(1), sick(2)), priority(1, healthy(3))),
      shares: { 1: 0.7, 3: 0.3 },
    },
    "priority-none": {
      cluster: assigned(priority(0, sick(1), sick(2)), priority(1, healthy(3))),
      shares: { 3: 1 },
    },
    "priority-factor": {
      cluster: {
        loadAssignment: {
          clusterName: "c",
          policy: { overprovisioningFactor: 100 },
          endpoints: [priority(0, healthy(1), sick(2)), priority(1, healthy(3))],
        },
      },
      shares: { 1: 0.5, 3: 0.5 },
    },
    "degraded-spare": {
      cluster: assigned(group(healthy(1), degraded(2), degraded(3))),
      shares: { 1: 0.46, 2: 0.27, 3: 0.27 },
    },
    panic: { cluster: assigned(group(healthy(1), sick(2), sick(3))), shares: { 1: 1 / 3, 2: 1 / 3, 3: 1 / 3 } },
    "panic-off": {
      cluster: { ...noPanic, ...assigned(group(healthy(1), sick(2), sick(3))) },
      shares: { 1: 1 },
    },
    "panic-off-none": { cluster: { ...noPanic, ...assigned(group(sick(1), sick(2))) }, shares: { 503: 1 } },
    "panic-fails": {
      cluster: {
        commonLbConfig: { zoneAwareLbConfig: { failTrafficOnPanic: true } },
        ...assigned(group(healthy(1), sick(2), sick(3))),
      },
      shares: { 503: 1 },
    },
    "total-panic": {
      cluster: assigned(priority(0, sick(1), sick(2)), priority(1, sick(3))),
      shares: { 1: 1 / 3, 2: 1 / 3, 3: 1 / 3 },
    },
    draining: {
      cluster: { ...noPanic, ...assigned(group(healthy(1), at(2, port, { healthStatus: "DRAINING" }))) },
      shares: { 1: 1 },
    },
    localities: {
      cluster: { ...weighted, ...assigned(zone("a", 1, healthy(1)), zone("b", 3, healthy(2), healthy(3))) },
      shares: { 1: 0.25, 2: 0.375, 3: 0.375 },
    },
    "localities-sick": {
      cluster: {
        commonLbConfig: { localityWeightedLbConfig: {}, healthyPanicThreshold: {} },
        ...assigned(zone("a", 1, healthy(1)), zone("b", 3, healthy(2), sick(3), sick(4), sick(5))),
      },
      shares: { 1: 1 / 2.05, 2: 1.05 / 2.05 },
    },
    "typed-least-request": {
      cluster: {
        loadBalancingPolicy: {
          policies: [
            typed("least_request", "LeastRequest", {
              choiceCount: 3,
              localityLbConfig: { localityWeightedLbConfig: {} },
            }),
          ],
        },
        ...assigned(zone("a", 2, healthy(1)), zone("b", 3, healthy(2))),
      },
      shares: { 1: 0.4, 2: 0.6 },
    },
    "subset-one": {
      cluster: subsets({}, { keys: ["stage"] }),
      route: asks({ stage: "prod" }),
      shares: { 1: 0.5, 2: 0.5 },
    },
    "subset-two-keys": {
      cluster: subsets({}, { keys: ["stage", "version"] }),
      route: asks({ version: "2", stage: "dev" }),
      shares: { 3: 1 },
    },
    "subset-none": { cluster: subsets({}, { keys: ["stage"] }), route: asks({ stage: "x" }), shares: { 503: 1 } },
    "subset-no-criteria": { cluster: subsets({}, { keys: ["stage"] }), shares: { 503: 1 } },
    "subset-any": {
      cluster: subsets({ fallbackPolicy: "ANY_ENDPOINT" }, { keys: ["stage"] }),
      route: asks({ stage: "x" }),
      shares: { 1: 0.25, 2: 0.25, 3: 0.25, 4: 0.25 },
    },
    "subset-default": {
      cluster: subsets({ fallbackPolicy: "DEFAULT_SUBSET", defaultSubset: { version: "2" } }, { keys: ["stage"] }),
      shares: { 2: 0.5, 3: 0.5 },
    },
    "subset-panic": {
      cluster: subsets(
        { fallbackPolicy: "DEFAULT_SUBSET", defaultSubset: { version: "9" }, panicModeAny: true },
        { keys: ["stage"] },
      ),
      shares: { 1: 0.25, 2: 0.25, 3: 0.25, 4: 0.25 },
    },
    "subset-selector-fallback": {
      cluster: subsets({ fallbackPolicy: "ANY_ENDPOINT" }, { keys: ["stage"], fallbackPolicy: "NO_FALLBACK" }),
      route: asks({ stage: "x" }),
      shares: { 503: 1 },
    },
    "subset-keys-fallback": {
      cluster: subsets(
        {},
        { keys: ["stage", "version"], fallbackPolicy: "KEYS_SUBSET", fallbackKeysSubset: ["stage"] },
        { keys: ["stage"] },
      ),
      route: asks({ stage: "prod", version: "9" }),
      shares: { 1: 0.5, 2: 0.5 },
    },
    "subset-list": {
      cluster: subsets({ listAsAny: true }, { keys: ["region"] }),
      route: asks({ region: "us" }),
      shares: { 3: 1 },
    },
    "subset-list-as-is": {
      cluster: subsets({}, { keys: ["region"] }),
      route: asks({ region: "us" }),
      shares: { 503: 1 },
    },
    "subset-single": {
      cluster: subsets({}, { keys: ["version"], singleHostPerSubset: true }),
      route: asks({ version: "1" }),
      shares: { 1: 1 },
    },
    "subset-fallback-list": {
      cluster: subsets({ metadataFallbackPolicy: "FALLBACK_LIST" }, { keys: ["stage"] }),
      route: asks({ fallback_list: [{ stage: "x" }, { stage: "dev" }] }),
      shares: { 3: 1 },
    },
    zones: {
      cluster: assigned(zone("z1", 1, healthy(1), healthy(2)), zone("z2", 1, ...[3, 4, 5, 6].map((n) => healthy(n)))),
      shares: { 1: 1 / 3, 2: 1 / 3, 3: 1 / 12, 4: 1 / 12, 5: 1 / 12, 6: 1 / 12 },
    },
    "zones-direct": {
      cluster: assigned(
        zone("z1", 1, healthy(1), healthy(2), healthy(3)),
        zone("z2", 1, healthy(4), healthy(5), healthy(6)),
      ),
      shares: { 1: 1 / 3, 2: 1 / 3, 3: 1 / 3 },
    },
    "zones-off": {
      cluster: {
        commonLbConfig: { zoneAwareLbConfig: { routingEnabled: { value: 0 } } },
        ...assigned(
          zone("z1", 1, healthy(1), healthy(2), healthy(3)),
          zone("z2", 1, healthy(4), healthy(5), healthy(6)),
        ),
      },
      shares: { 1: 1 / 6, 2: 1 / 6, 3: 1 / 6, 4: 1 / 6, 5: 1 / 6, 6: 1 / 6 },
    },
    local: {
      cluster: assigned(zone("z1", 1, healthy(1)), zone("z2", 1, healthy(2))),
      shares: { 1: 0.5, 2: 0.5 },
    },
    dropped: {
      cluster: {
        loadAssignment: {
          clusterName: "c",
          policy: { dropOverloads: [{ category: "too-much", dropPercentage: { numerator: 40 } }] },
          endpoints: [group(healthy(1))],
        },
      },
      shares: { 1: 0.6, 503: 0.4 },
    },
  };
};

let upstream: ManyHosts;
let pair: Pair;

before(async () => {
  upstream = await startManyHosts();
  const clusters = Object.entries(casesFor(upstream.port)).map(([name, { cluster, route = {} }]) => ({
    name,
    cluster,
    route,
  }));
  pair = await startPair(["main"], (ports) => balancingBootstrap(ports, clusters));
});
after(async () => {
  for (const each of [pair, upstream]) await each?.[Symbol.asyncDispose]();
});

const countsOf = async (proxy: Peer, cluster: string): Promise<ReadonlyMap<string, number>> => {
  const counts = new Map<string, number>();
  for (const answer of await askAll(proxy, cluster, new Array<string>(requests).fill(""), 4)) {
    const host = answer.split(".").at(-1) ?? "";
    counts.set(host, (counts.get(host) ?? 0) + 1);
  }
  return counts;
};

for (const [name, { shares }] of Object.entries(casesFor(1))) {
  test(`both go to the same hosts in the same shares: ${name}`, async () => {
    for (const proxy of [pair.envoy, pair.weft]) {
      const counts = await countsOf(proxy, name);
      const seen = JSON.stringify([...counts]);
      assert.deepEqual([...counts.keys()].sort(), Object.keys(shares).sort(), `${proxy.name} ${seen}`);
      for (const [host, share] of Object.entries(shares)) {
        const off = Math.abs((counts.get(host) ?? 0) - share * requests);
        assert.ok(off <= slack(share), `${proxy.name}: ${host} is off by ${off} in ${seen}`);
      }
    }
  });
}

test("a request that is dropped is told so, with the same flag", async () => {
  for (const proxy of [pair.envoy, pair.weft]) {
    for (;;) {
      const response = await fetch(`http://127.0.0.1:${proxy.port("main")}/dropped/`);
      if (response.status === 200) continue;
      assert.deepEqual(
        [response.status, response.headers.get("x-envoy-drop-overload"), await response.text()],
        [503, "true", "drop overload"],
        proxy.name,
      );
      break;
    }
  }
});
