import assert from "node:assert/strict";
import { test } from "node:test";
import type * as grpc from "@grpc/grpc-js";
import { formatAddress } from "@weft/core/address";
import { fetchClientStatusPath, streamClientStatusPath } from "@weft/xds/client-status";
import { decodeMessage, encodeMessage } from "@weft/xds/codec";
import {
  adsDeltaPath,
  adsSotwPath,
  decodeDeltaResponse,
  decodeDiscoveryResponse,
  encodeDeltaRequest,
  encodeDiscoveryRequest,
} from "@weft/xds/discovery";
import { ClustersConfigDumpSchema } from "@weft/xds/gen/envoy/admin/v3/config_dump_shared";
import {
  type ClientConfigJson,
  ClientConfigSchema,
  type ClientStatusRequestJson,
  ClientStatusRequestSchema,
  type ClientStatusResponseJson,
  ClientStatusResponseSchema,
} from "@weft/xds/gen/envoy/service/status/v3/csds";
import { resourceType } from "@weft/xds/resource";
import { openAdsClient, testNode } from "../testing/ads-client.ts";
import { openTestPlane, type TestPlane } from "../testing/plane.ts";
import { openRawCall, rawUnary } from "../testing/raw-call.ts";

const question = (json: ClientStatusRequestJson = {}): Uint8Array =>
  encodeMessage(ClientStatusRequestSchema, json as never);
const answer = (bytes: Uint8Array): readonly ClientConfigJson[] =>
  (decodeMessage(ClientStatusResponseSchema, bytes) as ClientStatusResponseJson).config ?? [];
const fetchStatus = async (mesh: TestPlane, json?: ClientStatusRequestJson): Promise<readonly ClientConfigJson[]> =>
  answer(await rawUnary(formatAddress(mesh.plane.xds), fetchClientStatusPath, question(json)));

const service = `apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: one }
spec:
  hosts: [one.example.com]
  ports: [{ number: 80, name: http, protocol: HTTP }]
  resolution: STATIC
  endpoints: [{ address: 127.0.0.1, ports: { http: 8001 } }]
`;
const { typeUrl: clusterUrl } = resourceType("cluster");
const { typeUrl: listenerUrl } = resourceType("listener");
const cluster = "outbound|80||one.example.com";

/** A proxy that acknowledges its clusters and refuses its listeners. */
const connectProxy = async (mesh: TestPlane, id = "web-1") => {
  const node = { ...testNode(), id: `sidecar~127.0.0.1~${id}.default~default.svc.cluster.local` };
  const client = openAdsClient(formatAddress(mesh.plane.xds), "delta", { node });
  client.ask("cluster");
  client.ask("cluster", { nonce: (await client.next()).nonce });
  client.ask("listener");
  client.ask("listener", { nonce: (await client.next()).nonce, error: "no such filter" });
  // Answered in order: with this answer the two before have been seen.
  client.ask("endpoints", { names: [cluster] });
  await client.next();
  return client;
};
const openMesh = async (): Promise<TestPlane> => {
  const mesh = await openTestPlane();
  await mesh.api("/v1/config/apply", { method: "POST", body: service });
  return mesh;
};

test("CSDS tells each resource's version, state, time and error, with its contents", async () => {
  await using mesh = await openMesh();
  using _proxy = await connectProxy(mesh);
  const [client, ...more] = await fetchStatus(mesh);
  assert.equal(more.length, 0);
  assert.match(client?.node?.id ?? "", /web-1\.default/);
  const resources = client?.genericXdsConfigs ?? [];
  const one = resources.find(({ typeUrl, name }) => typeUrl === clusterUrl && name === cluster);
  assert.equal(one?.configStatus, "SYNCED");
  assert.match(one?.versionInfo ?? "", /^[0-9a-f]{16}$/);
  assert.match(one?.lastUpdated ?? "", /^20/);
  assert.equal((one?.xdsConfig as { name?: string } | undefined)?.name, cluster);
  assert.equal(one?.clientStatus, undefined);
  const listeners = resources.filter(({ typeUrl }) => typeUrl === listenerUrl);
  assert.ok(listeners.length > 0);
  for (const { configStatus, errorState } of listeners) {
    assert.equal(configStatus, "ERROR");
    assert.equal(errorState?.details, "no such filter");
  }
  const endpoints = resources.filter(({ typeUrl }) => typeUrl === resourceType("endpoints").typeUrl);
  assert.deepEqual(
    endpoints.map(({ name, configStatus }) => [name, configStatus]),
    [[cluster, "STALE"]],
  );
  const secrets = resources.find(({ typeUrl }) => typeUrl === resourceType("secret").typeUrl);
  assert.deepEqual([secrets?.configStatus, secrets?.name], ["NOT_SENT", undefined]);
});

test("CSDS over a stream answers each question with who it asks for, and contents only where wanted", async () => {
  await using mesh = await openMesh();
  using _web = await connectProxy(mesh, "web-1");
  using _api = await connectProxy(mesh, "api-1");
  using call = openRawCall(formatAddress(mesh.plane.xds), streamClientStatusPath);
  call.send(question({ nodeMatchers: [{ nodeId: { contains: "~api-1." } }] }));
  const [only, ...more] = answer(await call.next());
  assert.equal(more.length, 0);
  assert.match(only?.node?.id ?? "", /api-1/);
  call.send(question({ excludeResourceContents: true }));
  const both = answer(await call.next());
  assert.equal(both.length, 2);
  assert.ok(both.every(({ genericXdsConfigs = [] }) => genericXdsConfigs.every(({ xdsConfig }) => !xdsConfig)));
  call.send(question({ nodeMatchers: [{ nodeId: { exact: "nobody" } }] }));
  assert.deepEqual(answer(await call.next()), []);
});

