/** A program that names its WorkloadGroup has the group's labels and identity, and its probe decides who reaches it. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { findFreePort } from "@weft/net/process/free-port";
import { startControlPlane, type TestControlPlane } from "@weft/testkit/control-plane";
import { eventually } from "@weft/testkit/eventually";
import { callHttp } from "@weft/testkit/http-call";
import { startWeft } from "@weft/testkit/processes";
import { startSidecar } from "@weft/testkit/sidecar";

const config = `
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: machines}
spec:
  metadata: {labels: {tier: old}}
  template: {serviceAccount: machine, labels: {app: legacy}, weight: 3}
  probe: {periodSeconds: 1, failureThreshold: 1, httpGet: {path: /ready, port: PORT}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: legacy}
spec:
  hosts: [legacy.example]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP, targetPort: PORT}]
  workloadSelector: {labels: {tier: old}}
`;

/** Well until it is asked for /sick, and then until it is asked for /cure. */
const program = `
let status = 200;
require("node:http").createServer((request, response) => {
  if (request.url === "/sick") status = 503;
  if (request.url === "/cure") status = 200;
  response.writeHead(request.url === "/ready" ? status : 200).end("legacy");
}).listen(process.env.PORT, "127.0.0.1");
`;

const stack = new AsyncDisposableStack();
let cp: TestControlPlane;
before(async () => {
  cp = stack.use(await startControlPlane());
});
after(() => stack.disposeAsync());

interface Endpoint {
  readonly health: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly serviceAccount: string;
  readonly weight: number;
}
const endpoints = async (service: string): Promise<readonly Endpoint[]> => {
  const path = `/v1/registry/${service}/endpoints?namespace=default`;
  return ((await cp.api("GET", path)) as { items: readonly Endpoint[] }).items;
};

test("the probe takes the program in and out, and a ServiceEntry finds it by the group's labels", async () => {
  const port = await findFreePort("127.0.0.1", 0);
  const folder = mkdtempSync(join(tmpdir(), "weft-group-test-"));
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  await cp.apply(config.replaceAll("PORT", String(port)));
  const web = stack.use(await startSidecar(cp, { name: "web" }));
  const run = stack.use(
    startWeft(
      [
        ...["run", "--name", "billing", "--group", "machines", "--port", String(port)],
        ...["--cp", cp.http, "--secure", cp.secure, "--root-cert", cp.rootCertFile],
        ...["--join-token-file", cp.joinTokenFile, "--token-file", cp.adminTokenFile, "--outbound", "127.0.0.1:0"],
        ...["--", process.execPath, "-e", program],
      ],
      { env: { WEFT_STATE_DIR: folder } },
    ),
  );
  await run.waitFor(/billing is healthy/);
  const healthOf = (wanted: string) =>
    eventually(`the program is ${wanted}`, async () => {
      const [one] = await endpoints("billing");
      return one?.health === wanted ? one : undefined;
    });
  const { labels, serviceAccount, weight } = await healthOf("healthy");
  assert.deepEqual([labels.tier, labels.app, serviceAccount, weight], ["old", "legacy", "machine", 3]);
  const call = () => callHttp(web.outbound, { host: "legacy.example" });
  await eventually("the program is reached", async () => ((await call()).status === 200 ? true : undefined));
  await callHttp(`127.0.0.1:${port}`, { path: "/sick" });
  await healthOf("unhealthy");
  await eventually("nobody is sent there", async () => ((await call()).status === 503 ? true : undefined));
  await callHttp(`127.0.0.1:${port}`, { path: "/cure" });
  await healthOf("healthy");
  await eventually("it is reached again", async () => ((await call()).status === 200 ? true : undefined));
});

test("a bare sidecar that names its group has the group's labels, identity and ports, and its probe", async () => {
  const port = await findFreePort("127.0.0.1", 0);
  const folder = mkdtempSync(join(tmpdir(), "weft-group-test-"));
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  const groups = config
    .replaceAll("PORT", String(port))
    .replaceAll("legacy", "bare")
    .replaceAll("tier: old", "tier: bare");
  await cp.apply(groups.replace("weight: 3}", `weight: 3, ports: {http-main: ${port}}}`).replace("machines", "bares"));
  await cp.apply(`
apiVersion: networking.istio.io/v1beta1
kind: ProxyConfig
metadata: {name: bare}
spec: {selector: {matchLabels: {tier: bare}}, concurrency: 2}
`);
  const app = createServer((request, response) => {
    response.statusCode = request.url === "/ready" ? status : 200;
    response.end("bare");
  });
  let status = 200;
  await new Promise<void>((resolve) => app.listen(port, "127.0.0.1", resolve));
  stack.defer(() => {
    app.closeAllConnections();
    app.close();
  });
  const web = stack.use(await startSidecar(cp, { name: "caller" }));
  const sidecar = startWeft([
    ...["sidecar", "--name", "vm-1", "--group", "bares", "--api", cp.http, "--api-token-file", cp.adminTokenFile],
    ...["--cp", cp.secure, "--root-cert", cp.rootCertFile, "--token-file", cp.joinTokenFile, "--data", folder],
    ...["--outbound", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--labels", "version=v9"],
  ]);
  stack.use(sidecar);
  const [, admin = ""] = await sidecar.waitFor(/\bready\b.*\badmin=(\S+)/);
  await sidecar.waitFor(/vm-1 is registered with 1 port/);
  const healthOf = (wanted: string) =>
    eventually(`the machine is ${wanted}`, async () => {
      const [one] = await endpoints("bare");
      return one?.health === wanted ? one : undefined;
    });
  const { labels, serviceAccount, weight } = await healthOf("healthy");
  assert.deepEqual(
    [labels.tier, labels.app, labels.version, serviceAccount, weight],
    ["bare", "bare", "v9", "machine", 3],
  );
  const info = (await (await fetch(`http://${admin}/server_info`)).json()) as {
    readonly command_line_options: { readonly concurrency: number };
  };
  assert.equal(info.command_line_options.concurrency, 2);
  const call = () => callHttp(web.outbound, { host: "bare.example" });
  await eventually("the machine is reached", async () => ((await call()).status === 200 ? true : undefined));
  status = 503;
  await healthOf("unhealthy");
  status = 200;
  await healthOf("healthy");
  await sidecar[Symbol.asyncDispose]();
  await eventually("it is taken out when it stops", () =>
    endpoints("bare").then(
      (left) => left.length === 0 || undefined,
      (error: Error) => /there is no service bare/.test(error.message) || undefined,
    ),
  );
});

test("a sidecar whose group is not there says so and does not start", async () => {
  const sidecar = stack.use(
    startWeft([
      ...["sidecar", "--name", "vm-2", "--group", "nobody", "--api", cp.http, "--cp", cp.secure],
      ...["--root-cert", cp.rootCertFile, "--token-file", cp.joinTokenFile],
    ]),
  );
  await sidecar.waitFor(/WF9047.*WorkloadGroup default\/nobody/);
});
