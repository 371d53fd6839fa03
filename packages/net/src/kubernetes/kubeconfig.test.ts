import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { readKubeconfig } from "./kubeconfig.ts";
import { inClusterAccess, readExecCredential } from "./kubernetes-access.ts";
import { errorOfAnswer } from "./kubernetes-error.ts";
import { watchLines } from "./watch-lines.ts";

const folder = mkdtempSync(join(tmpdir(), "weft-kubeconfig-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const write = (name: string, text: string): string => {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
};
const config = (user: string, cluster = "server: https://api.example:6443"): string => `
apiVersion: v1
kind: Config
current-context: main
clusters: [{name: east, cluster: {${cluster}}}, {name: west, cluster: {server: "https://west:6443/base/"}}]
contexts:
- {name: main, context: {cluster: east, user: me, namespace: shop}}
- {name: other, context: {cluster: west, user: me}}
- {name: broken, context: {cluster: nowhere, user: me}}
users:
- name: me
  user: {${user}}
`;
let count = 0;
const read = (user: string, more: { readonly cluster?: string; readonly context?: string } = {}) =>
  readKubeconfig({
    ...{ file: write(`config-${count++}`, config(user, more.cluster)), environment: process.env, wallMs: () => 0 },
    ...(more.context === undefined ? {} : { context: more.context }),
  });

test("the current context, or the one that is named, says cluster, namespace and user", async () => {
  const main = read("token: abc");
  assert.deepEqual([main.cluster, main.server, main.namespace], ["east", "https://api.example:6443", "shop"]);
  assert.deepEqual(await main.credentials(false), { token: "abc" });
  const other = read("token: abc", { context: "other" });
  assert.deepEqual([other.cluster, other.server, other.namespace], ["west", "https://west:6443/base", "default"]);
});

test("a token file is read anew each time, from beside the kubeconfig", async () => {
  write("token", "first\n");
  const access = read("tokenFile: token");
  assert.deepEqual(await access.credentials(false), { token: "first" });
  write("token", "second\n");
  assert.deepEqual(await access.credentials(false), { token: "second" });
  write("token", "");
  await assert.rejects(access.credentials(false), /missing or empty/);
});

test("certificates come as data or as files", async () => {
  write("me.crt", "CERT");
  const key = Buffer.from("KEY").toString("base64");
  const access = read(`client-certificate: me.crt, client-key-data: ${key}`);
  assert.deepEqual(await access.credentials(false), { certificate: "CERT", key: "KEY" });
  const ca = Buffer.from("CA").toString("base64");
  const cluster = `server: "https://a:1", certificate-authority-data: ${ca}, tls-server-name: name`;
  const checked = read("token: x", { cluster });
  assert.deepEqual([checked.authorities(), checked.serverName, checked.unchecked], ["CA", "name", false]);
});

test("what cannot be used is refused with what is wrong", () => {
  const wrong: readonly [() => unknown, RegExp][] = [
    [() => read("token: x", { context: "none" }), /has no context "none"/],
    [() => read("token: x", { context: "broken" }), /has no cluster "nowhere"/],
    [() => read("token: x", { cluster: "server: http://plain:80" }), /is no https/],
    [
      () => read("token: x", { cluster: 'server: "https://a:1", certificate-authority: none.pem' }),
      /none\.pem.*is not there/,
    ],
    [() => read("client-certificate: me.crt"), /certificate or its key only/],
    [() => read("username: a, password: b"), /password/],
    [() => read("auth-provider: {name: gcp}"), /exec program/],
    [() => readKubeconfig({ file: join(folder, "none"), environment: {}, wallMs: () => 0 }), /is not there/],
    [() => readKubeconfig({ file: write("bad", "a: [\n"), environment: {}, wallMs: () => 0 }), /cannot be read/],
    [() => inClusterAccess({}), /KUBERNETES_SERVICE_HOST is not set/],
    [() => inClusterAccess({ KUBERNETES_SERVICE_HOST: "10.0.0.1" }, join(folder, "none")), /token is missing/],
  ];
  for (const [run, message] of wrong) assert.throws(run, message);
});

test("a pod uses its service account, whose token may change", async () => {
  write("ca.crt", "CA");
  write("namespace", "weft-system\n");
  write("token", "one");
  const access = inClusterAccess({ KUBERNETES_SERVICE_HOST: "fd00::1", KUBERNETES_SERVICE_PORT: "443" }, folder);
  assert.deepEqual(
    [access.server, access.namespace, access.authorities()],
    ["https://[fd00::1]:443", "weft-system", "CA"],
  );
  write("token", "two");
  assert.deepEqual(await access.credentials(false), { token: "two" });
});

test("a credential program is run when what it gave ends or was refused, and no other time", async () => {
  const program = write(
    "login",
    `#!/bin/sh
echo x >> "$1"
printf '{"kind":"ExecCredential","status":{"token":"%s"}}' "$WHO"
`,
  );
  chmodSync(program, 0o755);
  const runs = join(folder, "runs");
  const access = read(`exec: {command: ./login, args: ["${runs}"], env: [{name: WHO, value: robot}]}`);
  const both = await Promise.all([access.credentials(false), access.credentials(false)]);
  assert.deepEqual(both, [{ token: "robot" }, { token: "robot" }]);
  await access.credentials(false);
  await access.credentials(true);
  const { readText } = await import("../read-text.ts");
  assert.equal(readText(runs), "x\nx\n");
  await assert.rejects(read("exec: {command: ./not-there}").credentials(false), /gave no credentials/);
  await assert.rejects(read("exec: {command: /bin/echo}").credentials(false), /no JSON/);
});

test("what a credential program prints is not trusted", () => {
  for (const text of ["", "[]", "{}", '{"kind":"ExecCredential"}', '{"kind":"ExecCredential","status":{"token":5}}'])
    assert.throws(() => readExecCredential(text, "login"), /login gave no credentials/);
});

test("an error's status, reason and message are read, and an answer that is none is one too", () => {
  const status = JSON.stringify({ kind: "Status", reason: "Conflict", message: "again" });
  const { status: code, reason, message, retryAfterMs } = errorOfAnswer(409, status, "3");
  assert.deepEqual([code, reason, message, retryAfterMs], [409, "Conflict", "again", 3_000]);
  assert.equal(errorOfAnswer(502, "<html>", undefined).message, "<html>");
  assert.equal(errorOfAnswer(500, "", "soon").retryAfterMs, undefined);
});

test("lines are found wherever the chunks are cut, and one over the bound ends the watch", async () => {
  const text = '{"a":"ü"}\n\n{"b":1}\n';
  const bytes = Buffer.from(text);
  for (let cut = 0; cut <= bytes.length; cut++) {
    const lines: string[] = [];
    const chunks = (async function* () {
      yield bytes.subarray(0, cut);
      yield bytes.subarray(cut);
    })();
    await watchLines(chunks, (line) => lines.push(line));
    assert.deepEqual(lines, ['{"a":"ü"}', '{"b":1}']);
  }
  const endless = (async function* () {
    for (let at = 0; at < 10; at++) yield Buffer.alloc(10, "x");
  })();
  await assert.rejects(
    watchLines(endless, () => {}, 50),
    /longer than 50 bytes/,
  );
});
