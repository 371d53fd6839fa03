/** A machine joins with a token and the root's fingerprint, and the unit it is given runs a sidecar of the mesh. */
import assert from "node:assert/strict";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { listFolder } from "@weft/net/files/files";
import { makePrivateFolder } from "@weft/net/process/private-folder";
import { startControlPlane, type TestControlPlane } from "@weft/testkit/control-plane";
import { type Program, startProgram, startWeft } from "@weft/testkit/processes";

const stack = new AsyncDisposableStack();
let cp: TestControlPlane;
before(async () => {
  cp = stack.use(await startControlPlane());
});
after(() => stack.disposeAsync());

interface Made {
  readonly id: string;
  readonly token: string;
  readonly rootFingerprint: string;
}
const makeToken = async (wish: object = {}): Promise<Made> => (await cp.api("POST", "/v1/tokens", wish)) as Made;
const machine = (folder: string): readonly string[] => [
  ...["join", "--cp", `127.0.0.1:1,${cp.secure}`, "--name", "db", "--dir", join(folder, "db"), "--unit-dir", folder],
  ...["--outbound", "127.0.0.1:0", "--admin", "127.0.0.1:0"],
];
const weft = (words: readonly string[], token = ""): Program =>
  startWeft([...words], { env: { WEFT_JOIN_TOKEN: token } });

test("a machine joins by fingerprint, and the program of its unit becomes ready without any token", async () => {
  using folder = makePrivateFolder("weft-join-");
  const { token, rootFingerprint } = await makeToken({ namespace: "default", serviceAccount: "db" });
  await using joining = weft([...machine(folder.path), "--root-fingerprint", rootFingerprint], token);
  assert.equal(await joining.exited, 0, joining.lines.join("\n"));
  assert.equal(readFileSync(join(folder.path, "db/root-cert.pem"), "utf8"), readFileSync(cp.rootCertFile, "utf8"));
  assert.equal(statSync(join(folder.path, "db/data/identity/identity.json")).mode & 0o777, 0o600);
  const unit = readFileSync(join(folder.path, "weft-db.service"), "utf8");
  const [command = "", ...words] = /^ExecStart=(.*)$/m.exec(unit)?.[1]?.split(" ") ?? [];
  await using sidecar = startProgram(command, words);
  await sidecar.waitFor(/\bready\b.*name=db\.default/);

  await using again = weft([...machine(folder.path), "--root-fingerprint", rootFingerprint], token);
  assert.notEqual(await again.exited, 0);
  assert.match(again.lines.join("\n"), /WF2212 .*WF7110/);
});

test("another root than the pinned one is refused before the token is sent, and so is a token for somebody else", async () => {
  using folder = makePrivateFolder("weft-join-");
  const { token, rootFingerprint } = await makeToken();
  await using other = weft([...machine(folder.path), "--root-fingerprint", "ab".repeat(32)], token);
  assert.equal(await other.exited, 1);
  assert.match(other.lines.join("\n"), /WF2211/);
  const bound = await makeToken({ namespace: "default", serviceAccount: "web" });
  await using wrong = weft([...machine(folder.path), "--root-fingerprint", rootFingerprint], bound.token);
  assert.equal(await wrong.exited, 1);
  assert.match(wrong.lines.join("\n"), /WF2212 .*WF7111/);
  assert.deepEqual(listFolder(folder.path), []);
  await using right = weft([...machine(folder.path), "--root-cert", cp.rootCertFile], token);
  assert.equal(await right.exited, 0, right.lines.join("\n"));
});

test("a dry run and a printed unit do nothing; a revoked token joins nobody", async () => {
  using folder = makePrivateFolder("weft-join-");
  await using dry = weft([...machine(folder.path), "--root-cert", cp.rootCertFile, "--dry-run"]);
  assert.equal(await dry.exited, 0);
  assert.match(dry.lines.join("\n"), /would write .*weft-db\.service/);
  await using printed = weft([...machine(folder.path), "--print-unit"]);
  assert.equal(await printed.exited, 0);
  assert.ok(printed.lines.includes("NoNewPrivileges=yes"));
  assert.deepEqual(listFolder(folder.path), []);

  const flags = ["--cp", cp.http, "--token-file", cp.adminTokenFile];
  await using making = startWeft(["token", "create", "--uses", "unlimited", ...flags]);
  const [token = ""] = await making.waitFor(/^weft\.[0-9a-f]{16}\.\S+$/);
  const id = token.split(".")[1] ?? "";
  await using listing = startWeft(["token", "list", ...flags]);
  await listing.waitFor(new RegExp(`^${id} +unlimited +any`));
  await using revoking = startWeft(["token", "revoke", id, ...flags]);
  await revoking.waitFor(new RegExp(`^${id} is revoked`));
  await using joining = weft([...machine(folder.path), "--root-cert", cp.rootCertFile], token);
  assert.equal(await joining.exited, 1);
  assert.match(joining.lines.join("\n"), /WF7110/);
});
