import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parseConfig } from "@weft/config/parse-config";
import { folder, run, startApi } from "../testing/command-line.ts";

const token = { WEFT_TOKEN: "secret" };
const file = (name: string, text: string): string => {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
};

test("delete names one object by any form of its kind, and says its proper name", async () => {
  await using api = await startApi({ "/v1/config/VirtualService/default/reviews": { result: "deleted" } });
  for (const argv of [["vs", "reviews"], ["virtualservices.networking.istio.io", "reviews"], ["vs/reviews"]]) {
    const { code, out } = await run(["delete", ...argv, "--cp", api.address], token);
    assert.deepEqual([code, out], [0, "VirtualService default/reviews deleted\n"], argv.join(" "));
  }
});

test("a dry run of delete asks for a dry run and says so", async () => {
  await using api = await startApi({ "/v1/config/Gateway/a/shop": { result: "deleted" } });
  const { out } = await run(["delete", "gateway", "shop", "-n", "a", "--dry-run", "--cp", api.address], token);
  assert.equal(out, "Gateway a/shop deleted (dry run)\n");
  assert.deepEqual(
    api.asked.map(({ line }) => line),
    ["DELETE /v1/config/Gateway/a/shop?dryRun=true"],
  );
});

test("delete without a name, without anything, and with both a name and a file are usage errors", async () => {
  const path = file("any.yaml", "a: 1\n");
  for (const argv of [["vs"], [], ["vs", "x", "-f", path], ["nosuchkind", "x"]])
    assert.equal((await run(["delete", ...argv])).code, 2, argv.join(" "));
});

test("what get prints can be applied again, and says where it came from", async () => {
  const item = {
    spec: { mtls: { mode: "STRICT" } },
    apiVersion: "security.istio.io/v1",
    kind: "PeerAuthentication",
    metadata: { name: "shop", namespace: "a" },
    source: { file: "shop.yaml", line: 3, column: 1 },
  };
  await using api = await startApi({ "/v1/config": { items: [item] } });
  const { out } = await run(["get", "pa", "shop", "-o", "json", "--cp", api.address]);
  const printed = JSON.parse(out) as { kind: string; items: Record<string, unknown>[] };
  assert.equal(printed.kind, "ConfigList");
  assert.deepEqual(Object.keys(printed.items[0] ?? {}), ["apiVersion", "kind", "metadata", "spec", "status"]);
  assert.deepEqual(printed.items[0]?.status, { source: item.source });
  const { objects, findings } = parseConfig(out, "printed.json", 0);
  assert.deepEqual([objects.map(({ name }) => name), findings], [["shop"], []]);
});

test("get says the proper name of the kind it did not find", async () => {
  await using api = await startApi({ "/v1/config": { items: [] } });
  const { code, err } = await run(["get", "vs", "nope", "--cp", api.address]);
  assert.deepEqual([code, err], [1, "WF9023 there is no VirtualService named nope. Next: weft get VirtualService\n"]);
});

test("apply shows every error of a file that was refused", async () => {
  const at = (line: number) => ({ level: "error", code: "WF1003", message: `m${line}`, file: "f", line, column: 1 });
  const refusal = {
    code: "WF1003",
    message: "f:1:1 m1 (and 1 more)",
    next: "correct it",
    findings: [at(1), { ...at(2), level: "warning" }, at(3)],
  };
  await using api = await startApi({ "/v1/config/apply": refusal }, 422);
  const { code, err } = await run(["apply", "-f", file("two.yaml", "a: 1\n"), "--cp", api.address], token);
  assert.equal(code, 1);
  assert.equal(err, "WF1003 f:1:1 m1 (and 1 more)\nWF1003 f:3:1 m3. Next: correct it\n");
});

test("apply and delete of nothing fail instead of being silent", async () => {
  mkdirSync(join(folder, "empty"), { recursive: true });
  await using api = await startApi({ "/v1/config/apply": { items: [] }, "/v1/config/delete": { items: [] } });
  for (const verb of ["apply", "delete"]) {
    for (const path of [file("none.yaml", ""), join(folder, "empty")]) {
      const { code, err } = await run([verb, "-f", path, "--cp", api.address], token);
      assert.equal(code, 1);
      assert.match(err, /^WF9034 there is no configuration object in /);
    }
  }
});

test("the summary of a change counts each result", async () => {
  const item = (name: string, result: string) => ({ kind: "Gateway", namespace: "a", name, result });
  await using api = await startApi({
    "/v1/config/apply": { items: [item("x", "created"), item("y", "unchanged"), item("z", "created")] },
  });
  const argv = ["apply", "-f", file("three.yaml", "a: 1\n"), "-o", "json", "--cp", api.address];
  const { summary } = JSON.parse((await run(argv, token)).out) as { summary: object };
  assert.deepEqual(summary, { total: 3, created: 2, unchanged: 1 });
});

test("analyze counts in the singular too", async () => {
  const text = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: a}\nspec: {htpp: []}\n";
  const { out } = await run(["analyze", file("one.yaml", text), "--offline"]);
  assert.match(out, /, 0 warnings, 0 info in 1 file, 0 objects \(\d+ ms\)\n$/);
});

test("analyze names no place for what is in no file, and keeps each finding to a line", async () => {
  const finding = (message: string) => ({
    ...{ code: "WF2112", level: "warning", message, kind: "Registry", namespace: "", name: "etcd" },
    ...{ file: "", line: 0, column: 0, also: [] },
  });
  await using api = await startApi({
    "/v1/analyze": { items: [finding("registry etcd: /x/a\nerror   WF1001 forged: no JSON")] },
    "/v1/config": { items: [] },
  });
  const { out } = await run(["analyze", "--cp", api.address]);
  assert.match(
    out,
    /^warning WF2112 registry etcd: \/x\/a\\u000aerror {3}WF1001 forged: no JSON\n0 errors, 1 warning,/,
  );
});
