import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as grpc from "@grpc/grpc-js";
import { formatAddress } from "@weft/core/address";
import { resourceType } from "@weft/xds/resource";
import { openAdsClient, testNode } from "./testing/ads-client.ts";
import { join } from "./testing/join.ts";
import { openTestPlane, type TestPlane } from "./testing/plane.ts";

const service = (name: string, port: number): string => `apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: ${name} }
spec:
  hosts: [${name}.example.com]
  ports: [{ number: 80, name: http, protocol: HTTP }]
  resolution: STATIC
  endpoints: [{ address: 127.0.0.1, ports: { http: ${port} } }]
`;
const apply = (mesh: TestPlane, text: string) => mesh.api("/v1/config/apply", { method: "POST", body: text });
interface ProxyItem {
  readonly id: string;
  readonly types: Readonly<Record<string, { readonly status: string; readonly error?: string }>>;
}
const proxiesOf = async (mesh: TestPlane): Promise<readonly ProxyItem[]> =>
  (await mesh.api<{ items: readonly ProxyItem[] }>("/v1/proxies")).body.items;
const clusterOf = (name: string): string => `outbound|80||${name}.example.com`;

describe("a grpc-js client over the plaintext port", () => {
  test("delta: has its clusters, endpoints and changes, and is seen in sync", async () => {
    await using mesh = await openTestPlane();
    await apply(mesh, service("one", 8001));
    using client = openAdsClient(formatAddress(mesh.plane.xds), "delta");
    client.ask("cluster");
    const clusters = await client.next();
    assert.ok(clusters.names.includes(clusterOf("one")));
    client.ask("cluster", { nonce: clusters.nonce });
    client.ask("endpoints", { names: [clusterOf("one")] });
    const endpoints = await client.next();
    assert.deepEqual(endpoints.names, [clusterOf("one")]);
    client.ask("endpoints", { nonce: endpoints.nonce });

    await apply(mesh, service("one", 8002));
    const moved = await client.next();
    assert.deepEqual([moved.typeUrl, moved.names], [resourceType("endpoints").typeUrl, [clusterOf("one")]]);
    client.ask("endpoints", { nonce: moved.nonce });

    await mesh.api("/v1/config/ServiceEntry/default/one", { method: "DELETE" });
    assert.deepEqual((await client.next()).removed, [clusterOf("one")]);
    const [proxy] = await proxiesOf(mesh);
    assert.equal(proxy?.id, testNode().id);
    assert.deepEqual([proxy?.types.EDS?.status, proxy?.types.SDS?.status], ["STALE", "NOT SENT"]);
  });

  test("state of the world: every change of a cluster is the whole set", async () => {
    await using mesh = await openTestPlane();
    await apply(mesh, service("one", 8001));
    using client = openAdsClient(formatAddress(mesh.plane.xds), "sotw");
    client.ask("cluster");
    const first = await client.next();
    client.ask("cluster", { nonce: first.nonce });
    await apply(mesh, service("two", 8002));
    const second = await client.next();
    assert.equal(second.names.length, first.names.length + 1);
    assert.notEqual(second.version, first.version);
  });

  test("a NACK shows with its text, in the status and in the metrics", async () => {
    await using mesh = await openTestPlane();
    using client = openAdsClient(formatAddress(mesh.plane.xds), "delta");
    client.ask("listener");
    const { nonce } = await client.next();
    client.ask("listener", { nonce, error: "no such filter" });
    client.ask("cluster");
    await client.next();
    const [proxy] = await proxiesOf(mesh);
    assert.deepEqual([proxy?.types.LDS?.status, proxy?.types.LDS?.error], ["NACK", "no such filter"]);
    const metrics = await (await fetch(`http://${formatAddress(mesh.plane.monitoring)}/metrics`)).text();
    assert.match(metrics, /pilot_total_xds_rejects\{type="lds"\} 1/);
    assert.match(metrics, /pilot_xds 1\n/);
    assert.match(metrics, /istio_service_discovery_duration_seconds_bucket/);
  });

  test("bytes that are no request end that stream, a node without its form too, and others go on", async () => {
    await using mesh = await openTestPlane();
    using good = openAdsClient(formatAddress(mesh.plane.xds), "delta");
    good.ask("cluster");
    await good.next();
    for (const node of [undefined, { id: "web" }]) {
      using bad = openAdsClient(formatAddress(mesh.plane.xds), "delta", { node });
      bad.ask("cluster");
      const { code, details } = await bad.ended;
      assert.equal(code, grpc.status.INVALID_ARGUMENT);
      assert.match(details, node ? /WF3001/ : /node\.id/);
    }
    await apply(mesh, service("one", 8001));
    assert.ok((await good.next()).names.includes(clusterOf("one")));
  });
});

