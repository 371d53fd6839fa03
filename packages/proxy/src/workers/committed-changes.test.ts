import assert from "node:assert/strict";
import { test } from "node:test";
import type { ResourceChange } from "../runtime/data-plane.ts";
import { CommittedChanges } from "./committed-changes.ts";

const table = (hosts: readonly string[]): ResourceChange => ({
  kind: "route",
  name: "t",
  json: { name: "t", virtualHosts: hosts.map((name) => ({ name })) },
});
const host = (name: string, replaces: string | undefined, json: { name: string } | undefined): ResourceChange => ({
  kind: "virtualHost",
  ...{ name, table: "t", replaces, json },
});
const told = (committed: CommittedChanges) =>
  committed.changes().map((one) => (one.kind === "virtualHost" ? [one.name, one.replaces, one.json?.name] : one.name));

test("a removed resource is not told to a worker that comes later", () => {
  const committed = new CommittedChanges();
  committed.take({ kind: "cluster", name: "c", json: { name: "c" } });
  assert.equal(committed.has({ kind: "cluster", name: "c" }), true);
  committed.take({ kind: "cluster", name: "c", json: undefined });
  assert.deepEqual([committed.has({ kind: "cluster", name: "c" }), committed.changes()], [false, []]);
});

test("a host that came after its table follows it; one that changed is told once, as it is now", () => {
  const committed = new CommittedChanges();
  committed.take(table([]));
  committed.take(host("t/a", undefined, { name: "a" }));
  committed.take(host("t/a", "a", { name: "now" }));
  assert.deepEqual(told(committed), ["t", ["t/a", undefined, "now"]]);
  committed.take(host("t/a", "now", undefined));
  assert.deepEqual(told(committed), ["t"]);
});

test("a host that stands in the table is replaced by what it became, and removed when it is gone", () => {
  const committed = new CommittedChanges();
  committed.take(table(["a"]));
  committed.take(host("t/a", "a", { name: "b" }));
  committed.take(host("t/a", "b", { name: "c" }));
  assert.deepEqual(told(committed), ["t", ["t/a", "a", "c"]]);
  committed.take(host("t/a", "c", undefined));
  assert.deepEqual(told(committed), ["t", ["t/a", "a", undefined]]);
});

test("a table that comes anew has them all, and takes them along when it goes", () => {
  const committed = new CommittedChanges();
  committed.take(table([]));
  committed.take(host("t/a", undefined, { name: "a" }));
  committed.take(table(["a"]));
  assert.deepEqual(told(committed), ["t"]);
  committed.take(host("t/b", undefined, { name: "b" }));
  committed.take({ kind: "route", name: "t", json: undefined });
  assert.deepEqual(told(committed), []);
});
