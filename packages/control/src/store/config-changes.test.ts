import assert from "node:assert/strict";
import { test } from "node:test";
import { createGraph } from "@weft/core/collection";
import { silentLogger } from "@weft/core/world";
import { type ConfigItem, sameConfigItem } from "../model/config-item.ts";
import { createConfigStore, type StoredChange } from "./config-store.ts";

const rule = (name: string, host: string): string => `apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: ${name} }
spec: { host: ${host} }
`;
const documents = (...texts: readonly string[]): string => texts.join("---\n");
const key = (name: string): string => `DestinationRule/default/${name}`;
const options = { file: "rules/x.yaml", dryRun: false };

/** A disk that refuses writes, removals or both of the keys given. */
const open = (stored = new Map<string, StoredChange>()) => {
  const graph = createGraph();
  const source = graph.source<ConfigItem>("config", { equal: sameConfigItem });
  const failing = { save: new Set<string>(), remove: new Set<string>() };
  const errors: string[] = [];
  let commits = 0;
  const store = createConfigStore({
    source,
    commit: () => {
      commits++;
      graph.commit();
    },
    log: { ...silentLogger, error: (_, fields) => errors.push(String(fields?.code)) },
    persistence: {
      load: () => [...stored.values()],
      save: (change) => {
        if (failing.save.has(change.key)) throw new Error("ENOSPC: no space left on device");
        stored.set(change.key, change);
      },
      remove: (removed) => {
        if (failing.remove.has(removed)) throw new Error("EROFS: read-only file system");
        stored.delete(removed);
      },
    },
  });
  const hosts = () => [...source.values()].map(({ object }) => (object.spec as { host: string }).host).sort();
  return { store, stored, failing, errors, hosts, commits: () => commits };
};
const cannotStore = { code: "WF8507" };

test("an apply that cannot be stored changes nothing, in memory, on disk or for proxies", () => {
  const { store, stored, failing, hosts, commits } = open();
  store.setFiles([]);
  store.apply(documents(rule("a", "a1"), rule("b", "b1")), options);
  const [before, onDisk] = [commits(), new Map(stored)];
  failing.save.add(key("c"));
  const body = documents(rule("a", "a2"), rule("new", "n"), rule("c", "c"), rule("d", "d"));
  assert.throws(() => store.apply(body, options), cannotStore);
  assert.deepEqual(hosts(), ["a1", "b1"]);
  assert.equal(commits(), before);
  assert.deepEqual(stored, onDisk);
  assert.equal(store.get(key("new")), undefined);
  failing.save.clear();
  assert.deepEqual(
    store.apply(body, options).items.map(({ result }) => result),
    ["configured", "created", "created", "created"],
  );
  assert.deepEqual(hosts(), ["a2", "b1", "c", "d", "n"]);
});

test("a delete that cannot be stored changes nothing either", () => {
  const { store, failing, hosts } = open();
  store.setFiles([{ path: "f.yaml", text: documents(rule("f", "f"), rule("g", "g")) }]);
  failing.save.add(key("g"));
  assert.throws(() => store.delete(documents(rule("f", "f"), rule("g", "g")), options), cannotStore);
  assert.throws(() => store.deleteOne(key("g"), false), cannotStore);
  assert.deepEqual(hosts(), ["f", "g"]);
  assert.deepEqual(store.findings(), []);
});

test("where putting back fails too it is said, and what is in force is still as it was", () => {
  const { store, failing, errors, hosts } = open();
  store.setFiles([]);
  failing.save.add(key("b"));
  failing.remove.add(key("a"));
  assert.throws(() => store.apply(documents(rule("a", "a"), rule("b", "b")), options), cannotStore);
  assert.deepEqual([hosts(), errors], [[], ["WF8508"]]);
});

test("a disk that fails while the folder overtakes changes does not stop the folder", () => {
  const { store, failing, errors, hosts } = open();
  store.setFiles([{ path: "f.yaml", text: rule("f", "old") }]);
  store.apply(rule("f", "api"), options);
  failing.remove.add(key("f"));
  store.setFiles([{ path: "f.yaml", text: rule("f", "newer") }]);
  assert.deepEqual([hosts(), errors], [["newer"], ["WF8508"]]);
});

test("where an object was applied from is kept over a restart", () => {
  const first = open();
  first.store.setFiles([]);
  first.store.apply(documents(rule("a", "a"), rule("b", "b")), options);
  const before = first.store.get(key("b"))?.source;
  assert.deepEqual([before?.file, before?.line], ["rules/x.yaml", 6]);
  const second = open(new Map(JSON.parse(JSON.stringify([...first.stored]))));
  second.store.setFiles([]);
  assert.deepEqual(second.store.get(key("b"))?.source, before);
  assert.deepEqual(second.store.get(key("b"))?.positionOf(["spec"]), before);
});

test("what was stored without its source is named by its key", () => {
  const { store } = open(
    new Map([[key("a"), { key: key("a"), text: JSON.stringify(documentOf("a")), over: "", order: 1_000_000_000 }]]),
  );
  store.setFiles([]);
  assert.equal(store.get(key("a"))?.source.file, `api:${key("a")}`);
});
const documentOf = (name: string): object => ({
  ...{ apiVersion: "networking.istio.io/v1", kind: "DestinationRule", metadata: { name }, spec: { host: name } },
});

test("deleting what a file has is said with the place, and stays said until the text changes", () => {
  const { store, hosts } = open();
  store.setFiles([{ path: "f.yaml", text: rule("f", "f") }]);
  store.apply(rule("mine", "mine"), options);
  const { items, findings } = store.delete(documents(rule("f", "f"), rule("mine", "mine")), options);
  assert.deepEqual(
    items.map(({ result }) => result),
    ["deleted", "deleted"],
  );
  assert.deepEqual(
    findings.map(({ code, level, file, name }) => [code, level, file, name]),
    [["WF8010", "warning", "f.yaml", "f"]],
  );
  assert.deepEqual(hosts(), []);
  assert.deepEqual(
    store.findings().map(({ code }) => code),
    ["WF8010"],
  );
  store.setFiles([{ path: "f.yaml", text: rule("f", "f2") }]);
  assert.deepEqual([hosts(), store.findings()], [["f2"], []]);
});
