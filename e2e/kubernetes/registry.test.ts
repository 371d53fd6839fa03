/** A real Kubernetes API server as a registry and as a source of configuration, on its good days and its bad ones. */
import assert from "node:assert/strict";
import { networkInterfaces } from "node:os";
import { after, before, test } from "node:test";
import { startControlPlane, type TestControlPlane } from "@weft/testkit/control-plane";
import { startEchoServer } from "@weft/testkit/echo-server";
import { eventually } from "@weft/testkit/eventually";
import { callHttp } from "@weft/testkit/http-call";
import { startSidecar } from "@weft/testkit/sidecar";
import { defineKinds } from "./cluster-parts.ts";
import { type KubernetesObject, type RealApiServer, startApiServer } from "./real-api-server.ts";

const stack = new AsyncDisposableStack();
let cluster: RealApiServer;
let cp: TestControlPlane;
before(async () => {
  cluster = stack.use(await startApiServer());
  await cluster.apply("/api/v1/namespaces", { metadata: { name: "shop" } });
  await defineKinds(cluster, ["VirtualService", "ServiceEntry"]);
  cp = stack.use(await startControlPlane({ args: ["--registry", `kubernetes://?kubeconfig=${cluster.kubeconfig}`] }));
});
after(() => stack.disposeAsync());

/** Kubernetes takes no loopback address in a slice. */
const hostAddress =
  Object.values(networkInterfaces())
    .flatMap((all) => all ?? [])
    .find(({ family, internal }) => family === "IPv4" && !internal)?.address ?? "127.0.0.1";

const unknownField = "WF1003";
const core = "/api/v1/namespaces/shop";
const slicesPath = "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices";
const virtualServices = "/apis/networking.istio.io/v1/namespaces/shop/virtualservices";

const service = (name: string, more: Readonly<Record<string, unknown>> = {}): Promise<unknown> =>
  cluster.apply(`${core}/services`, {
    metadata: { name },
    spec: { selector: { app: name }, ports: [{ name: "http", port: 80, targetPort: 8080 }], ...more },
  });
interface Address {
  readonly ip: string;
  readonly pod?: string;
  readonly conditions?: object;
}
const slice = (of: string, name: string, addresses: readonly Address[], port = 8080): Promise<unknown> =>
  cluster.apply(slicesPath, {
    metadata: { name, labels: { "kubernetes.io/service-name": of } },
    addressType: "IPv4",
    ports: [{ name: "http", port }],
    endpoints: addresses.map(({ ip, pod, conditions }) => ({
      addresses: [ip],
      conditions: conditions ?? { ready: true },
      ...(pod === undefined ? {} : { targetRef: { kind: "Pod", name: pod, namespace: "shop" } }),
    })),
  });
const pod = (name: string, labels: Readonly<Record<string, string>>, account = "robot"): Promise<unknown> =>
  cluster.apply(`${core}/pods`, {
    metadata: { name, labels },
    spec: { nodeName: "node-1", serviceAccountName: account, containers: [{ name: "app", image: "none" }] },
  });

interface Endpoint {
  readonly address: string;
  readonly port: number;
  readonly health: string;
  readonly held?: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly serviceAccount: string;
  readonly locality: string;
}
const endpoints = async (name: string, plane = cp): Promise<readonly Endpoint[]> => {
  const { items } = (await plane.api("GET", "/v1/registry")) as { items: readonly { name: string }[] };
  if (!items.some((one) => one.name === name)) return [];
  return ((await plane.api("GET", `/v1/registry/${name}/endpoints?namespace=shop`)) as { items: readonly Endpoint[] })
    .items;
};
/** Addresses of a service's endpoints, with `?` behind those that are held. */
const addresses = async (name: string, plane = cp): Promise<string> =>
  (await endpoints(name, plane))
    .map(({ address, held }) => `${address}${held ? "?" : ""}`)
    .sort()
    .join(" ");
const addressesBecome = (name: string, wanted: string, plane = cp) =>
  eventually(
    `${name} has ${wanted || "nothing"}`,
    async () => {
      const now = await addresses(name, plane);
      if (now !== wanted) throw new Error(`it has ${now || "nothing"}`);
      return true;
    },
    20_000,
  );
interface Source {
  readonly name: string;
  readonly state: string;
  readonly ageSeconds: number;
  readonly services: number;
  readonly held: { readonly absent: number };
}
const source = async (plane = cp): Promise<Source> => {
  const { items } = (await plane.api("GET", "/v1/registries")) as { items: readonly Source[] };
  return items.find(({ name }) => name === "kubernetes") as Source;
};
const stateBecomes = (wanted: string, plane = cp) =>
  eventually(
    `the cluster is ${wanted}`,
    async () => {
      const found = await source(plane);
      return found.state === wanted ? found : undefined;
    },
    20_000,
  );
