/** Namespaces, the mesh's settings and gateways' keys of a real API server, as they come, change and go. */
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { findFreePort } from "@weft/net/process/free-port";
import { startControlPlane, type TestControlPlane } from "@weft/testkit/control-plane";
import { eventually } from "@weft/testkit/eventually";
import { callHttp } from "@weft/testkit/http-call";
import { startSidecar } from "@weft/testkit/sidecar";
import { askSecurely, type Keys, keysOf, testCa } from "../kinds-traffic/edges.ts";
import { defineKinds, makeNamespace, systemNamespace } from "./cluster-parts.ts";
import { type RealApiServer, startApiServer } from "./real-api-server.ts";

const stack = new AsyncDisposableStack();
let cluster: RealApiServer;
let cp: TestControlPlane;
before(async () => {
  cluster = stack.use(await startApiServer());
  await defineKinds(cluster, ["VirtualService", "Gateway"]);
  for (const name of [systemNamespace, "shop", "edge", "spare"]) await makeNamespace(cluster, name);
  cp = stack.use(await startControlPlane({ args: ["--registry", `kubernetes://?kubeconfig=${cluster.kubeconfig}`] }));
});
after(() => stack.disposeAsync());

interface Finding {
  readonly code: string;
  readonly level: string;
  readonly message: string;
  readonly file: string;
}
const findings = async (): Promise<readonly Finding[]> =>
  ((await cp.api("GET", "/v1/analyze")) as { items: readonly Finding[] }).items;
const found = (code: string, text: string): Promise<Finding> =>
  eventually(`${code} ${text}`, async () =>
    (await findings()).find((one) => one.code === code && `${one.file} ${one.message}`.includes(text)),
  );
const configured = async (path: string): Promise<unknown> => {
  try {
    return await cp.api("GET", `/v1/config/${path}`);
  } catch (error) {
    if ((error as Error).message.includes(": 404")) return undefined;
    throw error;
  }
};
const becomes = (path: string, there: boolean) =>
  eventually(`${path} is ${there ? "there" : "gone"}`, async () => ((await configured(path)) !== undefined) === there);

const settings = (data: Readonly<Record<string, string>>): Promise<unknown> =>
  cluster.apply(`/api/v1/namespaces/${systemNamespace}/configmaps`, { metadata: { name: "istio" }, data });

const service = (namespace: string, name: string): Promise<unknown> =>
  cluster.apply(`/api/v1/namespaces/${namespace}/services`, {
    metadata: { name },
    spec: { selector: { app: name }, ports: [{ name: "http", port: 80 }] },
  });
const services = async (): Promise<string> =>
  ((await cp.api("GET", "/v1/registry")) as { items: readonly { name: string; namespace: string }[] }).items
    .map(({ name, namespace }) => `${name}.${namespace}`)
    .filter((name) => !name.startsWith("kubernetes."))
    .sort()
    .join(" ");
const servicesBecome = (wanted: string) =>
  eventually(`the services are ${wanted}`, async () => {
    const now = await services();
    if (now !== wanted) throw new Error(`they are ${now}`);
    return true;
  });
const route = (name: string, more: object = {}): Promise<unknown> =>
  cluster.apply("/apis/networking.istio.io/v1/namespaces/spare/virtualservices", {
    ...{ apiVersion: "networking.istio.io/v1", kind: "VirtualService", metadata: { name } },
    spec: { hosts: [`${name}.example`], http: [{ directResponse: { status: 204 } }], ...more },
  });

test("labels of namespaces decide what is read, whenever they or the selectors change", async () => {
  await service("shop", "web");
  await service("spare", "batch");
  await route("spare");
  await servicesBecome("batch.spare web.shop");
  await becomes("virtualservice/spare/spare", true);
  await settings({ mesh: "discoverySelectors:\n- matchLabels: {mesh: 'on'}\n" });
  await servicesBecome("");
  await becomes("virtualservice/spare/spare", false);
  await makeNamespace(cluster, "shop", { mesh: "on" });
  await servicesBecome("web.shop");
  await makeNamespace(cluster, "spare", { mesh: "on" });
  await servicesBecome("batch.spare web.shop");
  await makeNamespace(cluster, "shop");
  await servicesBecome("batch.spare");
  await becomes("virtualservice/spare/spare", true);
  await cluster.delete(`/api/v1/namespaces/${systemNamespace}/configmaps/istio`);
  await servicesBecome("batch.spare web.shop");
});

