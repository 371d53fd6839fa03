import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { problemOf } from "../outside/instance-problem.ts";
import { type WrittenInstance, writtenByLabel } from "../outside/write-session.ts";
import { type ConsulRules, readConsulEntry } from "./consul-record.ts";
import { consulService } from "./consul-writer.ts";

const rules: ConsulRules = { toNamespace: "default", tags: [], passingOnly: false };
const entry = (service: Record<string, unknown> = {}, more: Record<string, unknown> = {}) => ({
  Node: { Node: "n1", Address: "10.0.0.9" },
  Service: { ID: "web-1", Service: "web", Address: "", Port: 8080, ...service },
  Checks: [],
  ...more,
});
const read = (given: unknown, own: Partial<ConsulRules> = {}, name = "web") => {
  const record = readConsulEntry(name, given, { ...rules, ...own });
  return record.kind === "instance" ? record.instance : record;
};
const check = (Status: string, CheckID = "service:web-1") => ({ Node: "n1", CheckID, Status });
const health = (checks: readonly unknown[], own: Partial<ConsulRules> = {}) => {
  const found = read(entry({}, { Checks: checks }), own);
  return "health" in found ? found.health : found;
};

test("an instance has its node's address where it names none, and is named by service, node and id", () => {
  assert.deepEqual(read(entry()), {
    ...{ key: "web/n1/web-1", namespace: "default", service: "web", id: "web-1", address: "10.0.0.9", port: 8080 },
    ...{ servicePort: undefined, protocol: undefined, labels: {}, serviceAccount: "", locality: "", weight: 1 },
    health: "healthy",
  });
  assert.equal((read(entry({ Address: "10.1.1.1" })) as { address: string }).address, "10.1.1.1");
});

test("names with slashes do not run into each other", () => {
  const keys = [
    readConsulEntry("a/b", entry({ ID: "c" }), rules),
    readConsulEntry("a", { ...entry({ ID: "c" }), Node: { Node: "b/n1", Address: "10.0.0.1" } }, rules),
  ].map((record) => (record.kind === "instance" ? record.key : ""));
  assert.notEqual(keys[0], keys[1]);
});

test("Meta and tags are labels; a protocol and a locality are what they say", () => {
  const meta = { version: "v1", protocol: "grpc", locality: "eu/a/1" };
  const found = read(entry({ Meta: meta, Tags: ["http", "canary", "version=v9", "team=x=y", ""] }));
  assert.ok("labels" in found);
  assert.deepEqual(found.labels, { canary: "true", version: "v1", team: "x=y" });
  assert.equal(found.protocol, "grpc");
  assert.equal(found.locality, "eu/a/1");
  assert.equal((read(entry({ Tags: ["http2"] })) as { protocol: string }).protocol, "http2");
});

test("a locality is that of the service, else of the node, else of the node's Meta", () => {
  const locality = (service: object, node: object) => {
    const given = entry({ ...service }, { Node: { Node: "n1", Address: "10.0.0.9", ...node } });
    return (read(given) as { locality: string }).locality;
  };
  assert.equal(locality({ Locality: { Region: "r", Zone: "z" } }, { Meta: { region: "x" } }), "r/z");
  assert.equal(locality({}, { Locality: { Region: "r" }, Meta: { region: "x" } }), "r");
  assert.equal(locality({}, { Meta: { region: "x", zone: "y" } }), "x/y");
  assert.equal(locality({}, { Meta: { zone: "y" } }), "");
});

test("a check that fails makes unhealthy, one of maintenance alone drains, and a warning has a weight of its own", () => {
  assert.equal(health([check("passing"), check("critical", "serfHealth")]), "unhealthy");
  assert.equal(health([check("critical", "_node_maintenance")]), "draining");
  assert.equal(health([check("critical", "_service_maintenance:web-1"), check("passing")]), "draining");
  assert.equal(health([check("critical", "_service_maintenance:web-1"), check("critical")]), "unhealthy");
  assert.equal(health([check("warning")]), "healthy");
  assert.equal(health([check("warning")], { passingOnly: true }), "unhealthy");
  const weights = { Weights: { Passing: 9, Warning: 2 } };
  assert.equal((read(entry(weights)) as { weight: number }).weight, 9);
  assert.equal((read(entry(weights, { Checks: [check("warning")] })) as { weight: number }).weight, 2);
});

