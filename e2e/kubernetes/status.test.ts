/** Status is written into the objects of a real API server, follows what becomes of them, and is not written twice. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { makePrivateFolder } from "@weft/net/process/private-folder";
import { eventually } from "@weft/testkit/eventually";
import { startSidecar } from "@weft/testkit/sidecar";
import {
  type ClusterPlane,
  type Condition,
  conditionsOf,
  defineKinds,
  makeNamespace,
  startClusterPlane,
  systemNamespace,
  type WithStatus,
} from "./cluster-parts.ts";
import { type RealApiServer, startApiServer } from "./real-api-server.ts";

const stack = new AsyncDisposableStack();
let cluster: RealApiServer;
let plane: ClusterPlane;
/** Flags of a store that other control planes share. */
let store: readonly string[];
before(async () => {
  cluster = stack.use(await startApiServer());
  await defineKinds(cluster, ["VirtualService", "DestinationRule"]);
  await makeNamespace(cluster, systemNamespace);
  await makeNamespace(cluster, "shop");
  const keyFile = join(stack.use(makePrivateFolder("weft-status-")).path, "store-key");
  writeFileSync(keyFile, randomBytes(32).toString("base64"));
  store = ["--store", `etcd://${cluster.etcd.address}/weft`, "--store-key", keyFile];
  plane = stack.use(await startClusterPlane(cluster.kubeconfig, store));
});
after(() => stack.disposeAsync());

const services = "/apis/networking.istio.io/v1/namespaces/shop/virtualservices";
const virtualService = (name: string, timeout: string) => ({
  ...{ apiVersion: "networking.istio.io/v1", kind: "VirtualService", metadata: { name } },
  spec: { hosts: [`${name}.example.com`], http: [{ timeout, directResponse: { status: 204 } }] },
});
const becomes = (name: string, type: string, wanted: (condition: Condition) => boolean): Promise<Condition> =>
  eventually(
    `${name} has the condition ${type}`,
    async () => {
      const condition = (await conditionsOf(cluster, `${services}/${name}`)).get(type);
      return condition && wanted(condition) ? condition : undefined;
    },
    30_000,
  );
const stored = (name: string) =>
  cluster.api.call({ method: "GET", path: `${services}/${name}` }) as Promise<WithStatus>;

