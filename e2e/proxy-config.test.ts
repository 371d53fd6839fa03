/** ProxyConfig, a WorkloadGroup's port, and MeshConfig's look-up of unknown names, with real processes. */
import assert from "node:assert/strict";
import { lookup } from "node:dns/promises";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { findFreePort } from "@weft/net/process/free-port";
import { startControlPlane, type TestControlPlane } from "@weft/testkit/control-plane";
import { eventually } from "@weft/testkit/eventually";
import { callHttp } from "@weft/testkit/http-call";
import { startWeft } from "@weft/testkit/processes";
import { startSidecar } from "@weft/testkit/sidecar";

const config = `
apiVersion: networking.istio.io/v1beta1
kind: ProxyConfig
metadata: {name: all, namespace: istio-system}
spec: {concurrency: 1, environmentVariables: {GREETING: from-root, NODE_OPTIONS: --no-such-option}}
---
apiVersion: networking.istio.io/v1beta1
kind: ProxyConfig
metadata: {name: billing}
spec: {selector: {matchLabels: {tier: old}}, concurrency: 2}
---
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: machines}
spec:
  metadata: {labels: {tier: old}}
  template: {ports: {http-main: PORT}}
`;
const program = `require("node:http").createServer((request, response) => response.end("billing")).listen(PORT, "127.0.0.1");`;

const stack = new AsyncDisposableStack();
let cp: TestControlPlane;
before(async () => {
  cp = stack.use(await startControlPlane());
});
after(() => stack.disposeAsync());

/** Environments of the processes that a process started, as NAME=VALUE. */
const childEnvironments = (pid: number): readonly string[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8")
    .split(" ")
    .filter(Boolean)
    .flatMap((child) => readFileSync(`/proc/${child}/environ`, "utf8").split("\0"));

test("a program's sidecar starts with what ProxyConfigs say of it, and its port is its group's", async () => {
  const port = await findFreePort("127.0.0.1", 0);
  const folder = mkdtempSync(join(tmpdir(), "weft-proxy-config-"));
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  await cp.apply(config.replaceAll("PORT", String(port)));
  const run = stack.use(
    startWeft(
      [
        ...["run", "--name", "billing", "--group", "machines"],
        ...["--cp", cp.http, "--secure", cp.secure, "--root-cert", cp.rootCertFile],
        ...["--join-token-file", cp.joinTokenFile, "--token-file", cp.adminTokenFile, "--outbound", "127.0.0.1:0"],
        ...["--", process.execPath, "-e", program.replaceAll("PORT", String(port))],
      ],
      { env: { WEFT_STATE_DIR: folder } },
    ),
  );
  await run.waitFor(
    /starts with concurrency 2 and variables GREETING \(ProxyConfig istio-system\/all, default\/billing\)/,
  );
  await run.waitFor(/cannot set NODE_OPTIONS here/);
  const [, admin = ""] = await run.waitFor(/admin (\S+)/);
  await run.waitFor(/billing is registered/);
  const info = (await (await fetch(`http://${admin}/server_info`)).json()) as {
    readonly command_line_options: { readonly concurrency: number };
  };
  assert.equal(info.command_line_options.concurrency, 2);
  assert.ok(childEnvironments(run.pid).includes("GREETING=from-root"));
  const web = stack.use(await startSidecar(cp, { name: "web" }));
  const call = () => callHttp(web.outbound, { host: "billing" });
  await eventually("the program is reached", async () => ((await call()).status === 200 ? true : undefined));
});

test("with ALLOW_ANY_DYNAMIC_DNS a name that nobody knows is looked up, in place of a refusal", async () => {
  // A name that the machine's hosts file has, but is none of the sidecar's own.
  const { address } = await lookup(hostname(), { family: 4 });
  const server = createServer((_request, response) => response.end("elsewhere"));
  await new Promise<void>((resolve) => server.listen(0, address, resolve));
  stack.defer(() => void server.close());
  const { port } = server.address() as AddressInfo;
  const client = stack.use(await startSidecar(cp, { name: "client" }));
  const call = () => callHttp(client.outbound, { host: `${hostname()}:${port}` });
  assert.equal((await call()).status, 502);
  await cp.apply(`
apiVersion: mesh.istio.io/v1alpha1
kind: MeshConfig
metadata: {name: mesh, namespace: istio-system}
spec: {outboundTrafficPolicy: {mode: ALLOW_ANY_DYNAMIC_DNS}}
`);
  const answer = await eventually("the name is looked up", async () => {
    const given = await call();
    return given.status === 200 ? given : undefined;
  });
  assert.equal(answer.body.toString(), "elsewhere");
});