const findings = async (
  plane = cp,
): Promise<readonly { code: string; level: string; message: string; file: string }[]> =>
  (
    (await plane.api("GET", "/v1/analyze")) as {
      items: readonly { code: string; level: string; message: string; file: string }[];
    }
  ).items;
const found = (code: string, text: string, plane = cp) =>
  eventually(`${code} ${text}`, async () =>
    (await findings(plane)).find((one) => one.code === code && `${one.file} ${one.message}`.includes(text)),
  );

/** Every kind by itself, which finds the server again in its own time. */
const allHeard = () =>
  eventually(
    "all kinds are followed again",
    async () => (await findings()).every(({ code }) => code !== "WF2158") || undefined,
    20_000,
  );

test("services, slices, pods and nodes become endpoints, and every change of them takes effect", async () => {
  await cluster.apply("/api/v1/nodes", {
    metadata: {
      name: "node-1",
      labels: { "topology.kubernetes.io/region": "north", "topology.kubernetes.io/zone": "n1" },
    },
  });
  await service("catalog");
  await pod("catalog-1", { app: "catalog", version: "v1" });
  await slice("catalog", "catalog-a", [{ ip: "10.1.0.1", pod: "catalog-1" }]);
  await addressesBecome("catalog", "10.1.0.1");
  const [first] = await endpoints("catalog");
  assert.equal(first?.port, 8080);
  assert.equal(first?.labels.version, "v1");
  assert.equal(first?.serviceAccount, "robot");
  assert.match(first?.locality ?? "", /^north\/n1/);

  await pod("catalog-2", { app: "catalog" });
  await slice("catalog", "catalog-b", [
    { ip: "10.1.0.2", pod: "catalog-2", conditions: { ready: false, serving: true, terminating: true } },
    { ip: "10.1.0.3", pod: "catalog-2", conditions: { ready: false } },
  ]);
  await addressesBecome("catalog", "10.1.0.1 10.1.0.2 10.1.0.3");
  const health = new Map((await endpoints("catalog")).map((one) => [one.address, one.health]));
  assert.deepEqual([...health].sort(), [
    ["10.1.0.1", "healthy"],
    ["10.1.0.2", "draining"],
    ["10.1.0.3", "unhealthy"],
  ]);

  await cluster.delete(`${slicesPath}/catalog-b`);
  await addressesBecome("catalog", "10.1.0.1");
  await cluster.delete(`${core}/services/catalog`);
  await addressesBecome("catalog", "");
});

test("Endpoints count where there is no slice, and only there", async () => {
  await service("legacy");
  const subsets = [{ addresses: [{ ip: "10.2.0.1" }], ports: [{ name: "http", port: 8080 }] }];
  await cluster.apply(`${core}/endpoints`, { metadata: { name: "legacy" }, subsets });
  await addressesBecome("legacy", "10.2.0.1");
  await slice("legacy", "legacy-a", [{ ip: "10.2.0.2" }]);
  await addressesBecome("legacy", "10.2.0.2");
});

test("a slice that comes before its pod waits for it, and a pod that never comes is reported and not waited for", async () => {
  await service("early");
  await slice("early", "early-a", [{ ip: "10.3.0.1", pod: "early-1" }]);
  await found("WF2155", "wait for what the pods say");
  assert.equal(await addresses("early"), "");
  await pod("early-1", { app: "early", version: "v9" });
  await addressesBecome("early", "10.3.0.1");
  assert.equal((await endpoints("early"))[0]?.labels.version, "v9");

  await service("never");
  await slice("never", "never-a", [{ ip: "10.3.0.2", pod: "never-1" }]);
  await addressesBecome("never", "10.3.0.2");
  await found("WF2155", "shop/never-1");
  await cluster.delete(`${slicesPath}/never-a`);
  await cluster.delete(`${core}/pods/early-1?gracePeriodSeconds=0`);
  await service("early-after");
  await slice("early-after", "early-after-a", [{ ip: "10.3.0.9" }]);
  await addressesBecome("early-after", "10.3.0.9");
  assert.equal((await endpoints("early"))[0]?.labels.version, "v9", "the slice still has it, so it stays whole");
});

