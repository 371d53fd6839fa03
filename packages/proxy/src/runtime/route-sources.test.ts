import assert from "node:assert/strict";
import { test } from "node:test";
import { ConfigError } from "@weft/core/config-error";
import { RouteSources } from "./route-sources.ts";

const tools = { clock: { nowMs: () => 0, wallMs: () => 0 }, random: () => 0.5 };
const table = (status: number) => ({
  name: "r",
  virtualHosts: [{ name: "all", domains: ["*"], routes: [{ match: { prefix: "/" }, directResponse: { status } }] }],
});

test("a table that was judged is not compiled again when it is put in force", () => {
  const sources = new RouteSources();
  const json = table(200);
  sources.prepare("r", json, tools);
  assert.equal(sources.of("r").table, undefined);
  let reads = 0;
  Object.defineProperty(json, "virtualHosts", { get: () => void reads++ });
  sources.prepare("r", json, tools)();
  assert.equal(reads, 0);
  assert.notEqual(sources.of("r").table, undefined);
});

test("another table of the same name takes the place of the former one, where it is looked at already", () => {
  const sources = new RouteSources();
  const source = sources.of("r");
  sources.prepare("r", table(200), tools)();
  const first = source.table;
  sources.prepare("r", table(201), tools)();
  assert.notEqual(source.table, first);
  sources.prepare("r", undefined, tools)();
  assert.equal(source.table, undefined);
});

test("a table that is refused is refused each time, and leaves the former one in force", () => {
  const sources = new RouteSources();
  sources.prepare("r", table(200), tools)();
  const before = sources.of("r").table;
  const bad = { ...table(200), internalOnlyHeaders: ["x"] };
  for (let i = 0; i < 2; i++) assert.throws(() => sources.prepare("r", bad, tools), ConfigError);
  assert.equal(sources.of("r").table, before);
});

test("a table compiled ahead a route at a time is put in force without being compiled again", () => {
  const sources = new RouteSources();
  const json = table(200);
  const steps = [...sources.ahead(json, tools)];
  assert.equal(steps.length, 1);
  assert.equal(sources.of("r").table, undefined);
  let reads = 0;
  Object.defineProperty(json, "virtualHosts", { get: () => void reads++ });
  assert.deepEqual([...sources.ahead(json, tools)], []);
  sources.prepare("r", json, tools)();
  assert.equal(reads, 0);
  assert.notEqual(sources.of("r").table, undefined);
});

test("what is wrong with a table compiled ahead is said when it is asked for", () => {
  const sources = new RouteSources();
  const bad = table(99);
  assert.deepEqual([...sources.ahead(bad, tools)], []);
  assert.throws(() => sources.prepare("r", bad, tools), ConfigError);
});