test("a namespace that exportTo names is known when it is made", async () => {
  await route("scoped", { exportTo: ["payments"] });
  assert.equal((await found("WF1133", "payments")).level, "warning");
  await makeNamespace(cluster, "payments");
  await eventually("it is known", async () => (await findings()).every(({ code }) => code !== "WF1133"));
});

test("the mesh's settings are read from the ConfigMap istio as they change; wrong ones are told, and the last good stay", async () => {
  await using web = await startSidecar(cp, { name: "web" });
  const log = join(web.folder, "access.log");
  await settings({ mesh: `accessLogFile: ${log}\nnotOfOurs: 1\n`, "mesh.yaml": "another key" });
  await eventually("requests are logged", async () => {
    await callHttp(web.outbound, { host: "nowhere.example" }).catch(() => undefined);
    return existsSync(log) && readFileSync(log, "utf8").includes("nowhere.example");
  });
  const stored = async () => (await configured(`meshconfig/${systemNamespace}/istio`)) as { spec: object } | undefined;
  assert.deepEqual((await stored())?.spec, { accessLogFile: log });
  await found("WF1003", "notOfOurs");
  await settings({ mesh: `accessLogFile: ${log}\nconnectTimeout: soon\n` });
  const told = await found("WF2154", `ConfigMap/${systemNamespace}/istio`);
  assert.match(told.message, /line 2, column 17 of its key mesh/);
  assert.deepEqual((await stored())?.spec, { accessLogFile: log });
  await settings({ mesh: "connectTimeout: 3s\n" });
  await eventually("it is right", async () => (await findings()).every(({ code }) => code !== "WF2154"));
  assert.deepEqual((await stored())?.spec, { connectTimeout: "3s" });
  await settings({});
  await becomes(`meshconfig/${systemNamespace}/istio`, false);
});

const namesIn = (pem: string): string => new X509Certificate(pem).subjectAltName ?? "";
const secret = (namespace: string, name: string, type: string, entries: Readonly<Record<string, string>>) =>
  cluster.apply(`/api/v1/namespaces/${namespace}/secrets`, { metadata: { name }, type, stringData: entries });
const tls = ({ cert, key }: Keys) => ({ "tls.crt": cert, "tls.key": key });
const generic = ({ cert, key }: Keys) => ({ cert, key, password: "never to be read" });

test("a gateway gets its keys from Secrets of either form in its own namespace, and no others are read", async () => {
  const ca = testCa();
  const [first, second, third] = [keysOf(ca), keysOf(ca), keysOf(ca)];
  const port = await findFreePort("127.0.0.1", 0);
  await secret("default", "one", "kubernetes.io/tls", tls(first));
  await secret("default", "two", "Opaque", generic(second));
  await secret("default", "plain", "Opaque", { password: "never to be read" });
  await secret("edge", "one", "kubernetes.io/tls", tls(third));
  const server = (name: string) => ({
    port: { number: port, name: `https-${name}`, protocol: "HTTPS" },
    ...{ hosts: [`${name}.example`], tls: { mode: "SIMPLE", credentialName: name } },
  });
  await cluster.apply("/apis/networking.istio.io/v1/namespaces/shop/gateways", {
    ...{ apiVersion: "networking.istio.io/v1", kind: "Gateway", metadata: { name: "front" } },
    spec: { selector: { edge: "weft" }, servers: [server("one"), server("two")] },
  });
  // What a gateway needs is in the namespace where its pods are.
  await cluster.apply("/api/v1/namespaces/default/pods", {
    metadata: { name: "edge-weft", labels: { edge: "weft" } },
    spec: { containers: [{ name: "proxy", image: "none" }] },
  });
  await using _edge = await startSidecar(cp, { name: "edge-weft", labels: { edge: "weft" }, args: ["--gateway"] });
  const shows = (host: string, { cert }: Keys) =>
    eventually(`${host} shows its certificate`, async () => {
      const { names } = await askSecurely(port, host);
      return names === namesIn(cert);
    });
  await shows("one.example", first);
  await shows("two.example", second);
  await secret("default", "two", "Opaque", generic(third));
  await shows("two.example", third);
  assert.equal(await configured("secret/edge/one"), undefined);
  assert.equal(await configured("secret/default/plain"), undefined);
  assert.doesNotMatch(JSON.stringify(await configured("secret/default/two")), /password|never/);
  await cluster.delete("/apis/networking.istio.io/v1/namespaces/shop/gateways/front");
  await becomes("secret/default/one", false);
});
