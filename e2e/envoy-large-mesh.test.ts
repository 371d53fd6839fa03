/**
 * A stock Envoy by delta in a mesh whose clusters come in two messages, what all proxies have and what is its own: it takes
 * both, serves what it dials and what it is, and is told of changes in either.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { findFreePort } from "@weft/net/process/free-port";
import { startControlPlane } from "@weft/testkit/control-plane";
import { startEchoServer } from "@weft/testkit/echo-server";
import { eventually } from "@weft/testkit/eventually";
import { callHttp } from "@weft/testkit/http-call";
import { startMeshEnvoy } from "@weft/testkit/mesh-envoy";
import { registerInstance } from "@weft/testkit/sidecar";

const services = 150;
const hostOf = (at: number): string => `s${at}.example.com`;
const entryOf = (at: number, port: number): string => `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: s${at} }
spec:
  hosts: [${hostOf(at)}]
  ports: [{ number: 80, name: http, protocol: HTTP }]
  resolution: STATIC
  endpoints: [{ address: 127.0.0.1, ports: { http: ${port} } }]
`;

test("Envoy takes the clusters of a large mesh and its own, and what changes in both", {
  timeout: 120_000,
}, async () => {
  await using app = await startEchoServer("app");
  await using other = await startEchoServer("other");
  const entries = Array.from({ length: services }, (_, at) => entryOf(at, app.port));
  await using cp = await startControlPlane({ yaml: entries.join("---") });
  const workload = {
    name: "web",
    service: "web",
    inbound: { port: await findFreePort("127.0.0.1", 0), appPort: app.port },
  };
  const outboundPort = await findFreePort("127.0.0.1", 0);
  await using envoy = await startMeshEnvoy(cp, workload, { mode: "DELTA_GRPC", outboundPort });
  await registerInstance(cp, { service: "web", id: "web", ...workload.inbound, labels: { app: "web" } });
  const outbound = `127.0.0.1:${outboundPort}`;
  const ask = async (address: string, host: string): Promise<string> => {
    const { status, body } = await callHttp(address, { host, path: "/" });
    return status === 200 ? (JSON.parse(body) as { name: string }).name : String(status);
  };
  for (const at of [0, 75, services - 1]) {
    await eventually(`${hostOf(at)} answers`, async () =>
      (await ask(outbound, hostOf(at))) === "app" ? true : undefined,
    );
  }
  await eventually("what the workload serves answers", async () =>
    (await ask(`127.0.0.1:${workload.inbound.port}`, "web")) === "app" ? true : undefined,
  );
  const clusters = await (await fetch(`http://${envoy.admin}/clusters`)).text();
  const names = new Set([...clusters.matchAll(/^(.+?)::observability_name/gm)].map(([, name = ""]) => name));
  assert.ok([...names].some((name) => name.startsWith("inbound|")));
  for (let at = 0; at < services; at++) assert.ok(names.has(`outbound|80||${hostOf(at)}`), hostOf(at));

  entries[3] = entryOf(3, other.port);
  await cp.apply([...entries, entryOf(services, other.port)].join("---"));
  for (const at of [3, services]) {
    await eventually(`${hostOf(at)} leads elsewhere`, async () =>
      (await ask(outbound, hostOf(at))) === "other" ? true : undefined,
    );
  }
  assert.equal(await ask(outbound, hostOf(4)), "app");
  for (const [name, value] of await envoy.stats("update_rejected")) assert.equal(value, 0, name);
});
