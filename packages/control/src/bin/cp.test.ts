import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { makePrivateFolder } from "@weft/net/process/private-folder";

const entry = `import(${JSON.stringify(join(import.meta.dirname, "cp.ts"))}).then((m) => m.runControlPlane(process.argv.slice(1))).then((code) => { process.exitCode = code; });`;

const run = (flags: readonly string[]) => {
  const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", "-e", entry, "--", ...flags]);
  let out = "";
  let err = "";
  child.stdout.on("data", (data) => (out += data));
  child.stderr.on("data", (data) => (err += data));
  const ended = new Promise<{ code: number | null; out: string; err: string }>((resolve) =>
    child.on("close", (code) => resolve({ code, out, err })),
  );
  const ready = new Promise<string>((resolve) =>
    child.stdout.on("data", () => {
      if (out.includes("\n")) resolve(out);
    }),
  );
  return { child, ended, ready };
};

const anywhere = ["xds", "secure", "http", "monitoring"].flatMap((name) => [`--${name}-address`, "127.0.0.1:0"]);

test("serves until SIGTERM: one ready line with real ports, answers /ready, ends with 0", async () => {
  using folder = makePrivateFolder("weft-cp-");
  const { child, ready, ended } = run(["--config", folder.path, "--data", join(folder.path, "data"), ...anywhere]);
  const [, http] =
    /^ready xds=127\.0\.0\.1:\d+ secure=127\.0\.0\.1:\d+ http=(\S+:[1-9]\d*) monitoring=\S+\n$/.exec(await ready) ?? [];
  assert.equal((await fetch(`http://${http}/ready`)).status, 200);
  child.kill("SIGTERM");
  assert.equal((await ended).code, 0);
  assert.deepEqual(readdirSync(join(folder.path, "data")).sort(), [
    ...["addresses.sqlite", "admin-token", "ca", "config", "join-token", "registry.sqlite", "root-cert.pem"],
  ]);
});

test("a port that is taken ends it with 1 and says which flag changes it", async () => {
  using folder = makePrivateFolder("weft-cp-");
  const holder = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => holder.once("listening", resolve));
  const { port } = holder.address() as { port: number };
  const { code, err } = await run(["--data", folder.path, ...anywhere, "--secure-address", `127.0.0.1:${port}`]).ended;
  holder.close();
  assert.equal(code, 1);
  assert.match(err, new RegExp(`WF2010 cannot listen on 127.0.0.1:${port}: .*--secure-address`));
});

test("wrong flags end it with 2, help with 0", async () => {
  const [unknown, address, level, age, help] = await Promise.all([
    run(["--nonsense"]).ended,
    run(["--xds-address", "nowhere"]).ended,
    run(["--log-level", "loud"]).ended,
    run(["--max-connection-age", "5ms"]).ended,
    run(["--help"]).ended,
  ]);
  assert.deepEqual([unknown.code, address.code, level.code, age.code, help.code], [2, 2, 2, 2, 0]);
  assert.match(age.err, /WF9020 --max-connection-age is "5ms".* 30m/s);
  assert.match(address.err, /WF9020 --xds-address is "nowhere"/);
  assert.match(help.out, /--trust-domain/);
  assert.match(help.out, /--max-connection-age/);
});

test("a registry that cannot be meant ends it with 2, and says what there is", async () => {
  const [kind, url, secret, credentials, folder] = await Promise.all([
    run(["--registry", "nothing://a:1/x"]).ended,
    run(["--registry", "etcd://a:1"]).ended,
    run(["--registry", "etcd://me:secret@a:1/x"]).ended,
    run(["--registry", "etcd://a:1/x", "--registry-credentials", "etcd=/nowhere"]).ended,
    run(["--registry", "etcd://a:1/x", "--registry-credentials", "etcd=/"]).ended,
  ]);
  assert.deepEqual([kind.code, url.code, secret.code, credentials.code, folder.code], [2, 2, 2, 2, 2]);
  assert.match(kind.err, /WF2101 .*nothing.*etcd:\/\/.*embedded:/s);
  assert.match(url.err, /WF2102 .*names no path/);
  assert.match(secret.err, /WF2102 .*--registry-credentials/s);
  assert.doesNotMatch(secret.err, /secret/);
  assert.match(credentials.err, /WF2103 \/nowhere cannot be read: there is no such file/);
  assert.match(folder.err, /WF2103 \/ cannot be read: EISDIR/);
});

test("a registry that is not there is no reason not to serve", async () => {
  using folder = makePrivateFolder("weft-cp-");
  const flags = ["--data", folder.path, ...anywhere, "--registry", "etcd://127.0.0.1:1/x", "--log-format", "json"];
  const { child, ready, ended } = run(flags);
  assert.match(await ready, /^ready /);
  child.kill("SIGTERM");
  const { code, err } = await ended;
  assert.equal(code, 0);
  assert.match(err, /WF2110 a registry is out of reach/);
});

test("a configuration folder that is not there is WF2003", async () => {
  using folder = makePrivateFolder("weft-cp-");
  const { code, err } = await run(["--data", folder.path, "--config", join(folder.path, "typo"), ...anywhere]).ended;
  assert.equal(code, 1);
  assert.match(err, /WF2003 .*typo.*--config/);
});

test("a data folder that cannot be used is WF2002", async () => {
  const { code, err } = await run(["--data", join(import.meta.filename, "data"), ...anywhere]).ended;
  assert.equal(code, 1);
  assert.match(err, /WF2002 .*--data/);
});