describe("the secure port", () => {
  test("serves a proxy whose certificate says who its node says it is", async () => {
    await using mesh = await openTestPlane();
    const { key, chain } = await join(mesh, "spiffe://cluster.local/ns/default/sa/web");
    const credentials = grpc.credentials.createSsl(Buffer.from(mesh.rootPem), Buffer.from(key), Buffer.from(chain));
    using client = openAdsClient(formatAddress(mesh.plane.secure), "delta", { credentials });
    client.ask("cluster");
    assert.equal((await client.next()).typeUrl, resourceType("cluster").typeUrl);
    using other = openAdsClient(formatAddress(mesh.plane.secure), "delta", {
      credentials,
      node: testNode({ SERVICE_ACCOUNT: "payments" }),
    });
    other.ask("cluster");
    const { code, details } = await other.ended;
    assert.equal(code, grpc.status.PERMISSION_DENIED);
    assert.match(details, /sa\/web.*sa\/payments/);
  });

  test("refuses a proxy without a certificate, and one of another root", async () => {
    await using mesh = await openTestPlane();
    await using foreign = await openTestPlane();
    const { key, chain } = await join(foreign, "spiffe://cluster.local/ns/default/sa/web");
    const root = Buffer.from(mesh.rootPem);
    for (const credentials of [
      grpc.credentials.createSsl(root),
      grpc.credentials.createSsl(root, Buffer.from(key), Buffer.from(chain)),
    ]) {
      using client = openAdsClient(formatAddress(mesh.plane.secure), "delta", { credentials });
      client.ask("cluster");
      assert.equal((await client.ended).code, grpc.status.UNAUTHENTICATED);
    }
  });

  test("its certificate is good for the names Istio's agents use", async () => {
    await using mesh = await openTestPlane();
    const credentials = grpc.credentials.createSsl(Buffer.from(mesh.rootPem));
    const serverName = "istiod.istio-system.svc";
    using client = openAdsClient(formatAddress(mesh.plane.secure), "delta", { credentials, serverName });
    client.ask("cluster");
    assert.equal((await client.ended).code, grpc.status.UNAUTHENTICATED);
  });
});

test("a restart keeps the root, the tokens, registrations and applied configuration", async () => {
  await using outer = new AsyncDisposableStack();
  const { makePrivateFolder } = await import("@weft/net/process/private-folder");
  const { path: folder } = outer.use(makePrivateFolder("weft-restart-"));
  const first = await openTestPlane({ folder });
  await apply(first, service("one", 8001));
  await first.api("/v1/registry/shop/instances/a", { method: "PUT", body: { address: "10.0.0.1", port: 80 } });
  await first[Symbol.asyncDispose]();
  await using second = await openTestPlane({ folder });
  assert.deepEqual(
    [second.rootPem, second.adminToken, second.joinToken],
    [first.rootPem, first.adminToken, first.joinToken],
  );
  assert.equal((await second.api("/v1/config/ServiceEntry/default/one")).status, 200);
  assert.equal((await second.api("/v1/registry/shop")).status, 200);
});

test("a port that is taken is said with its flag, and nothing stays open", async () => {
  await using mesh = await openTestPlane();
  const { openControlPlane } = await import("./control-plane.ts");
  const { realClock, setRealTimer } = await import("@weft/net/clock");
  const { silentLogger } = await import("@weft/core/world");
  const { makePrivateFolder } = await import("@weft/net/process/private-folder");
  using data = makePrivateFolder("weft-taken-");
  const free = { host: "127.0.0.1", port: 0 };
  const options = {
    ...{
      configFolder: undefined,
      dataFolder: data.path,
      xds: free,
      secure: free,
      http: mesh.plane.http,
      monitoring: free,
    },
    ...{ trustDomain: "cluster.local", rootNamespace: "istio-system", hosts: [], clock: realClock },
    ...{ setTimer: setRealTimer, random: Math.random, log: silentLogger },
  };
  await assert.rejects(openControlPlane(options), (error: Error & { code: string; next: string }) => {
    assert.equal(error.code, "WF2010");
    assert.match(error.message, new RegExp(`:${mesh.plane.http.port}: another process has it`));
    assert.match(error.next, /--http-address/);
    return true;
  });
});
