/** `weft run` puts a program into the mesh: every way to call others works from its first line on, and it leaves without a trace. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { findFreePort } from "@weft/net/process/free-port";
import { startControlPlane, type TestControlPlane } from "@weft/testkit/control-plane";
import { startEchoServer } from "@weft/testkit/echo-server";
import { eventually } from "@weft/testkit/eventually";
import { startGrpcNames } from "@weft/testkit/grpc-names";
import { callHttp, type HttpAnswer } from "@weft/testkit/http-call";
import { type Program, runWeft, startWeft } from "@weft/testkit/processes";
import { registerInstance, startSidecar, type TestSidecar } from "@weft/testkit/sidecar";

const strict = `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec: {mtls: {mode: STRICT}}
`;
const spiffe = /URI=spiffe:\/\/cluster\.local\/ns\/default\/sa\/billing/;

const stack = new AsyncDisposableStack();
let cp: TestControlPlane;
let web: TestSidecar;
/** No mesh of this machine's user is taken for ours. */
let env: Readonly<Record<string, string>>;

before(async () => {
  const folder = mkdtempSync(join(tmpdir(), "weft-run-test-"));
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  env = { WEFT_STATE_DIR: folder };
  cp = stack.use(await startControlPlane({ yaml: strict }));
  const echo = stack.use(await startEchoServer("catalog"));
  const names = stack.use(await startGrpcNames("names"));
  stack.use(await startSidecar(cp, { name: "catalog", appPort: echo.port }));
  const sidecar = stack.use(
    await startSidecar(cp, { name: "names", appPort: names.port, protocol: "grpc", register: false }),
  );
  const declared = { appPort: names.port, protocol: "grpc" };
  await registerInstance(cp, {
    ...{ service: "names", id: "names", port: sidecar.port, ...declared },
    metadata: { "grpc-services": "shop.Names,shop.Twice" },
  });
  await registerInstance(cp, {
    ...{ service: "others", id: "others", port: sidecar.port, ...declared },
    metadata: { "grpc-services": "shop.Twice" },
  });
  web = stack.use(await startSidecar(cp, { name: "web" }));
});
after(() => stack.disposeAsync());

const flags = (): readonly string[] => [
  ...["--cp", cp.http, "--secure", cp.secure, "--root-cert", cp.rootCertFile],
  ...["--join-token-file", cp.joinTokenFile, "--token-file", cp.adminTokenFile],
];
const node = (source: string): readonly string[] => ["--", process.execPath, "-e", source];

const instancesOf = async (service: string): Promise<number> => {
  const list = (await cp.api("GET", "/v1/registry")) as {
    items: readonly { name?: string; hostname?: string; instances?: number | readonly unknown[] }[];
  };
  const found = list.items.find((item) => item.name === service || item.hostname?.startsWith(`${service}.`));
  if (found === undefined) return 0;
  return typeof found.instances === "number" ? found.instances : (found.instances?.length ?? 1);
};

test("a program reaches others by name in every way, is reached itself, and leaves with its own exit code", {
  timeout: 60_000,
}, async () => {
  const [port, outbound] = [await findFreePort("127.0.0.1", 0), await findFreePort("127.0.0.1", 0)];
  const program = join(import.meta.dirname, "programs/billing.ts");
  await using run = startWeft(
    [
      ...["run", "--name", "billing", "--port", String(port), "--outbound", `127.0.0.1:${outbound}`, ...flags()],
      ...["--", process.execPath, program],
    ],
    { env },
  );
  const printed = async <T>(via: string): Promise<T> =>
    JSON.parse((await run.waitFor(new RegExp(`^${via} (\\{.*)`)))[1] ?? "") as T;

  // Each was asked once, at once: the sidecar was ready before the program began.
  for (const via of ["host", "absolute"]) {
    const { status, body } = await printed<HttpAnswer>(via);
    assert.equal(status, 200, `${via}: ${body}`);
    const seen = JSON.parse(body) as { name: string; url: string };
    assert.deepEqual([seen.name, seen.url], ["catalog", `/${via}`]);
    assert.match(body, spiffe);
  }
  const { text: tunnelled } = await printed<{ text: string }>("connect");
  assert.match(tunnelled, /^HTTP\/1\.1 200 .*\r\n\r\nHTTP\/1\.1 200 .*"name":"catalog"/s);
  assert.match(tunnelled, spiffe);
  const grpc = await printed<{ text?: string }>("grpc");
  assert.match(grpc.text ?? JSON.stringify(grpc), /^names By=.*/);
  assert.match(grpc.text ?? "", spiffe);
  const unimplemented = 12;
  const unknown = await printed<{ code: number; message: string }>("unknown");
  assert.equal(unknown.code, unimplemented, unknown.message);
  assert.match(unknown.message, /WF5010 /);
  const ambiguous = await printed<{ code: number; message: string }>("ambiguous");
  assert.equal(ambiguous.code, unimplemented, ambiguous.message);
  assert.match(ambiguous.message, /WF5011 .*names.*others/);

  await run.waitFor(/registered and reachable/);
  await eventually("billing answers web", async () =>
    (await callHttp(web.outbound, { host: "billing" })).body === "billing" ? true : undefined,
  );
  assert.equal(await instancesOf("billing"), 1);
  const [, admin = ""] = await run.waitFor(/admin (127\.0\.0\.1:\d+)/);
  assert.equal((await fetch(`http://${admin}/ready`)).status, 200);
  await callHttp(web.outbound, { host: "billing", path: "/exit/7" });
  assert.equal(await run.exited, 7);
  assert.equal(await instancesOf("billing"), 0);
  await assert.rejects(fetch(`http://${admin}/ready`), "its sidecar went with it");
});