describe("the status of an object", () => {
  test("says that it was taken, and how many proxies have it, as they come", async () => {
    await cluster.apply(services, virtualService("one", "5s"));
    const accepted = await becomes("one", "Accepted", ({ status }) => status === "True");
    assert.equal(accepted.observedGeneration, 1);
    await becomes("one", "Reconciled", ({ message }) => message === "0/0 proxies");
    await using _web = await startSidecar(plane, { name: "web" });
    const reconciled = await becomes("one", "Reconciled", ({ message }) => message === "1/1 proxies");
    assert.deepEqual([reconciled.status, reconciled.reason], ["True", "Reconciled"]);
  });

  test("counts only the proxies that the object is for", async () => {
    const scoped = virtualService("scoped", "5s");
    await using _web = await startSidecar(plane, { name: "web" });
    await cluster.apply(services, { ...scoped, spec: { ...scoped.spec, exportTo: ["."] } });
    await becomes("one", "Reconciled", ({ message }) => message === "1/1 proxies");
    await becomes("scoped", "Reconciled", ({ reason, message }) => reason === "NoProxies" && message === "0/0 proxies");
    await cluster.apply(services, { ...scoped, spec: { ...scoped.spec, exportTo: [".", "default"] } });
    await becomes("scoped", "Reconciled", ({ message }) => message === "1/1 proxies");
  });

  test("counts the proxies of all control planes that share a store, until one is gone", {
    timeout: 120_000,
  }, async () => {
    await cluster.apply(services, virtualService("shared", "5s"));
    await using _web = await startSidecar(plane, { name: "web" });
    await using other = await startClusterPlane(cluster.kubeconfig, store);
    await using _more = await startSidecar(other, { name: "more" });
    await using _most = await startSidecar(other, { name: "most" });
    await becomes("shared", "Reconciled", ({ message }) => message === "3/3 proxies");
    await cluster.apply(services, virtualService("shared", "6s"));
    const again = await becomes("shared", "Reconciled", ({ status, observedGeneration }) => {
      return status === "True" && observedGeneration === 2;
    });
    assert.equal(again.message, "3/3 proxies");
    other.program.kill("SIGKILL");
    await other.program.exited;
    await becomes("shared", "Reconciled", ({ message }) => message === "1/1 proxies");
  });

  test("follows the object to wrong and back, with the code, the field and the generation", async () => {
    await cluster.apply(services, virtualService("two", "5s"));
    await becomes("two", "Accepted", ({ status }) => status === "True");
    await cluster.apply(services, virtualService("two", "5 s"));
    const wrong = await becomes("two", "Accepted", ({ status }) => status === "False");
    assert.deepEqual([wrong.reason, wrong.observedGeneration], ["Invalid", 2]);
    assert.match(wrong.message, /^WF1006 spec\.http\[0\]\.timeout: /);
    const { status } = await stored("two");
    assert.equal(status?.observedGeneration, 2);
    assert.deepEqual(
      status?.validationMessages?.map(({ type, level }) => [type.code, level]),
      [["WF1006", "ERROR"]],
    );
    await cluster.apply(services, virtualService("two", "6s"));
    const right = await becomes("two", "Accepted", ({ status: value }) => value === "True");
    assert.equal(right.observedGeneration, 3);
    assert.deepEqual((await stored("two")).status?.validationMessages ?? [], []);
  });

  test("has what is only wrong beside other objects, until that is gone", async () => {
    const rules = "/apis/networking.istio.io/v1/namespaces/shop/virtualservices";
    const body = virtualService("three", "5s");
    const spec = { hosts: body.spec.hosts, http: [{ route: [{ destination: { host: "nowhere.example.com" } }] }] };
    await cluster.apply(rules, { ...body, spec });
    const { message } = await becomes("three", "Accepted", ({ reason }) => reason === "AcceptedWithWarnings");
    assert.match(message, /WF1101 .*nowhere\.example\.com/);
    await cluster.apply(rules, body);
    await becomes("three", "Accepted", ({ reason }) => reason === "Accepted");
  });

  test("is written once, keeps what others wrote, and keeps its time while nothing turns", async () => {
    await cluster.apply(services, virtualService("four", "5s"));
    const { lastTransitionTime } = await becomes("four", "Accepted", ({ status }) => status === "True");
    await becomes("four", "Reconciled", ({ message }) => /^\d+\/\d+ proxies$/.test(message));
    const foreign = { type: "Theirs", status: "True", reason: "Mine", message: "", observedGeneration: 1 };
    const { status } = await stored("four");
    const conditions = [...(status?.conditions ?? []), foreign];
    await cluster.api.call({
      ...{ method: "PATCH", path: `${services}/four/status`, contentType: "application/merge-patch+json" },
      body: { status: { conditions, theirs: 1 } },
    });
    const version = (await stored("four")).metadata.resourceVersion;
    // Another object's whole way to its status and back is time for many rounds of the writer.
    await cluster.apply(services, virtualService("five", "5s"));
    await becomes("five", "Reconciled", ({ message }) => /^\d+\/\d+ proxies$/.test(message));
    await cluster.apply(services, virtualService("five", "5 s"));
    await becomes("five", "Accepted", ({ status: value }) => value === "False");
    assert.equal((await stored("four")).metadata.resourceVersion, version);
    await cluster.apply(services, { ...virtualService("four", "7s"), status: undefined });
    const after = await becomes("four", "Accepted", ({ observedGeneration }) => observedGeneration === 2);
    assert.equal(after.lastTransitionTime, lastTransitionTime);
    assert.equal((await conditionsOf(cluster, `${services}/four`)).get("Theirs")?.reason, "Mine");
  });
});
