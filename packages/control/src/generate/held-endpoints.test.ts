import assert from "node:assert/strict";
import { test } from "node:test";
import type { EndpointRecord } from "../model/service.ts";
import { type LocalityRules, placeLocalities } from "./localities.ts";

const endpoint = (address: string, over: Partial<EndpointRecord> = {}): EndpointRecord => ({
  ...{ key: address, source: "etcd", service: "shop/web", servicePort: 80, address, port: 80, workloadPort: 80 },
  ...{ namespace: "shop", workload: address, serviceAccount: "", labels: {}, locality: "", weight: 1 },
  ...{ health: "healthy", network: "", cluster: "", meshTls: false, ...over },
});
const client = { locality: "eu/a/1", labels: new Map() } as unknown as Parameters<typeof placeLocalities>[1];
const places = (records: readonly EndpointRecord[], rules?: LocalityRules) =>
  placeLocalities(records, client, rules).map(({ priority, weight, members }) =>
    [priority, weight, ...members.map(({ address }) => address)].join(" "),
  );

test("what is held comes behind everything else, and first where there is nothing else", () => {
  const held = endpoint("gone", { held: "absent" });
  assert.deepEqual(places([held, endpoint("here")]), ["0 1 here", "1 1 gone"]);
  assert.deepEqual(places([held]), ["0 1 gone"]);
});

test("nearness orders each of the two among themselves", () => {
  const rules = { setting: {}, failover: true, byLabels: false, byRegion: false } as LocalityRules;
  const records = [
    endpoint("far", { locality: "us/a/1" }),
    endpoint("near gone", { locality: "eu/a/1", held: "expired" }),
    endpoint("near", { locality: "eu/a/1" }),
    endpoint("far gone", { locality: "us/a/1", held: "absent" }),
  ];
  assert.deepEqual(places(records, rules), ["0 1 near", "1 1 far", "2 1 near gone", "3 1 far gone"]);
});

test("what is held takes nothing of the shares of a distribution", () => {
  const setting = { distribute: [{ from: "eu/*", to: { "eu/*": 60, "us/*": 40 } }] };
  const rules = { setting, failover: false, byLabels: false, byRegion: false } as LocalityRules;
  const records = [
    endpoint("eu", { locality: "eu/a/1" }),
    endpoint("us", { locality: "us/a/1" }),
    endpoint("gone", { locality: "eu/b/1", weight: 9, held: "absent" }),
  ];
  assert.deepEqual(places(records, rules), ["0 60 eu", "0 40 us", "1 60 gone"]);
});
