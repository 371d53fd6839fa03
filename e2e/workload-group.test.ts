/** A program that names its WorkloadGroup has the group's labels and identity, and its probe decides who reaches it. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
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
