import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger } from "@weft/core/world";
import type { GrpcCallHead } from "@weft/net/grpc/calls";
import { fetchClientStatusPath } from "@weft/xds/client-status";
import { decodeMessage, encodeMessage } from "@weft/xds/codec";
import {
  type ClientConfig_GenericXdsConfigJson,
  type ClientStatusRequestJson,
  ClientStatusRequestSchema,
  type ClientStatusResponseJson,
  ClientStatusResponseSchema,
} from "@weft/xds/gen/envoy/service/status/v3/csds";
import { resourceType } from "@weft/xds/resource";
import { createResourceStore } from "./resource-store.ts";
import { type StatusSource, statusHandlers } from "./status-service.ts";

const head = { path: "", metadata: new Map(), peer: {} } as unknown as GrpcCallHead;
const setUp = () => {
  const refusing = new Set<string>();
  const store = createResourceStore({
    dataPlane: {
      apply: () => [],
      check: ({ kind, name }) => (refusing.has(name) ? { kind, name, reason: "type: not spoken" } : undefined),
    },
    clock: { nowMs: () => 0, wallMs: () => 1_700_000_000_000 },
    log: silentLogger,
  });
  let source: StatusSource | undefined = { node: { id: "n1" }, store };
  const handler = statusHandlers(() => source).get(fetchClientStatusPath);
  const ask = async (json: ClientStatusRequestJson = {}) => {
    assert.ok(handler?.kind === "unary");
    const bytes = await handler.handle(encodeMessage(ClientStatusRequestSchema, json as never), head);
    return (decodeMessage(ClientStatusResponseSchema, bytes) as ClientStatusResponseJson).config ?? [];
  };
  const resources = async (json?: ClientStatusRequestJson) => {
    const [config] = await ask(json);
    const named = (config?.genericXdsConfigs ?? []).map((one): [string, ClientConfig_GenericXdsConfigJson] => [
      one.name ?? "",
      one,
    ]);
    return new Map(named);
  };
  return { store, refusing, ask, resources, stop: () => (source = undefined) };
};
const eds = { type: "EDS", edsClusterConfig: { edsConfig: { ads: {} } } } as const;

test("what is in force, warms, was refused, is waited for and does not exist is told apart", async () => {
  const { store, refusing, resources } = setUp();
  store.offer("static", "cluster", [{ name: "fixed", version: "", json: { name: "fixed", type: "STATIC" } }]);
  store.offer("ads", "cluster", [
    { name: "here", version: "1", json: { name: "here", type: "STATIC" } },
    { name: "warms", version: "1", json: { name: "warms", ...eds } },
    { name: "alone", version: "1", json: { name: "alone", ...eds } },
  ]);
  refusing.add("here").add("never");
  store.offer("ads", "cluster", [
    { name: "here", version: "2", json: { name: "here", type: "EDS" } },
    { name: "never", version: "1", json: { name: "never" } },
  ]);
  store.missing("endpoints", "alone");
  const all = await resources();
  assert.equal(all.get("fixed")?.isStaticResource, true);
  const refused = all.get("here");
  assert.deepEqual([refused?.clientStatus, refused?.versionInfo], ["NACKED", "1"]);
  assert.equal((refused?.xdsConfig as { type?: string } | undefined)?.type, "STATIC");
  assert.equal(refused?.errorState?.details, "type: not spoken");
  assert.equal(refused?.errorState?.versionInfo, "2");
  assert.equal(refused?.lastUpdated, "2023-11-14T22:13:20Z");
  const endpoints = async () => {
    const [config] = await setUpAsk(store);
    return (config?.genericXdsConfigs ?? [])
      .filter(({ typeUrl }) => typeUrl === resourceType("endpoints").typeUrl)
      .map(({ name, clientStatus }) => [name, clientStatus]);
  };
  assert.deepEqual(await endpoints(), [
    ["warms", "REQUESTED"],
    ["alone", "DOES_NOT_EXIST"],
  ]);
  store.offer("ads", "endpoints", [{ name: "warms", version: "7", json: { clusterName: "warms" } }]);
  assert.deepEqual((await endpoints())[0], ["warms", "ACKED"]);
});

/** The same store asked directly, for what stands under one name in two types. */
const setUpAsk = async (store: StatusSource["store"]) => {
  const handler = statusHandlers(() => ({ node: {}, store })).get(fetchClientStatusPath);
  assert.ok(handler?.kind === "unary");
  const bytes = await handler.handle(new Uint8Array(), head);
  return (decodeMessage(ClientStatusResponseSchema, bytes) as ClientStatusResponseJson).config ?? [];
};

test("contents are left out where they are not wanted, and keys always", async () => {
  const { store, resources } = setUp();
  const tlsCertificate = { certificateChain: { inlineString: "CERT" }, privateKey: { inlineString: "TOPSECRET" } };
  store.offer("identity", "secret", [{ name: "default", version: "1", json: { name: "default", tlsCertificate } }]);
  const full = JSON.stringify((await resources()).get("default"));
  assert.match(full, /CERT/);
  assert.doesNotMatch(full, /TOPSECRET/);
  const bare = (await resources({ excludeResourceContents: true })).get("default");
  assert.deepEqual([bare?.xdsConfig, bare?.versionInfo, bare?.clientStatus], [undefined, "1", "ACKED"]);
});

test("matchers that mean another node are answered with none; before the start it is UNAVAILABLE", async () => {
  const { ask, stop } = setUp();
  assert.equal((await ask({ nodeMatchers: [{ nodeId: { exact: "n1" } }] })).length, 1);
  assert.equal((await ask({ nodeMatchers: [{ nodeId: { exact: "n2" } }] })).length, 0);
  await assert.rejects(ask({ nodeMatchers: [{ nodeId: {} }] }), { status: 3 });
  stop();
  await assert.rejects(ask(), { status: 14 });
});
