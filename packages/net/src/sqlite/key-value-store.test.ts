import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { WeftError } from "@weft/core/error";
import { openKeyValueStore } from "./key-value-store.ts";

const folder = () => {
  const path = mkdtempSync(join(tmpdir(), "weft-sqlite-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
};

test("what was written is there when the file is opened again, readable by its owner only", () => {
  using dir = folder();
  const path = join(dir.path, "registry.sqlite");
  {
    using store = openKeyValueStore(path);
    store.write([
      { key: "a", value: "1" },
      { key: "b", value: "2" },
    ]);
    store.write([
      { key: "a", value: "3" },
      { key: "b", value: undefined },
      { key: "c", value: "4" },
    ]);
    store.write([]);
  }
  using store = openKeyValueStore(path);
  assert.deepEqual(
    [...store.load()],
    [
      { key: "a", value: "3" },
      { key: "c", value: "4" },
    ],
  );
  assert.equal(statSync(path).mode & 0o777, 0o600);
});

test("a write that fails leaves nothing of itself", () => {
  using store = openKeyValueStore(":memory:");
  store.write([{ key: "a", value: "1" }]);
  const bad = { key: "b", value: Symbol("no text") as unknown as string };
  assert.throws(() => store.write([{ key: "a", value: "2" }, bad]));
  assert.deepEqual([...store.load()], [{ key: "a", value: "1" }]);
  store.write([{ key: "b", value: "after" }]);
});

test("a process killed in the middle of writing loses nothing it was told is written", async () => {
  using dir = folder();
  const path = join(dir.path, "registry.sqlite");
  const module = new URL("./key-value-store.ts", import.meta.url).href;
  const program = `import { openKeyValueStore } from ${JSON.stringify(module)};
    const store = openKeyValueStore(${JSON.stringify(path)});
    for (let i = 0; ; i++) {
      store.write([{ key: "last", value: String(i) }, { key: "twin", value: String(i) }]);
      process.stdout.write(i + "\\n");
    }`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", program], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  let seen = "";
  for await (const chunk of child.stdout) {
    seen += chunk;
    if (seen.length > 400) break;
  }
  child.kill("SIGKILL");
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  const told = Number(seen.slice(0, seen.lastIndexOf("\n")).split("\n").at(-1));
  using store = openKeyValueStore(path);
  const held = new Map([...store.load()].map(({ key, value }) => [key, Number(value)]));
  assert.ok((held.get("last") ?? -1) >= told, `told ${told}, held ${held.get("last")}`);
  assert.equal(held.get("last"), held.get("twin"));
});

test("a file that is no database is refused with what to do", () => {
  using dir = folder();
  const path = join(dir.path, "registry.sqlite");
  writeFileSync(path, "this is not a database, but long enough to look like one".repeat(50));
  assert.throws(
    () => openKeyValueStore(path),
    (error) => error instanceof WeftError && error.code === "WF2030" && error.next !== undefined,
  );
});

test("a file that another store has is refused, and free once that one is closed", () => {
  using dir = folder();
  const path = join(dir.path, "registry.sqlite");
  const first = openKeyValueStore(path);
  assert.throws(() => openKeyValueStore(path), { code: "WF2031", next: /^stop the other one/ });
  first.write([{ key: "a", value: "1" }]);
  first[Symbol.dispose]();
  using second = openKeyValueStore(path);
  assert.deepEqual([...second.load()], [{ key: "a", value: "1" }]);
});
