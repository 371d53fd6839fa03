/** A clean machine joins as root, and its sidecar runs as another user; a token is not spent where nothing can be kept. */
import assert from "node:assert/strict";
import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { makePrivateFolder } from "@weft/net/process/private-folder";
import { startControlPlane, type TestControlPlane } from "@weft/testkit/control-plane";
import { type Program, startProgram, startWeft } from "@weft/testkit/processes";

const stack = new AsyncDisposableStack();
let cp: TestControlPlane;
before(async () => {
  cp = stack.use(await startControlPlane());
});
after(() => stack.disposeAsync());

const makeToken = async (): Promise<string> => ((await cp.api("POST", "/v1/tokens", {})) as { token: string }).token;
const joining = (dir: string, unitDir: string, token: string, more: readonly string[] = []): Program =>
  startWeft(
    [
      ...["join", "--cp", cp.secure, "--name", "db", "--dir", dir, "--unit-dir", unitDir],
      ...["--root-cert", cp.rootCertFile, "--outbound", "127.0.0.1:0", "--admin", "127.0.0.1:0", ...more],
    ],
    { env: { WEFT_JOIN_TOKEN: token } },
  );
/** Somebody without any right of root's. */
const nobody = 65_534;
const asNobody = ["--reuid", String(nobody), "--regid", String(nobody), "--clear-groups"];
const isRoot = process.getuid?.() === 0;

test("the unit's own user reaches what root has put into folders that were not there", { skip: !isRoot }, async () => {
  using folder = makePrivateFolder("weft-join-");
  chmodSync(folder.path, 0o755);
  const dir = join(folder.path, "lib/weft/db");
  await using done = joining(dir, folder.path, await makeToken(), ["--user", "nobody"]);
  assert.equal(await done.exited, 0, done.lines.join("\n"));
  const unit = readFileSync(join(folder.path, "weft-db.service"), "utf8");
  const commands = [...unit.matchAll(/^Exec(?:StartPre|Start)=\+?(.*)$/gm)].map(([, line = ""]) => line.split(" "));
  for (const [command = "", ...words] of commands.slice(0, -1)) {
    await using first = startProgram(command, words);
    assert.equal(await first.exited, 0, first.lines.join("\n"));
  }
  await using sidecar = startProgram("setpriv", [...asNobody, ...(commands.at(-1) ?? [])]);
  await sidecar.waitFor(/\bready\b.*name=db\.default/);
});

test("a token is not spent before it is known that what it gives can be kept", async () => {
  using folder = makePrivateFolder("weft-join-");
  const token = await makeToken();
  const file = join(folder.path, "file");
  writeFileSync(file, "");
  for (const [dir, units] of [
    [join(file, "db"), folder.path],
    [join(folder.path, "db"), join(folder.path, "units")],
  ] as const) {
    await using failed = joining(dir, units, token);
    assert.equal(await failed.exited, 1);
    assert.match(failed.lines.join("\n"), /WF2213/);
  }
  await using joined = joining(join(folder.path, "db"), folder.path, token);
  assert.equal(await joined.exited, 0, joined.lines.join("\n"));
});

test("a user that is not there, or cannot reach the program, is told of while somebody looks", async () => {
  using folder = makePrivateFolder("weft-join-");
  const dir = join(folder.path, "db");
  await using done = joining(dir, folder.path, await makeToken(), ["--user", "nobody-of-that-name"]);
  assert.equal(await done.exited, 0, done.lines.join("\n"));
  assert.match(done.lines.join("\n"), /WF5066 .*nobody-of-that-name.*useradd --system nobody-of-that-name/);
});

test("what the sidecar or systemd would refuse, and a root that is not this mesh's, spend no token and are named", async () => {
  using folder = makePrivateFolder("weft-join-");
  const token = await makeToken();
  const written = (name: string, text: string): string => {
    writeFileSync(join(folder.path, name), text);
    return join(folder.path, name);
  };
  await using another = await startControlPlane();
  for (const [flags, wanted] of [
    [["--user", "a b"], /WF9022 --user "a b" is no user/],
    [["--ip", "10.0.0.999"], /WF9022 --ip "10.0.0.999" is not an IP address/],
    [["--inbound", "nonsense"], /WF9020 .*nonsense/],
    [["--admin", "here"], /WF9020 .*--admin/],
    [["--root-cert", written("no.pem", "hello")], /WF9022 --root-cert .* has no certificate/],
    [["--root-cert", another.rootCertFile], /WF2211 the control plane's certificate is not of the root that was given/],
    [["--cp-name", "other.example"], /WF2210 the control plane's certificate has another name/],
    [["--cp", cp.http], /WF2210 what listens there does not speak TLS/],
  ] as const) {
    await using failed = joining(join(folder.path, "db"), folder.path, token, flags);
    assert.notEqual(await failed.exited, 0, flags.join(" "));
    assert.match(failed.lines.join("\n"), wanted);
  }
  await using joined = joining(join(folder.path, "db"), folder.path, token);
  assert.equal(await joined.exited, 0, joined.lines.join("\n"));
});