test("a sidecar calls what the cluster names, by the route the cluster has, and goes on when the API server dies", async () => {
  await using one = await startEchoServer("one", 0, hostAddress);
  await using two = await startEchoServer("two", 0, hostAddress);
  await using web = await startSidecar(cp, { name: "web" });
  await service("front");
  await service("other");
  await slice("front", "front-a", [{ ip: hostAddress }], one.port);
  await slice("other", "other-a", [{ ip: hostAddress }], two.port);
  const host = "front.shop.svc.cluster.local";
  const answers = (name: string) =>
    eventually(
      `${name} answers`,
      async () => {
        const { status, body } = await callHttp(web.outbound, { host });
        return status === 200 && JSON.parse(body).name === name ? true : undefined;
      },
      // A server that has just begun serves definitions later than itself.
      60_000,
    );
  await answers("one");
  const route = (name: string, to: string) =>
    cluster.apply(virtualServices, {
      ...{ apiVersion: "networking.istio.io/v1", kind: "VirtualService", metadata: { name } },
      spec: { hosts: [to], http: [{ route: [{ destination: { host: "other.shop.svc.cluster.local" } }] }] },
    });
  // A server that has just begun may have no history to watch from, and of a list that lacks most nothing is believed.
  for (const name of ["beside", "beyond"]) await route(name, `${name}.example`);
  await route("front", host);
  await answers("two");

  await cluster.kill();
  await stateBecomes("lost");
  await eventually("it ages", async () => (await source()).ageSeconds > 0.5 || undefined);
  await found("WF2158", "out of reach");
  await answers("two");
  await cluster.restart();
  assert.equal((await stateBecomes("live")).ageSeconds, 0);
  await answers("two");
  await allHeard();
  await cluster.delete(`${virtualServices}/front`);
  await answers("one");
});

test("an object that cannot be used is reported by name, keeps its last good form, and harms nobody", async () => {
  const route = (hosts: readonly string[], more: object = {}) => ({
    ...{ apiVersion: "networking.istio.io/v1", kind: "VirtualService", metadata: { name: "odd" } },
    spec: { hosts, http: [{ route: [{ destination: { host: "front" }, weight: 100 }], ...more }] },
  });
  // Kubernetes itself would refuse it with the definitions as they are.
  const definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
  const definition = (await cluster.api.call({
    method: "GET",
    path: `${definitions}/virtualservices.networking.istio.io`,
  })) as KubernetesObject & { readonly spec: { readonly versions: readonly object[] } };
  const open = { openAPIV3Schema: { type: "object", "x-kubernetes-preserve-unknown-fields": true } };
  const versions = definition.spec.versions.map((version) => ({ ...version, schema: open }));
  const { name } = definition.metadata;
  await cluster.apply(definitions, { metadata: { name }, spec: { ...definition.spec, versions } });
  await cluster.apply(virtualServices, route(["good.example"]));
  const stored = () => cp.api("GET", "/v1/config/virtualservice/shop/odd") as Promise<{ spec: { hosts: string[] } }>;
  await eventually("it is there", async () => (await stored()).spec.hosts[0] === "good.example" || undefined);
  await eventually("the definition takes anything", () =>
    cluster.apply(virtualServices, route(["bad.example"], { timeout: "soon" })),
  );
  const refused = await found("WF2154", "kubernetes test-cluster/VirtualService/shop/odd");
  assert.equal(refused.level, "warning");
  assert.equal((await stored()).spec.hosts[0], "good.example");
  // While a definition changes, a watch may still be served by the former one, which drops what it does not know.
  let attempt = 0;
  const told = await eventually("the field is told", async () => {
    await cluster.apply(virtualServices, route(["new.example"], { somethingNew: attempt++ }));
    return (await findings()).find(({ code, message }) => code === unknownField && message.includes("somethingNew"));
  });
  assert.equal(told.level, "warning");
  assert.equal((await stored()).spec.hosts[0], "new.example");
});

test("a kind that is defined later is read from then on", async () => {
  await defineKinds(cluster, ["DestinationRule"]);
  await cluster.apply("/apis/networking.istio.io/v1/namespaces/shop/destinationrules", {
    ...{ apiVersion: "networking.istio.io/v1", kind: "DestinationRule", metadata: { name: "late" } },
    spec: { host: "front", trafficPolicy: { loadBalancer: { simple: "RANDOM" } } },
  });
  await eventually("it is read", () => cp.api("GET", "/v1/config/destinationrule/shop/late"), 20_000);
});

