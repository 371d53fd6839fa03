/** A machine joins with a token and the root's fingerprint, and the unit it is given runs a sidecar of the mesh. */
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { parseAddress, type SocketAddress } from "@weft/core/address";
import { listFolder } from "@weft/net/files/files";
import { makePrivateFolder } from "@weft/net/process/private-folder";
import { fetchChain, rootServerName } from "@weft/net/tls/fetch-chain";
import { startControlPlane, type TestControlPlane } from "@weft/testkit/control-plane";
import { type Program, startProgram, startWeft } from "@weft/testkit/processes";
import { startReplicas } from "./replicas.ts";

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
const machine = (folder: string, secure = cp.secure): readonly string[] => [
  ...["join", "--cp", `127.0.0.1:1,${secure}`, "--name", "db", "--dir", join(folder, "db"), "--unit-dir", folder],
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

test("replicas show what is below the root only, and a machine still joins by its fingerprint", async () => {
  using folder = makePrivateFolder("weft-join-");
  await using replicas = await startReplicas();
  const [{ cp: one }, { cp: two }] = replicas.all;
  const { token, rootFingerprint } = (await one.api("POST", "/v1/tokens", {})) as Made;
  const root = new X509Certificate(readFileSync(one.rootCertFile)).raw;
  const shownBy = ({ secure }: TestControlPlane, serverName: string) =>
    fetchChain({ address: parseAddress(secure) as SocketAddress, serverName, timeoutMs: 10_000 });
  const [shown, other] = [await shownBy(one, "localhost"), await shownBy(two, "localhost")];
  assert.deepEqual([shown.length, shown.some((der) => der.equals(root))], [2, false]);
  assert.notDeepEqual(shown[1], other[1]);
  assert.deepEqual((await shownBy(one, rootServerName)).slice(1), [shown[1], root]);
  await using joining = weft([...machine(folder.path, two.secure), "--root-fingerprint", rootFingerprint], token);
  assert.equal(await joining.exited, 0, joining.lines.join("\n"));
  assert.equal(readFileSync(join(folder.path, "db/root-cert.pem"), "utf8"), readFileSync(two.rootCertFile, "utf8"));
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
