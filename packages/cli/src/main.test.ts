import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { findFreePort } from "@weft/net/process/free-port";
import { folder, run, startApi } from "./testing/command-line.ts";

test("no command is a usage error that shows the help", async () => {
  const { code, out } = await run([]);
  assert.equal(code, 2);
  assert.match(out, /Commands:/);
});

test("an unknown command, flag or output format is a usage error", async () => {
  assert.equal((await run(["frobnicate"])).code, 2);
  assert.equal((await run(["get", "--frobnicate"])).code, 2);
  const format = await run(["get", "-o", "xml"]);
  assert.equal(format.code, 2);
  assert.match(format.err, /WF9020 unknown output format "xml"\. Next: -o table\|json\|yaml/);
});

test("help is no error", async () => {
  for (const argv of [["--help"], ["apply", "--help"], ["--version"]])
    assert.equal((await run(argv)).code, 0, argv.join(" "));
});

test("a control plane that is not there is exit 4 with the address and what to do", async () => {
  const address = `127.0.0.1:${await findFreePort("127.0.0.1", 0)}`;
  for (const argv of [["proxy-status"], ["get"], ["check"], ["registry"], ["proxy-config", "routes", "web"]]) {
    const { code, err } = await run([...argv, "--cp", address]);
    assert.equal(code, 4, argv.join(" "));
    assert.match(
      err,
      /WF9030 cannot reach the control plane at http:\/\/127\.0\.0\.1:\d+ \(.*ECONNREFUSED.*\)\. Next: /,
    );
  }
});

test("the API's own refusal is printed with its code and next step", async () => {
  await using api = await startApi({});
  const { code, err } = await run(["get", "gateway", "--cp", api.address]);
  assert.equal(code, 1);
  assert.equal(err, "WF8400 nothing here. Next: look elsewhere\n");
});

test("a list is a table, or one object with items and a summary", async () => {
  const item = { apiVersion: "networking.istio.io/v1", kind: "Gateway", metadata: { name: "shop", namespace: "a" } };
  await using api = await startApi({ "/v1/config": { items: [item] } });
  const { out } = await run(["get", "--cp", api.address]);
  assert.match(out, /^KIND +NAMESPACE +NAME +SOURCE\nGateway +a +shop\n$/);
  const json = JSON.parse((await run(["get", "--cp", api.address, "-o", "json"])).out);
  assert.deepEqual(json, { apiVersion: "weft.dev/v1", kind: "ConfigList", items: [item], summary: { total: 1 } });
  assert.match(
    (await run(["get", "--cp", api.address, "-o", "yaml"])).out,
    /^apiVersion: weft\.dev\/v1\nkind: ConfigList\n/,
  );
});

test("apply sends each file's text with the token and says what became of each object", async () => {
  await using api = await startApi({
    "/v1/config/apply": { items: [{ kind: "Gateway", namespace: "a", name: "shop", result: "created" }] },
  });
  const file = join(folder, "gateway.yaml");
  writeFileSync(file, "kind: Gateway\n");
  const { code, out } = await run(["apply", "-f", file, "--cp", api.address, "--dry-run"], { WEFT_TOKEN: "secret" });
  assert.equal(code, 0);
  assert.equal(out, "Gateway a/shop created (dry run)\n");
  assert.deepEqual(
    api.asked.map(({ token, body }) => [token, body]),
    [["Bearer secret", "kind: Gateway\n"]],
  );
  assert.match(api.asked[0]?.line ?? "", /dryRun=true/);
});

test("apply without a file and a file that is not there are told apart", async () => {
  assert.equal((await run(["apply"])).code, 2);
  const { code, err } = await run(["apply", "-f", join(folder, "absent.yaml")]);
  assert.equal(code, 1);
  assert.match(err, /^WF9029 cannot read \S*absent\.yaml: there is no such file or folder/);
});

test("analyze exits 3 from the threshold on, and prints findings in the agreed shape", async () => {
  const file = join(folder, "bad.yaml");
  writeFileSync(
    file,
    "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: a}\nspec:\n  hosts: [a]\n  htpp: []\n",
  );
  const { code, out } = await run(["analyze", file, "-o", "json", "--offline"]);
  assert.equal(code, 3);
  const [finding] = (JSON.parse(out) as { items: Record<string, unknown>[] }).items;
  assert.deepEqual(Object.keys(finding ?? {}).sort(), [
    "also",
    "code",
    "column",
    "file",
    "kind",
    "level",
    "line",
    "message",
    "name",
    "namespace",
  ]);
  assert.deepEqual([finding?.level, finding?.line, finding?.column], ["error", 6, 3]);
  assert.match(String(finding?.message), /htpp.*http/);
  writeFileSync(file, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {}\n");
  assert.equal((await run(["analyze", file, "--offline"])).code, 0);
  assert.equal((await run(["analyze", file, "--offline", "--fail-on", "info"])).code, 3);
  assert.equal((await run(["analyze", file, "--fail-on", "nothing"])).code, 2);
  assert.equal((await run(["analyze", join(folder, "absent")])).code, 1);
});

test("a proxy nobody knows, and a name that means two, are said", async () => {
  const proxy = (namespace: string) => ({ id: `sidecar~1~web.${namespace}~d`, metadata: {}, types: {} });
  await using api = await startApi({ "/v1/proxies": { items: [proxy("a"), proxy("b")] } });
  assert.match((await run(["pc", "routes", "nobody", "--cp", api.address])).err, /WF9025/);
  assert.match((await run(["pc", "routes", "web", "--cp", api.address])).err, /WF9026 web means 2 proxies/);
  assert.match((await run(["ps", "nobody", "--cp", api.address])).err, /WF9025/);
});

test("proxies are counted over all control planes where there are several, beside those of the one that is asked", async () => {
  const proxy = { id: "sidecar~1~web.a~d", metadata: {}, types: {} };
  const told = { controlPlanes: 3, proxies: 9, synced: 8, oldestMs: 41_300, silent: 1 };
  const asked = async (everywhere: object | undefined, ...more: readonly string[]) => {
    await using api = await startApi({ "/v1/proxies": { items: [proxy], summary: { everywhere } } });
    return (await run(["ps", ...more, "--cp", api.address])).out;
  };
  const line = "1 is with this control plane; with all 3: 9 proxies, 8 synced, as told up to 41 s ago";
  assert.ok((await asked(told)).endsWith(`${line}; 1 control plane more told nothing\n`), await asked(told));
  assert.deepEqual(JSON.parse(await asked(told, "-o", "json")).summary.everywhere, told);
  for (const nothing of [undefined, { ...told, controlPlanes: 1, silent: 0 }])
    assert.ok((await asked(nothing)).endsWith("\n1 proxy\n"));
  assert.ok((await asked(told, "web")).endsWith("\n1 proxy\n"));
});

test("run without a mesh says how to get one", async () => {
  const { code, err } = await run(["run", "--name", "a", "--outbound", "127.0.0.1:0", "--", "true"]);
  assert.equal(code, 4);
  assert.match(err, /WF9042 no mesh runs on this machine/);
});
