import assert from "node:assert/strict";
import { test } from "node:test";
import type { ClusterJson } from "@weft/xds/gen/envoy/config/cluster/v3/cluster";
import { compileTools } from "../compile/testing/fixtures.ts";
import { compileCluster } from "./compile-cluster.ts";
import { compileLbPolicy } from "./lb-policy.ts";
import { staticCluster } from "./testing/fixtures.ts";

const policyType = "type.googleapis.com/envoy.extensions.load_balancing_policies.";
const policies = (...typedConfigs: readonly object[]): ClusterJson => ({
  loadBalancingPolicy: { policies: typedConfigs.map((typedConfig) => ({ typedExtensionConfig: { typedConfig } })) },
});
const typed = (message: string, rest: object = {}): object => ({ "@type": `${policyType}${message}`, ...rest });

test("the first policy that is known is taken", () => {
  const unknown = { "@type": "type.googleapis.com/example.Fanciest" };
  const policy = compileLbPolicy(policies(unknown, typed("maglev.v3.Maglev"), typed("random.v3.Random")));
  assert.equal(policy.byHash, true);
  assert.throws(() => compileLbPolicy(policies(unknown)), /policies: none of them is supported: example.Fanciest/);
});

test("policies in policies bring their part", () => {
  const inner = (message: string) => policies(typed(message)).loadBalancingPolicy;
  const weighted = compileLbPolicy(
    policies(typed("wrr_locality.v3.WrrLocality", { endpointPickingPolicy: inner("round_robin.v3.RoundRobin") })),
  );
  assert.equal(weighted.localityWeighted, true);
  const subset = compileLbPolicy(
    policies(
      typed("subset.v3.Subset", {
        fallbackPolicy: "ANY_ENDPOINT",
        subsetSelectors: [{ keys: ["v"] }],
        subsetLbPolicy: inner("ring_hash.v3.RingHash"),
      }),
    ),
  );
  assert.deepEqual([subset.byHash, subset.subsets?.fallback], [true, "any"]);
  assert.throws(
    () => compileLbPolicy(policies(typed("wrr_locality.v3.WrrLocality"))),
    /typedConfig.endpointPickingPolicy: is required/,
  );
});

test("a policy that holds itself over and over is refused", () => {
  let list = policies(typed("random.v3.Random")).loadBalancingPolicy;
  for (let i = 0; i < 50; i++) {
    list = policies(typed("wrr_locality.v3.WrrLocality", { endpointPickingPolicy: list })).loadBalancingPolicy;
  }
  assert.throws(() => compileLbPolicy(list ? { loadBalancingPolicy: list } : {}), /are nested too deeply/);
});

test("peak-EWMA comes by its own name and by Envoy's, and is told how long hosts took", () => {
  for (const typeUrl of [
    "type.googleapis.com/weft.load_balancing.v1.PeakEwma",
    `${policyType}peak_ewma.v3alpha.PeakEwma`,
  ]) {
    const struct = { "@type": "type.googleapis.com/xds.type.v3.TypedStruct", typeUrl, value: { decay_time: "5s" } };
    const cluster = compileCluster(
      staticCluster(["10.0.0.1", "10.0.0.2"], policies(struct)),
      undefined,
      compileTools(),
    );
    const [slow, quick] = cluster.hosts();
    cluster.times.requestTook(900, slow);
    cluster.times.requestTook(3, quick);
    assert.equal(slow?.latency?.ms, 900);
    for (let i = 0; i < 20; i++) assert.equal(cluster.pick({ hash: undefined }), quick);
  }
  assert.throws(() => compileLbPolicy({ lbPolicy: "PEAK_EWMA" as "RANDOM" }), /lbPolicy: PEAK_EWMA is not supported/);
});

test("other balancers are told nothing", () => {
  const cluster = compileCluster(staticCluster(["10.0.0.1"]), undefined, compileTools());
  cluster.times.requestTook(5, cluster.hosts()[0]);
  assert.equal(cluster.hosts()[0]?.latency, undefined);
});

test("hashing settings of the cluster hold for its policy, and zones exclude weighted localities", () => {
  const consistent = { consistentHashingLbConfig: { hashBalanceFactor: 99 } };
  assert.throws(
    () => compileLbPolicy({ lbPolicy: "MAGLEV", commonLbConfig: consistent }),
    /hashBalanceFactor: must be at least 100/,
  );
  const both = { localityWeightedLbConfig: {}, zoneAwareLbConfig: {} };
  assert.throws(() => compileLbPolicy({ commonLbConfig: both }), /commonLbConfig.zoneAwareLbConfig: cannot be given/);
});
