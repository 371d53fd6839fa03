import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { type MeshContext, meshStateFolder, publishMeshContext, readMeshContext } from "./mesh-context.ts";

let folder = "";
beforeEach(() => {
  folder = join(mkdtempSync(join(tmpdir(), "weft-context-")), "state");
});
afterEach(() => rmSync(join(folder, ".."), { recursive: true, force: true }));

const context = (pid: number): MeshContext => ({
  http: "127.0.0.1:8080",
  secure: "127.0.0.1:15012",
  xds: "127.0.0.1:15010",
  monitoring: "127.0.0.1:15014",
  rootCertFile: "/r",
  adminTokenFile: "/a",
  joinTokenFile: "/j",
  pid,
  startedAt: "2026-01-01T00:00:00Z",
});

test("a published context is read back and gone when disposed, folder and all", () => {
  {
    using _published = publishMeshContext(folder, context(process.pid));
    assert.equal(readMeshContext(folder)?.http, "127.0.0.1:8080");
    assert.equal(statSync(join(folder, "mesh.json")).mode & 0o777, 0o600);
  }
  assert.equal(existsSync(folder), false);
});

test("a context whose process is gone is not believed", () => {
  publishMeshContext(folder, context(2 ** 30));
  assert.equal(readMeshContext(folder), undefined);
});

test("no file and a broken file are both no context", () => {
  assert.equal(readMeshContext(folder), undefined);
  publishMeshContext(folder, context(process.pid));
  writeFileSync(join(folder, "mesh.json"), "{");
  assert.equal(readMeshContext(folder), undefined);
});

test("a folder that is a link, a file, or writable to others is neither written to nor believed", () => {
  const elsewhere = join(folder, "..", "elsewhere");
  publishMeshContext(elsewhere, context(process.pid));
  symlinkSync(elsewhere, folder);
  assert.equal(readMeshContext(folder), undefined);
  assert.equal(publishMeshContext(folder, context(process.pid)), undefined);
  rmSync(folder);
  writeFileSync(folder, "");
  assert.equal(publishMeshContext(folder, context(process.pid)), undefined);
  rmSync(folder);
  mkdirSync(folder);
  chmodSync(folder, 0o777);
  assert.equal(publishMeshContext(folder, context(process.pid)), undefined);
  assert.equal(existsSync(join(folder, "mesh.json")), false);
});

test("a link in the place of the file being written is replaced, not followed", () => {
  const victim = join(folder, "..", "victim");
  writeFileSync(victim, "kept");
  mkdirSync(folder, { mode: 0o700 });
  symlinkSync(victim, join(folder, `mesh.json.${process.pid}`));
  using _published = publishMeshContext(folder, context(process.pid));
  assert.equal(readMeshContext(folder)?.pid, process.pid);
  assert.equal(statSync(victim).size, 4);
});

test("the state folder can be moved by the environment", () => {
  assert.equal(meshStateFolder({ WEFT_STATE_DIR: "/x" }), "/x");
  assert.match(meshStateFolder({}), /weft-\d+$/);
});
