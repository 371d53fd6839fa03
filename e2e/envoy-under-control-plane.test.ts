/**
 * A stock Envoy under our control plane, by state of the world and by delta: it serves routes with mutual TLS whose keys
 * come from `weft agent`, follows a canary and an endpoint change without one failed request, and refuses nothing.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { findFreePort } from "@weft/net/process/free-port";
import { startControlPlane, type TestControlPlane } from "@weft/testkit/control-plane";
import { startEchoServer } from "@weft/testkit/echo-server";
import { eventually } from "@weft/testkit/eventually";
import { callHttp } from "@weft/testkit/http-call";
import { type EnvoyWorkload, startMeshEnvoy } from "@weft/testkit/mesh-envoy";
import { type Program, startWeft } from "@weft/testkit/processes";
import { registerInstance, startSidecar } from "@weft/testkit/sidecar";
import { startLoad } from "@weft/testkit/steady-load";

const shop = `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec:
  host: reviews
  subsets:
    - {name: v1, labels: {version: v1}}
    - {name: v2, labels: {version: v2}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec: {mtls: {mode: STRICT}}
`;
const split = (v1: number, v2: number): string => `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
    - route:
        - {destination: {host: reviews, subset: v1}, weight: ${v1}}
        - {destination: {host: reviews, subset: v2}, weight: ${v2}}
`;

const startAgent = async (
  cp: TestControlPlane,
  folder: string,
  { name, service }: EnvoyWorkload,
): Promise<{ agent: Program; socket: string }> => {
  const socket = join(folder, `${name}.sock`);
  const agent = startWeft([
    ...["agent", "--cp", cp.secure, "--root-cert", cp.rootCertFile, "--token-file", cp.joinTokenFile],
    ...["--name", name, "--service-account", service, "--sds", socket, "--data", join(folder, name)],
  ]);
  await agent.waitFor(/\bready\b/);
  return { agent, socket };
};

const versionOf = (body: string): string => (JSON.parse(body) as { name: string }).name;

for (const mode of ["GRPC", "DELTA_GRPC"] as const) {
  test(`Envoy by ${mode} follows a canary and an endpoint change without a failed request`, {
    timeout: 120_000,
  }, async () => {
    await using stack = new AsyncDisposableStack();
    const folder = mkdtempSync(join(tmpdir(), "weft-envoy-"));
    stack.defer(() => rmSync(folder, { recursive: true, force: true }));
    const cp = stack.use(await startControlPlane({ yaml: `${shop}---${split(100, 0)}` }));
    const v1 = stack.use(await startEchoServer("v1"));
    const v2 = stack.use(await startEchoServer("v2"));

    // reviews v1 is served by Envoy, reviews v2 by our sidecar: both must take what the Envoy of web sends.
    const server = {
      name: "reviews-v1",
      service: "reviews",
      inbound: { port: await findFreePort("127.0.0.1", 0), appPort: v1.port },
    };
    const serverAgent = await startAgent(cp, folder, server);
    stack.use(serverAgent.agent);
    stack.use(
      await startMeshEnvoy(cp, server, {
        mode,
        socket: serverAgent.socket,
        outboundPort: await findFreePort("127.0.0.1", 0),
      }),
    );
    await registerInstance(cp, {
      service: "reviews",
      id: "v1",
      ...server.inbound,
      labels: { app: "reviews", version: "v1" },
    });
    stack.use(
      await startSidecar(cp, { name: "reviews-v2", service: "reviews", labels: { version: "v2" }, appPort: v2.port }),
    );

    const outboundPort = await findFreePort("127.0.0.1", 0);
    const webAgent = await startAgent(cp, folder, { name: "web", service: "web" });
    stack.use(webAgent.agent);
    const web = stack.use(
      await startMeshEnvoy(cp, { name: "web", service: "web" }, { mode, socket: webAgent.socket, outboundPort }),
    );
    const outbound = `127.0.0.1:${outboundPort}`;
    const ask = async (): Promise<string> => {
      const { status, body } = await callHttp(outbound, { host: "reviews", path: "/reviews/1" });
      assert.equal(status, 200, body);
      return versionOf(body);
    };
    await eventually("reviews v1 answers through both Envoys", async () => ((await ask()) === "v1" ? true : undefined));

    await using load = startLoad(outbound, { host: "reviews", path: "/reviews/1" });
    await load.more(50);
    await cp.apply(split(0, 100));
    await eventually("the canary takes everything", async () => ((await ask()) === "v2" ? true : undefined));
    await load.more(50);
    const second = stack.use(await startEchoServer("v2-second"));
    stack.use(
      await startSidecar(cp, {
        name: "reviews-v2-b",
        service: "reviews",
        labels: { version: "v2" },
        appPort: second.port,
      }),
    );
    await eventually("the new endpoint answers", async () => ((await ask()) === "v2-second" ? true : undefined));
    await cp.api("DELETE", "/v1/registry/reviews/instances/reviews-v2");
    const answeredBefore = v2.count();
    await eventually("the old endpoint is left alone", async () => {
      const before = v2.count();
      await load.more(20);
      return v2.count() === before && before >= answeredBefore ? true : undefined;
    });
    await load.stop();
    assert.deepEqual(load.failures, []);

    const rejected = await web.stats("update_rejected|ssl.handshake");
    for (const [name, value] of rejected) if (name.includes("rejected")) assert.equal(value, 0, name);
    const handshakes = [...rejected].filter(
      ([name, value]) => name.startsWith("cluster.outbound") && name.endsWith("ssl.handshake") && value > 0,
    );
    assert.ok(handshakes.length > 0, "traffic left web's Envoy over TLS");
    const { items } = (await cp.api("GET", "/v1/proxies")) as {
      items: readonly { id: string; types: Record<string, { status: string; error?: string }> }[];
    };
    for (const { id, types } of items)
      for (const [type, { status, error }] of Object.entries(types))
        assert.doesNotMatch(status, /NACK/, `${id} ${type} ${error}`);
  });
}