test("SIGTERM ends the program, its registration and its sidecar", { timeout: 30_000 }, async () => {
  const port = await findFreePort("127.0.0.1", 0);
  const source = "require('http').createServer((q, s) => s.end('here')).listen(process.env.PORT, '127.0.0.1')";
  await using run = startWeft(
    ["run", "--name", "brief", "--port", String(port), "--outbound", "127.0.0.1:0", ...flags(), ...node(source)],
    { env },
  );
  await run.waitFor(/registered and reachable/);
  const [, admin = ""] = await run.waitFor(/admin (127\.0\.0\.1:\d+)/);
  run.kill("SIGTERM");
  assert.equal(await run.exited, 0);
  assert.equal(await instancesOf("brief"), 0);
  await assert.rejects(fetch(`http://${admin}/ready`));
  await assert.rejects(fetch(`http://127.0.0.1:${port}/`));
});

test("a way out that is taken is said, and another is given", { timeout: 30_000 }, async () => {
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
  const { port } = taken.address() as { port: number };
  try {
    const { code, stdout, stderr } = await runWeft(
      [
        ...["run", "--name", "caller", "--outbound", `127.0.0.1:${port}`, ...flags()],
        ...node("console.log('out', process.env.WEFT_OUTBOUND, process.env.HTTP_PROXY)"),
      ],
      { env },
    );
    assert.equal(code, 0, stderr);
    assert.match(stderr, new RegExp(`127\\.0\\.0\\.1:${port} is busy`));
    const [, outbound = "", proxy = ""] = /^out (\S+) (\S+)$/m.exec(stdout) ?? [];
    assert.match(outbound, /^127\.0\.0\.1:\d+$/);
    assert.notEqual(outbound, `127.0.0.1:${port}`);
    assert.equal(proxy, `http://${outbound}`);
  } finally {
    taken.close();
  }
});

interface Failure {
  readonly name: string;
  readonly args: () => Promise<readonly string[]> | readonly string[];
  readonly code: number;
  readonly says: RegExp;
}

const failures: readonly Failure[] = [
  {
    name: "a program that is not there",
    args: () => ["--outbound", "127.0.0.1:0", ...flags(), "--", "/no/such/program"],
    ...{ code: 1, says: /^WF9044 cannot start \/no\/such\/program: .*ENOENT/m },
  },
  {
    name: "a port that is none",
    args: () => ["--port", "many", ...flags(), "--", "true"],
    ...{ code: 2, says: /^WF9022 "many" is not a port/m },
  },
  {
    name: "a port another program has",
    args: () => ["--port", cp.http.split(":")[1] ?? "", ...flags(), "--", "true"],
    ...{ code: 1, says: /^WF9045 port \d+ is taken/m },
  },
  {
    name: "no mesh on this machine",
    args: () => ["--", "true"],
    ...{ code: 4, says: /^WF9042 no mesh runs on this machine/m },
  },
  {
    name: "a control plane that does not answer",
    args: async () => ["--cp", `127.0.0.1:${await findFreePort("127.0.0.1", 0)}`, ...flags().slice(2), "--", "true"],
    ...{ code: 4, says: /^WF9030 cannot reach the control plane at \S+ \(.*ECONNREFUSED/m },
  },
  {
    name: "a join token that is not there",
    args: () => [...flags().slice(0, 6), ...["--join-token-file", "/no/such/token", ...flags().slice(8)], "--", "true"],
    ...{ code: 1, says: /^WF9046 cannot read the join token at \/no\/such\/token: .*ENOENT/m },
  },
  { name: "no program", args: () => [...flags()], code: 2, says: /missing required argument 'program'/ },
];

for (const { name, args, code, says } of failures) {
  test(`refused: ${name}`, { timeout: 30_000 }, async () => {
    const result = await runWeft(["run", "--name", "x", ...(await args())], { env });
    assert.match(result.stderr, says);
    assert.equal(result.code, code);
    assert.equal(await instancesOf("x"), 0);
  });
}

test("a killed sidecar is reported, and the program goes on", { timeout: 30_000 }, async () => {
  const source = "setInterval(() => {}, 1000); console.log('program runs')";
  await using run: Program = startWeft(
    ["run", "--name", "lonely", "--outbound", "127.0.0.1:0", ...flags(), ...node(source)],
    { env },
  );
  await run.waitFor(/program runs/);
  const [, admin = ""] = await run.waitFor(/admin (127\.0\.0\.1:\d+)/);
  await fetch(`http://${admin}/quitquitquit`, { method: "POST" });
  await run.waitFor(/^WF9043 the sidecar ended/);
  run.kill("SIGTERM");
  assert.equal(await run.exited, 0);
});
