import assert from "node:assert/strict";
import { test } from "node:test";
import { WeftError } from "@weft/core/error";
import { groupFacts, groupPort, noGroup } from "./workload-group.ts";

test("a group's own labels go before its template's, and the rest is its template's", () => {
  const facts = groupFacts({
    metadata: { labels: { a: "group" } },
    template: {
      ...{ labels: { a: "template", b: "template" }, serviceAccount: "sa", weight: 3, locality: "eu/a" },
      ports: { "grpc-api": 9000 },
    },
  });
  assert.deepEqual(facts, {
    ...{ labels: { a: "group", b: "template" }, serviceAccount: "sa", weight: 3, locality: "eu/a" },
    ...{ probe: undefined, ports: [["grpc-api", 9000]] },
  });
});

test("what is empty in a group is as good as not said", () => {
  const facts = groupFacts({ template: { serviceAccount: "", locality: "", weight: 0 } });
  assert.deepEqual(facts, { ...noGroup, labels: {} });
});

test("a member that gives no port has the group's only one, its protocol by the port's name", () => {
  const portOf = (ports: Readonly<Record<string, number>>) => groupPort({ ports: Object.entries(ports) });
  assert.equal(portOf({}), undefined);
  assert.deepEqual(portOf({ "grpc-api": 9000 }), { port: "9000", protocol: "grpc" });
  assert.deepEqual(portOf({ HTTP2: 9000 }), { port: "9000", protocol: "http2" });
  assert.deepEqual(portOf({ redis: 6379 }), { port: "6379", protocol: undefined });
  assert.throws(
    () => portOf({ http: 80, admin: 81 }),
    (error) => error instanceof WeftError && error.code === "WF9022" && /http 80, admin 81/.test(error.message),
  );
});