test("a status question that cannot be understood ends that call only", async () => {
  await using mesh = await openMesh();
  for (const bad of [
    Buffer.from([0xff, 0xff]),
    question({ nodeMatchers: [{ nodeId: { safeRegex: { regex: "(" } } }] }),
  ]) {
    await assert.rejects(rawUnary(formatAddress(mesh.plane.xds), fetchClientStatusPath, bad), { code: 3 });
    using call = openRawCall(formatAddress(mesh.plane.xds), streamClientStatusPath);
    call.send(bad);
    assert.equal((await call.ended).code, 3);
  }
  assert.deepEqual(await fetchStatus(mesh), []);
});

const debugNode = { id: "debug~0.0.0.0~istioctl~cluster.local" };
const sotwQuestion = (typeUrl: string, resourceNames: readonly string[] = [], responseNonce = ""): Uint8Array =>
  encodeDiscoveryRequest({
    versionInfo: "",
    node: debugNode,
    resourceNames,
    typeUrl,
    responseNonce,
    errorDetail: undefined,
  });

test("Istio's syncz over the discovery stream tells a state a type, and the asker is no proxy", async () => {
  await using mesh = await openMesh();
  using _proxy = await connectProxy(mesh);
  using call = openRawCall(formatAddress(mesh.plane.xds), adsSotwPath);
  call.send(sotwQuestion("istio.io/debug/syncz"));
  const first = decodeDiscoveryResponse(await call.next());
  assert.equal(first.typeUrl, "istio.io/debug/syncz");
  assert.equal(first.resources.length, 1);
  const [resource] = first.resources;
  assert.equal(resource?.typeUrl, "type.googleapis.com/envoy.service.status.v3.ClientConfig");
  const config = decodeMessage(ClientConfigSchema, resource?.value ?? new Uint8Array()) as ClientConfigJson;
  const states = new Map(config.genericXdsConfigs?.map(({ typeUrl, configStatus }) => [typeUrl, configStatus]));
  assert.equal(states.get(clusterUrl), "SYNCED");
  assert.equal(states.get(listenerUrl), "ERROR");
  assert.equal(states.get(resourceType("route").typeUrl), "NOT_SENT");
  assert.equal(states.get("type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig"), "NOT_SENT");
  assert.equal((config.node?.metadata as { NAMESPACE?: string } | undefined)?.NAMESPACE, "default");

  // An acknowledgement is no question; the next question is answered anew.
  call.send(sotwQuestion("istio.io/debug/syncz", [], first.nonce));
  call.send(sotwQuestion("istio.io/debug/syncz"));
  const second = decodeDiscoveryResponse(await call.next());
  assert.notEqual(second.nonce, first.nonce);
  assert.equal(second.resources.length, 1);
  const { body } = await mesh.api<{ items: readonly { id: string }[] }>("/v1/proxies");
  assert.deepEqual(
    body.items.map(({ id }) => id.split("~")[2]),
    ["web-1.default"],
  );
});

test("Istio's config_dump over the discovery stream gives the sections of the proxy it names, or nothing", async () => {
  await using mesh = await openMesh();
  using _proxy = await connectProxy(mesh);
  using call = openRawCall(formatAddress(mesh.plane.xds), adsSotwPath);
  const ask = async (...names: readonly string[]) => {
    call.send(sotwQuestion("istio.io/debug/config_dump", names));
    return decodeDiscoveryResponse(await call.next()).resources;
  };
  const sections = await ask("web.default");
  assert.deepEqual(
    sections.map(({ typeUrl }) => typeUrl.split(".").at(-1)),
    ["ClustersConfigDump", "EndpointsConfigDump", "ListenersConfigDump", "RoutesConfigDump", "SecretsConfigDump"],
  );
  const dump = decodeMessage(ClustersConfigDumpSchema, sections[0]?.value ?? new Uint8Array());
  assert.match(JSON.stringify(dump), /outbound\|80\|\|one\.example\.com/);
  assert.deepEqual(await ask("nobody.default"), []);
  assert.deepEqual(await ask(), []);
  assert.deepEqual(await ask("web.default", "web.default"), []);
});

test("debug types are answered in delta too, on a proxy's own stream as well; an unknown one with nothing", async () => {
  await using mesh = await openMesh();
  using call = openRawCall(formatAddress(mesh.plane.xds), adsDeltaPath);
  const ask = async (typeUrl: string) => {
    const nothing = { subscribe: [], unsubscribe: [], initialVersions: new Map(), responseNonce: "" };
    call.send(encodeDeltaRequest({ node: testNode(), typeUrl, errorDetail: undefined, ...nothing }));
    return decodeDeltaResponse(await call.next());
  };
  assert.deepEqual((await ask("istio.io/debug/syncz")).resources, []);
  await ask(clusterUrl);
  assert.deepEqual(
    (await ask("istio.io/debug/syncz")).resources.map(({ name }) => name),
    [testNode().id],
  );
  assert.deepEqual((await ask("istio.io/debug/nothing")).resources, []);
});

test("a debug question without a node is refused as any first request is", async () => {
  await using mesh = await openMesh();
  using call = openRawCall(formatAddress(mesh.plane.xds), adsSotwPath);
  const nothing = { versionInfo: "", resourceNames: [], responseNonce: "", errorDetail: undefined };
  call.send(encodeDiscoveryRequest({ ...nothing, node: undefined, typeUrl: "istio.io/debug/syncz" }));
  const { code }: grpc.StatusObject = await call.ended;
  assert.equal(code, 3);
});
