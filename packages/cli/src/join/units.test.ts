import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { makePrivateFolder } from "@weft/net/process/private-folder";
import { parseFingerprint } from "./join-mesh.ts";
import { unitOf, unitWord } from "./units.ts";

const root = join(import.meta.dirname, "../../../..");
const controlPlane = {
  description: "weft control plane",
  user: "weft",
  folder: "/var/lib/weft/cp",
  words: [
    ...["/opt/weft/weft", "cp", "--data", "/var/lib/weft/cp", "--config", "/etc/weft/config"],
    ...["--secure-address", "0.0.0.0:15012", "--http-address", "127.0.0.1:8080"],
    ...["--store", "etcd://10.0.0.5:2379,10.0.0.6:2379,10.0.0.7:2379/weft", "--store-key", "/etc/weft/store-key"],
  ],
};

test("the unit of the control plane in the examples is the one that is made here", () => {
  assert.equal(readFileSync(join(root, "examples/systemd/weft-cp.service"), "utf8"), unitOf(controlPlane));
});

test("a word means itself to systemd, whatever is in it", () => {
  assert.equal(unitWord("--name"), "--name");
  assert.equal(unitWord("100%"), "100%%");
  assert.equal(unitWord("a b"), '"a b"');
  assert.equal(unitWord('a"$b\\'), '"a\\"$$b\\\\"');
  assert.equal(unitWord("a;b"), '"a;b"');
});

test("a unit with a line break or without an absolute folder is not made", () => {
  for (const wrong of [{ folder: "data" }, { user: "weft\nExecStart=x" }, { words: ["a\nb"] }, { folder: "/a\r" }])
    assert.throws(() => unitOf({ ...controlPlane, ...wrong }), TypeError);
});

test("systemd finds nothing wrong with a unit, and few services are less exposed", (t) => {
  if (spawnSync("systemd-analyze", ["--version"]).status !== 0) {
    t.skip("systemd-analyze is not installed");
    return;
  }
  using folder = makePrivateFolder("weft-unit-");
  const file = join(folder.path, "weft-web.service");
  const words = [process.execPath, "--version", "with space", "100%", 'quo"te', "$HOME"];
  writeFileSync(file, unitOf({ description: "weft 100% sidecar", user: "root", folder: "/tmp", words }));
  const { status, stderr } = spawnSync("systemd-analyze", ["verify", file], { encoding: "utf8" });
  assert.deepEqual([status, stderr.split("\n").filter((line) => line.includes("weft-web"))], [0, []]);
  const said = execFileSync("systemd-analyze", ["security", "--offline=true", file], { encoding: "utf8" });
  const exposure = Number(/exposure level[^:]*: ([\d.]+)/.exec(said)?.[1]);
  assert.ok(exposure < 4, said.slice(-200));
});

test("a fingerprint is taken as tools write it, and nothing else is", () => {
  const hex = "ab".repeat(32);
  for (const text of [hex, `sha256:${hex}`, hex.toUpperCase(), (hex.match(/../g) ?? []).join(":")])
    assert.equal(parseFingerprint(text), hex);
  for (const text of ["", "sha256:", hex.slice(2), `${hex}00`, `sha1:${hex}`])
    assert.equal(parseFingerprint(text), undefined);
});
