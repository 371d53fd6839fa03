import assert from "node:assert/strict";
import { test } from "node:test";
import type { ClusterLoadAssignmentJson } from "@weft/xds/gen/envoy/config/endpoint/v3/endpoint";
import type { LbEndpointJson } from "@weft/xds/gen/envoy/config/endpoint/v3/endpoint_components";
import fc from "fast-check";
import { encodeResource } from "./codec.ts";
import { createAssignmentEncoder } from "./encode-assignment.ts";

const endpoint = (at: number): LbEndpointJson => ({
  endpoint: { address: { socketAddress: { address: `10.0.${at >> 8}.${at & 255}`, portValue: 8080 } } },
  ...(at % 5 === 0 ? { healthStatus: "UNHEALTHY" } : {}),
  metadata: {
    filterMetadata: { istio: { workload: "w".repeat(at) }, ...(at % 2 ? { a: { tlsMode: "istio" } } : {}) },
  },
  loadBalancingWeight: 1 + at,
});
const encodeAssignment = createAssignmentEncoder();
const all = Array.from({ length: 200 }, (_, at) => endpoint(at));
const some = fc.array(fc.constantFrom(...all), { maxLength: 40 });
const region = fc.constantFrom(undefined, {}, { region: "r" }, { region: "r", zone: "z", subZone: "s" });
const locality = fc.record(
  {
    locality: region,
    lbEndpoints: some,
    loadBalancingWeight: fc.integer({ min: 1, max: 70_000 }),
    priority: fc.integer({ min: 0, max: 3 }),
  },
  { requiredKeys: [] },
);
const defined = (value: object): object =>
  Object.fromEntries(Object.entries(value).filter(([, member]) => member !== undefined));
const assignment = fc
  .record(
    {
      clusterName: fc.constantFrom("", "c", "outbound|80||c.default.svc.cluster.local"),
      endpoints: fc.array(locality.map(defined), { maxLength: 4 }),
      policy: fc.constantFrom({ weightedPriorityHealth: true }),
    },
    { requiredKeys: ["clusterName"] },
  )
  .map((json) => json as ClusterLoadAssignmentJson);

test("an assignment made from the version before has the bytes that encoding it whole gives", () => {
  fc.assert(
    fc.property(fc.array(assignment, { minLength: 1, maxLength: 6 }), (versions) => {
      let before: Parameters<typeof encodeAssignment>[1];
      for (const json of versions) {
        const bytes = encodeAssignment(json, before);
        assert.deepEqual(Buffer.from(bytes), Buffer.from(encodeResource("endpoints", json)));
        before = { json, bytes };
      }
    }),
  );
});

test("an endpoint that comes, goes or changes leaves the bytes of the others as they are", () => {
  const version = (lbEndpoints: readonly LbEndpointJson[]): ClusterLoadAssignmentJson => ({
    clusterName: "c",
    endpoints: [{ locality: {}, lbEndpoints: [...lbEndpoints], loadBalancingWeight: lbEndpoints.length }],
  });
  let json = version(all.slice(0, 100));
  let bytes = encodeAssignment(json);
  const steps = [
    all.slice(0, 101),
    all.slice(1, 101),
    [...all.slice(1, 50), endpoint(50), ...all.slice(51, 101)],
    [...all.slice(1, 50), ...all.slice(51, 101)].reverse(),
    [],
    all.slice(3, 5),
  ];
  for (const step of steps) {
    const next = version(step);
    const made = encodeAssignment(next, { json, bytes });
    assert.deepEqual(Buffer.from(made), Buffer.from(encodeResource("endpoints", next)));
    [json, bytes] = [next, made];
  }
});

test("bytes that are not those of the version before are not relied upon", () => {
  const json: ClusterLoadAssignmentJson = { clusterName: "c", endpoints: [{ lbEndpoints: all.slice(0, 4) }] };
  const bytes = encodeResource("endpoints", json);
  const next = { clusterName: "c", endpoints: [{ lbEndpoints: all.slice(0, 5) }] };
  const whole = Buffer.from(encodeResource("endpoints", next));
  const others = [new Uint8Array(0), Buffer.from("{}"), encodeResource("endpoints", { clusterName: "c" })];
  for (const other of others) assert.deepEqual(Buffer.from(encodeAssignment(next, { json, bytes: other })), whole);
  assert.deepEqual(Buffer.from(encodeAssignment(next, { json, bytes })), whole);
});

test("what does not fit is told as when all of it is encoded", () => {
  const json: ClusterLoadAssignmentJson = { clusterName: "c", endpoints: [{ lbEndpoints: [endpoint(1)] }] };
  const bytes = encodeAssignment(json);
  const unfit: object = { noSuchField: 1 };
  const bad: ClusterLoadAssignmentJson = { clusterName: "c", endpoints: [{ lbEndpoints: [unfit] }] };
  assert.throws(() => encodeAssignment(bad, { json, bytes }), /noSuchField/);
});