test("what may not be read is reported, and all the rest is read", async () => {
  const readable = (group: string, resources: readonly string[]) => ({
    ...{ apiGroups: [group], resources, verbs: ["get", "list", "watch"] },
  });
  const kubeconfig = await cluster.accountKubeconfig({
    ...{ namespace: "shop", name: "limited" },
    rules: [readable("", ["services"]), readable("discovery.k8s.io", ["endpointslices"])],
  });
  await service("limited");
  await slice("limited", "limited-a", [{ ip: "10.4.0.1", pod: "nobody-knows" }]);
  await using plane = await startControlPlane({ args: ["--registry", `kubernetes://?kubeconfig=${kubeconfig}`] });
  await addressesBecome("limited", "10.4.0.1", plane);
  await found("WF2153", "kubernetes test-cluster/Pod", plane);
  await found("WF2153", "kubernetes test-cluster/VirtualService", plane);
  assert.equal((await source(plane)).state, "live");
  assert.equal(
    (await findings(plane)).some(({ code }) => code === "WF2155"),
    false,
  );
});

test("more than two thousand objects come in pages, and a history that was compacted is made good", async () => {
  const names = Array.from({ length: 2_100 }, (_, at) => `bulk-${at}`);
  const create = async (name: string): Promise<void> => {
    const metadata = { name, namespace: "shop" };
    await cluster.api.call({
      ...{ method: "POST", path: `${core}/endpoints` },
      body: { metadata, subsets: [] },
    });
  };
  const queue = [...names];
  await Promise.all(
    Array.from({ length: 8 }, async () => {
      for (let name = queue.pop(); name !== undefined; name = queue.pop()) await create(name);
    }),
  );
  await service("bulk-2099");
  const subsets = [{ addresses: [{ ip: "10.5.0.1" }], ports: [{ name: "http", port: 8080 }] }];
  await cluster.apply(`${core}/endpoints`, { metadata: { name: "bulk-2099" }, subsets });
  await using plane = await startControlPlane({
    args: ["--registry", `kubernetes://?kubeconfig=${cluster.kubeconfig}`],
  });
  await addressesBecome("bulk-2099", "10.5.0.1", plane);
  await addressesBecome("bulk-2099", "10.5.0.1");

  await cluster.kill();
  await stateBecomes("lost");
  await cluster.etcd.compact();
  await cluster.restart();
  await stateBecomes("live");
  await slice("bulk-2099", "bulk-a", [{ ip: "10.5.0.2" }]);
  await addressesBecome("bulk-2099", "10.5.0.2");
  await addressesBecome("bulk-2099", "10.5.0.2", plane);
});

test("an API server that comes back with an older state takes no endpoint away; what is deleted there is believed", async () => {
  await service("kept");
  await slice("kept", "kept-a", [{ ip: "10.6.0.1" }]);
  await addressesBecome("kept", "10.6.0.1");
  await cluster.kill();
  await cluster.saveEtcd();
  await cluster.restart();
  await stateBecomes("live");
  await slice("kept", "kept-b", [{ ip: "10.6.0.2" }]);
  await slice("kept", "kept-a", [{ ip: "10.6.0.1" }, { ip: "10.6.0.3" }]);
  await service("newest");
  await slice("newest", "newest-a", [{ ip: "10.6.0.9" }]);
  await addressesBecome("kept", "10.6.0.1 10.6.0.2 10.6.0.3");
  await addressesBecome("newest", "10.6.0.9");

  await cluster.kill();
  await cluster.restoreEtcd();
  await cluster.restart();
  await addressesBecome("kept", "10.6.0.1 10.6.0.2? 10.6.0.3?");
  await addressesBecome("newest", "10.6.0.9?");
  await found("WF2157", "missing from its list");
  assert.ok((await source()).held.absent > 0);
  await cluster.delete(`${slicesPath}/kept-a`);
  await addressesBecome("kept", "10.6.0.2?");
});

test("a control plane that starts while the API server is away has what it knew, and takes over what comes", async () => {
  const folder = cp.folder;
  const before = await addresses("kept");
  await cluster.kill();
  await stateBecomes("lost");
  await using _old = { [Symbol.asyncDispose]: async () => {} };
  cp.program.kill("SIGTERM");
  await cp.program.exited;
  const args = ["--registry", `kubernetes://?kubeconfig=${cluster.kubeconfig}`];
  await using plane = await startControlPlane({ folder, args });
  assert.ok((await addresses("legacy", plane)).includes("10.2.0.2"));
  assert.ok(before.length > 0);
  await eventually("its view has an age", async () => (await source(plane)).ageSeconds > 0 || undefined);
  await cluster.restart();
  await stateBecomes("live", plane);
  await slice("legacy", "legacy-a", [{ ip: "10.2.0.7" }]);
  await eventually(
    "the change is seen",
    async () => (await addresses("legacy", plane)).includes("10.2.0.7") || undefined,
    20_000,
  );
});