test("a namespace is Consul's, else the one the URL names", () => {
  const namespace = (service: object) =>
    (read(entry({ ...service }), { toNamespace: "shop" }) as { namespace: string }).namespace;
  assert.equal(namespace({ Namespace: "team" }), "team");
  assert.equal(namespace({}), "shop");
});

test("Meta alone makes nobody an instance of another service", () => {
  const named = (service: string, written: string) => {
    const found = read(entry({ Meta: { "weft-namespace": written } }), {}, service);
    return "service" in found ? `${found.namespace}/${found.service}` : found;
  };
  assert.equal(named("cart-shop", "shop"), "shop/cart");
  assert.equal(named("a-long-name", "pay"), "default/a-long-name");
  assert.equal(named("-shop", "shop"), "default/-shop");
  assert.equal(named("cart", ""), "default/cart");
});

test("proxies of Consul's mesh, Consul itself, another tag's instances and a writer's own record are none of ours", () => {
  assert.deepEqual(read(entry({ Kind: "connect-proxy" })), { kind: "other" });
  assert.deepEqual(read(entry(), {}, "consul"), { kind: "other" });
  assert.deepEqual(read(entry({ Tags: ["a"] }), { tags: ["a", "b"] }), { kind: "other" });
  assert.deepEqual(read(entry({ Meta: { "weft-writer": "m" } })), { kind: "other" });
  assert.ok("address" in read(entry({ Tags: ["a", "b"] }), { tags: ["a", "b"] }));
});

test("what is not to be read is said by its key", () => {
  const problem = (given: unknown): string => {
    const found = read(given);
    return "problem" in found ? `${found.key}: ${found.problem}` : "readable";
  };
  assert.match(problem(entry({ Port: 0 })), /^web\/n1\/web-1: it has no port/);
  assert.match(problem(entry({ Port: "80" })), /no port/);
  assert.match(problem(entry({}, { Checks: [check("great")] })), /"service:web-1" is in no known state/);
  for (const given of [null, 3, "x", [], {}, { Node: 1, Service: 2 }]) assert.match(problem(given), /no node or no id/);
});

test("whatever an entry holds, reading it does not throw", () => {
  fc.assert(
    fc.property(fc.object({ maxDepth: 3 }), fc.anything(), (object, any) => {
      readConsulEntry("web", object, rules);
      readConsulEntry("web", { Node: { Node: "n" }, Service: { ID: "i", Port: 1, ...object }, Checks: any }, rules);
    }),
    { numRuns: 300 },
  );
});

const written: WrittenInstance = {
  ...{ key: "shop/cart/c1/80", namespace: "shop", service: "cart", id: "c1", address: "10.0.0.1", port: 80 },
  ...{ servicePort: 8080, protocol: "http", serviceAccount: "cart", locality: "eu/a", weight: 3, health: "healthy" },
  labels: { "app.kubernetes.io/name": "cart", version: "v1", long: "x".repeat(600), [writtenByLabel]: "mesh" },
};

test("what is written reads back as it was", () => {
  for (const namespace of ["shop", "default"]) {
    for (const state of ["healthy", "draining", "unhealthy"] as const) {
      const given = { ...written, namespace, health: state };
      const { Name, Checks, ...service } = consulService(given, "mesh", "default");
      assert.equal(Name, namespace === "shop" ? "cart-shop" : "cart");
      const checks = Checks.map(({ CheckID, Status }) => ({ CheckID, Status }));
      const found = read({ Node: { Node: "n1", Address: "10.9.9.9" }, Service: service, Checks: checks }, {}, Name);
      assert.ok("address" in found);
      assert.deepEqual({ ...found, key: written.key, id: written.id }, given);
      assert.equal(problemOf(found), undefined);
    }
  }
});

test("no two instances are one for Consul, however their names are parted", () => {
  const idOf = (service: string, id: string): string =>
    consulService({ ...written, service, id, key: `shop/${service}/${id}/80` }, "mesh", "default").ID;
  assert.notEqual(idOf("web", "canary-1"), idOf("web-canary", "1"));
});
