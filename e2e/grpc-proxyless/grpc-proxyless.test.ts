/** A stock gRPC client without any proxy resolves xds:/// names through our control plane and balances over the endpoints. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { startControlPlane } from "@weft/testkit/control-plane";
import { startProgram } from "@weft/testkit/processes";
import { registerInstance } from "@weft/testkit/sidecar";

const same = (bytes: Buffer): Buffer => bytes;

/** A gRPC server that answers with its name. */
const startNames = async (name: string): Promise<{ port: number } & Disposable> => {
  const server = new Server();
  const method = { path: "/shop.Names/Get", requestStream: false, responseStream: false };
  const codecs = {
    requestSerialize: same,
    requestDeserialize: same,
    responseSerialize: same,
    responseDeserialize: same,
  };
  server.addService(
    { Get: { ...method, ...codecs } },
    { Get: (_call: unknown, done: (error: null, value: Buffer) => void) => done(null, Buffer.from(name)) },
  );
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    ),
  );
  return { port, [Symbol.dispose]: () => server.forceShutdown() };
};

const bootstrap = (xds: string): string =>
  JSON.stringify({
    xds_servers: [{ server_uri: xds, channel_creds: [{ type: "insecure" }], server_features: ["xds_v3"] }],
    certificate_providers: {},
    node: {
      cluster: "caller",
      locality: {},
      id: "sidecar~127.0.0.1~caller.default~default.svc.cluster.local",
      metadata: { GENERATOR: "grpc", NAMESPACE: "default" },
    },
  });

test("a proxyless gRPC client balances over both servers, and over one when the other is gone", {
  timeout: 60_000,
}, async () => {
  await using cp = await startControlPlane();
  using a = await startNames("a");
  using b = await startNames("b");
  for (const [id, { port }] of [
    ["a", a],
    ["b", b],
  ] as const) {
    await registerInstance(cp, { service: "names", id, port, appPort: port, protocol: "grpc", mesh: false });
  }
  const ask = async (): Promise<Readonly<Record<string, number>>> => {
    await using client = startProgram(
      process.execPath,
      [join(import.meta.dirname, "client.ts"), "names.default.svc.cluster.local:80", "40"],
      {
        env: { GRPC_XDS_BOOTSTRAP_CONFIG: bootstrap(cp.xds) },
      },
    );
    const [, seen = "{}"] = await client.waitFor(/^seen (.*)$/);
    return JSON.parse(seen) as Record<string, number>;
  };
  const { a: toA = 0, b: toB = 0, ...others } = await ask();
  assert.deepEqual(others, {});
  // Round robin, but for the calls made while only one connection was up.
  assert.ok(toA + toB === 40 && Math.abs(toA - toB) <= 10, `a ${toA}, b ${toB}`);
  await cp.api("DELETE", "/v1/registry/names/instances/b");
  assert.deepEqual(await ask(), { a: 40 });
});
