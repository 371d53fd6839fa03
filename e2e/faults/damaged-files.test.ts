/** Files of the data folder are damaged while the control plane and its registry are away: it starts with what is whole, or says what is not. */
import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { readIfThere } from "@weft/net/files/files";
import { startControlPlane } from "@weft/testkit/control-plane";
import { eventually } from "@weft/testkit/eventually";
import { startEtcd } from "../registries/real-etcd.ts";
import { portsBecome, portsOf } from "../registries/sources.ts";

const root = mkdtempSync(join(tmpdir(), "weft-test-damage-"));
const whole = join(root, "whole");
let args: readonly string[] = [];

before(async () => {
  await using etcd = await startEtcd();
  args = ["--registry", `etcd://${etcd.address}/weft`];
  await etcd.put("/weft/outside/one", "127.0.0.1:7001");
  await using cp = await startControlPlane({ folder: whole, args });
  for (let at = 0; at < 40; at++) {
    const body = { address: "127.0.0.1", port: 7002, servicePort: 80, metadata: { note: "x".repeat(400) } };
    await cp.api("PUT", `/v1/registry/own-${at}/instances/a`, body);
  }
  await portsBecome(cp, "outside", "7001");
  await eventually(
    "it is kept",
    () => /outside/.test(readIfThere(`${whole}/data/registries/etcd.json`) ?? "") || undefined,
  );
});
after(() => rmSync(root, { recursive: true, force: true }));

const flip = (path: string): void => {
  const bytes = readFileSync(path);
  for (let at = 100; at < bytes.length; at += 211) bytes[at] = (bytes[at] ?? 0) ^ 0x15;
  writeFileSync(path, bytes);
};
const ways: readonly (readonly [string, (path: string) => void])[] = [
  ["emptied", (path) => truncateSync(path)],
  ["cut in half", (path) => truncateSync(path, Math.floor(statSync(path).size / 2))],
  ["overwritten", (path) => writeFileSync(path, "garbage".repeat(900))],
  ["changed here and there", flip],
];

/** A copy with one file damaged, and what a control plane makes of it. */
const startDamaged = async (file: string, damage: (path: string) => void) => {
  const folder = mkdtempSync(join(root, "copy-"));
  cpSync(whole, folder, { recursive: true });
  damage(join(folder, "data", file));
  return await startControlPlane({ folder, args }).then(
    (cp) => ({ cp, said: "" }),
    (error: unknown) => ({ cp: undefined, said: String(error) }),
  );
};

for (const [how, damage] of ways) {
  test(`a last good view that was ${how} is not used and is reported; all else stands`, async () => {
    const { cp: started, said } = await startDamaged("registries/etcd.json", damage);
    assert.ok(started, said);
    await using cp = started;
    assert.deepEqual([await portsOf(cp, "own-7"), await portsOf(cp, "outside")], ["7002", ""]);
    const { items } = (await cp.api("GET", "/v1/analyze")) as { items: readonly { code: string }[] };
    assert.ok(items.some(({ code }) => code === "WF2115"));
  });

  test(`a registry database that was ${how} is refused by name, or what is missing of it is said`, async () => {
    const { cp: started, said } = await startDamaged("registry.sqlite", damage);
    if (!started) {
      assert.match(said, /WF2030 cannot open .*registry\.sqlite as a database: .*Next: .*move the file away/s);
      assert.doesNotMatch(said, /\n\s+at /);
      return;
    }
    await using cp = started;
    assert.equal(await portsOf(cp, "outside"), "7001");
    const lines = cp.program.lines.join("\n");
    const own = await Promise.all(Array.from({ length: 40 }, (_, at) => portsOf(cp, `own-${at}`)));
    for (const ports of own) assert.ok(ports === "7002" || ports === "");
    if (own.includes("")) assert.match(lines, /WF2261|WF2262/);
  });
}
