import assert from "node:assert/strict";
import { test } from "node:test";
import { createGraph } from "@weft/core/collection";
import { silentLogger } from "@weft/core/world";
import { type ConfigItem, sameConfigItem } from "../model/config-item.ts";
import { createConfigStore, type StoredChange } from "./config-store.ts";

const rule = (name: string, host: string, extra = ""): string => `apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: ${name} }
spec: { host: ${host} }
${extra}`;

const open = (stored = new Map<string, StoredChange>()) => {
  const graph = createGraph();
  const source = graph.source<ConfigItem>("config", { equal: sameConfigItem });
  const warnings: string[] = [];
  const store = createConfigStore({
    source,
    commit: () => void graph.commit(),
    log: { ...silentLogger, warn: (message) => warnings.push(message) },
    persistence: {
      load: () => [...stored.values()],
      save: (change) => void stored.set(change.key, change),
      remove: (key) => void stored.delete(key),
    },
  });
  const hosts = () => [...source.values()].map(({ object }) => (object.spec as { host: string }).host).sort();
  return { store, stored, hosts, warnings };
};
const options = { file: "x.yaml", dryRun: false };
const results = (answer: { items: readonly { result: string }[] }) => answer.items.map(({ result }) => result);

test("files give objects; a file that is gone takes them along", () => {
  const { store, hosts } = open();
  store.setFiles([
    { path: "a.yaml", text: `${rule("a", "a")}---\n${rule("b", "b")}` },
    { path: "c.yaml", text: rule("c", "c") },
  ]);
  assert.deepEqual(hosts(), ["a", "b", "c"]);
  store.setFiles([{ path: "c.yaml", text: rule("c", "c2") }]);
  assert.deepEqual(hosts(), ["c2"]);
});

test("an object that became wrong stays at its last good form, the others of the file move on", () => {
  const { store, hosts, warnings } = open();
  store.setFiles([{ path: "a.yaml", text: `${rule("a", "a")}---\n${rule("b", "b")}` }]);
  store.setFiles([{ path: "a.yaml", text: `${rule("a", "a", "spek: 1\n")}---\n${rule("b", "b2")}` }]);
  assert.deepEqual(hosts(), ["a", "b2"]);
  assert.equal(store.findings().filter(({ level }) => level === "error").length, 1);
  assert.equal(warnings.length, 1);
});

test("a file that is no YAML any more keeps all its objects until it is mended", () => {
  const { store, hosts } = open();
  store.setFiles([{ path: "a.yaml", text: rule("a", "a") }]);
  store.setFiles([{ path: "a.yaml", text: "kind: [unclosed" }]);
  assert.deepEqual(hosts(), ["a"]);
  store.setFiles([{ path: "a.yaml", text: rule("a", "a3") }]);
  assert.deepEqual(hosts(), ["a3"]);
  assert.deepEqual(store.findings(), []);
});

test("apply creates, configures or leaves unchanged, and says which", () => {
  const { store, hosts } = open();
  assert.deepEqual(results(store.apply(rule("a", "a"), options)), ["created"]);
  assert.deepEqual(results(store.apply(rule("a", "a"), options)), ["unchanged"]);
  assert.deepEqual(results(store.apply(rule("a", "a2"), options)), ["configured"]);
  assert.deepEqual(hosts(), ["a2"]);
});

test("one wrong object in a text and none of it is taken", () => {
  const { store, hosts } = open();
  const answer = store.apply(`${rule("a", "a")}---\n${rule("b", "b", "spek: 1\n")}`, options);
  assert.deepEqual([answer.items, answer.findings.length > 0, hosts()], [[], true, []]);
});

test("a dry run says the same and does nothing", () => {
  const { store, hosts, stored } = open();
  assert.deepEqual(results(store.apply(rule("a", "a"), { ...options, dryRun: true })), ["created"]);
  assert.deepEqual([hosts(), stored.size], [[], 0]);
  store.apply(rule("a", "a"), options);
  assert.deepEqual(results(store.delete(rule("a", "a"), { ...options, dryRun: true })), ["deleted"]);
  assert.deepEqual(hosts(), ["a"]);
});

test("changes over the API survive a restart, deletions of a file's object too", () => {
  const first = open();
  const files = [{ path: "f.yaml", text: `${rule("f", "f")}---\n${rule("g", "g")}` }];
  first.store.setFiles(files);
  first.store.apply(`${rule("a", "a")}---\n${rule("f", "f2")}`, options);
  assert.equal(first.store.deleteOne("DestinationRule/default/g", false), "deleted");
  assert.deepEqual(first.hosts(), ["a", "f2"]);
  const second = open(first.stored);
  second.store.setFiles(files);
  assert.deepEqual(second.hosts(), ["a", "f2"]);
});

test("a newer text in the folder wins over an older change", () => {
  const { store, hosts, stored } = open();
  store.setFiles([{ path: "f.yaml", text: rule("f", "f") }]);
  store.apply(rule("f", "api"), options);
  store.setFiles([{ path: "f.yaml", text: `# only a remark\n${rule("f", "f")}` }]);
  assert.deepEqual(hosts(), ["api"]);
  store.setFiles([{ path: "f.yaml", text: rule("f", "newer") }]);
  assert.deepEqual([hosts(), stored.size], [["newer"], 0]);
});

test("applying what the folder says takes the change back", () => {
  const { store, hosts, stored } = open();
  store.setFiles([{ path: "f.yaml", text: rule("f", "f") }]);
  store.apply(rule("f", "api"), options);
  assert.deepEqual(results(store.apply(rule("f", "f"), options)), ["configured"]);
  assert.deepEqual([hosts(), stored.size], [["f"], 0]);
  store.delete(rule("f", "f"), options);
  assert.deepEqual(results(store.apply(rule("f", "f"), options)), ["created"]);
  assert.equal(stored.size, 0);
});

test("what is not there is absent, deleted once", () => {
  const { store } = open();
  assert.equal(store.deleteOne("DestinationRule/default/none", false), "absent");
  store.apply(rule("a", "a"), options);
  assert.deepEqual(results(store.delete(rule("a", "a"), options)), ["deleted"]);
  assert.deepEqual(results(store.delete(rule("a", "a"), options)), ["absent"]);
});
