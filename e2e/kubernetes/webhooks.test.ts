/** The real API server asks our webhooks: pods get sidecars, wrong objects are refused, once proved without exception. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { KubernetesError } from "@weft/net/kubernetes/kubernetes-error";
import { eventually } from "@weft/testkit/eventually";
import {
  type ClusterPlane,
  defineKinds,
  makeNamespace,
  registeredWebhook,
  registerWebhooks,
  startClusterPlane,
  systemNamespace,
} from "./cluster-parts.ts";
import { type RealApiServer, startApiServer } from "./real-api-server.ts";
import { runWeft } from "./run-weft.ts";

const sidecarImage = "registry.example/weft:7";
const stack = new AsyncDisposableStack();
let cluster: RealApiServer;
let plane: ClusterPlane;
before(async () => {
  cluster = stack.use(await startApiServer());
  await defineKinds(cluster, ["VirtualService", "Gateway"]);
  await makeNamespace(cluster, systemNamespace);
  await makeNamespace(cluster, "shop", { "istio-injection": "enabled" });
  plane = stack.use(await startClusterPlane(cluster.kubeconfig, ["--sidecar-image", sidecarImage]));
  await registerWebhooks(cluster, plane.webhook);
});
after(() => stack.disposeAsync());

const pod = (name: string, metadata: object = {}) => ({
  ...{ apiVersion: "v1", kind: "Pod", metadata: { name, ...metadata } },
  // Nobody else sets the account here.
  spec: {
    serviceAccountName: "default",
    containers: [{ name: "app", image: "shop/app:1", ports: [{ containerPort: 8080 }] }],
  },
});
const pods = "/api/v1/namespaces/shop/pods";
const services = "/apis/networking.istio.io/v1/namespaces/shop/virtualservices";
const virtualService = (name: string, timeout: string, metadata: object = {}) => ({
  ...{ apiVersion: "networking.istio.io/v1", kind: "VirtualService", metadata: { name, ...metadata } },
  spec: { hosts: ["app"], http: [{ timeout, route: [{ destination: { host: "app" } }] }] },
});
const refusal = async (path: string, body: object): Promise<KubernetesError> => {
  try {
    await cluster.api.call({ method: "POST", path, body });
  } catch (error) {
    assert.ok(error instanceof KubernetesError, String(error));
    return error;
  }
  assert.fail(`${JSON.stringify(body)} was taken`);
};
const isStrict = () =>
  eventually(
    "validation is proved",
    async () => (await registeredWebhook(cluster, "validating"))?.failurePolicy === "Fail" || undefined,
    30_000,
  );

interface Container {
  readonly name: string;
  readonly image: string;
  readonly resources?: unknown;
}
interface PodSpec {
  readonly containers: readonly Container[];
  readonly initContainers?: readonly Container[];
  readonly affinity?: unknown;
}
interface Template {
  readonly metadata: object;
  readonly spec: PodSpec;
}
interface Workload {
  readonly spec: { readonly template: Template };
}
const containersOf = ({ containers, initContainers = [] }: PodSpec): readonly Container[] => [
  ...initContainers,
  ...containers,
];
const proxyOf = (spec: PodSpec): Container =>
  containersOf(spec).find(({ name }) => name === "istio-proxy") ?? assert.fail("there is no proxy");
const plainSpec: PodSpec = { containers: [{ name: "planner", image: "shop/planner:1" }] };

const planner = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: planner, namespace: quiet}
spec:
  replicas: 3
  selector: {matchLabels: {app: planner}}
  template:
    metadata: {labels: {app: planner}}
    spec:
      containers:
        - name: planner
          image: shop/planner:1
          args: [serve, "--metrics=:9100", --zone, north]
          ports: [{containerPort: 8080}, {containerPort: 9090}, {containerPort: 9100}]
`;
/** Only what it changes of another: it has no containers. */
const plannerPlaces = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: planner, namespace: quiet}
spec:
  template:
    metadata: {labels: {app: planner}}
    spec:
      affinity:
        podAntiAffinity:
          preferredDuringSchedulingIgnoredDuringExecution:
            - weight: 100
              podAffinityTerm:
                labelSelector: {matchExpressions: [{key: app, operator: In, values: [planner]}]}
                topologyKey: kubernetes.io/hostname
`;
const injectorValues = JSON.stringify({
  ...{ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "istio-sidecar-injector" } },
  data: {
    values: "global: {proxy: {resources: {requests: {cpu: 50m, memory: 64Mi}, limits: {cpu: 3000m, memory: 700Mi}}}}",
  },
});

describe("the webhooks of a control plane", () => {
  test("are given the root that signs their certificate, turned strict once a wrong Gateway was refused", async () => {
    await isStrict();
    const root = readFileSync(plane.rootCertFile).toString("base64");
    for (const kind of ["mutating", "validating"] as const) {
      assert.equal((await registeredWebhook(cluster, kind))?.clientConfig.caBundle, root);
    }
    const tried = `/apis/networking.istio.io/v1/namespaces/${systemNamespace}/gateways`;
    assert.deepEqual(((await cluster.api.call({ method: "GET", path: tried })) as { items: unknown[] }).items, []);
  });

  test("are told anew when somebody takes the root away", async () => {
    await isStrict();
    await registerWebhooks(cluster, plane.webhook);
    assert.equal((await registeredWebhook(cluster, "mutating"))?.clientConfig.caBundle, undefined);
    await isStrict();
    assert.notEqual((await registeredWebhook(cluster, "mutating"))?.clientConfig.caBundle, undefined);
  });

  test("inject the pod that is stored", async () => {
    await isStrict();
    const stored = (await cluster.api.call({ method: "POST", path: pods, body: pod("web") })) as {
      readonly metadata: { readonly annotations: Readonly<Record<string, string>> };
      readonly spec: Readonly<Record<"containers" | "initContainers", readonly { readonly name: string }[]>>;
    };
    const names = [...stored.spec.initContainers, ...stored.spec.containers].map(({ name }) => name);
    assert.ok(names.includes("istio-proxy") && names.includes("app"), names.join());
    assert.ok(stored.metadata.annotations["sidecar.istio.io/status"]);
  });

  test("make of a workload's pods what weft inject makes of its template, with the values of the ConfigMap", async () => {
    await isStrict();
    await cluster.apply(`/api/v1/namespaces/${systemNamespace}/configmaps`, JSON.parse(injectorValues));
    await cluster.apply("/api/v1/namespaces", { metadata: { name: "quiet" } });
    const written = (name: string, text: string): string => {
      const path = join(cluster.folder, name);
      writeFileSync(path, text);
      return path;
    };
    const files = ["-f", written("base.yaml", planner), "-f", written("layer.yaml", plannerPlaces)];
    const values = ["--values", written("values.json", injectorValues)];
    const done = await runWeft(["inject", ...files, ...values, "--image", sidecarImage, "-o", "json"]);
    assert.equal(done.code, 0, done.err);
    assert.match(done.err, /planner is left as it is: it has no containers/);
    const { items } = JSON.parse(done.out) as { readonly items: readonly [Workload, Workload] };
    for (const [manager, body] of [
      ["base", items[0]],
      ["layer", items[1]],
    ] as const)
      await cluster.api.call({
        ...{ method: "PATCH", body, contentType: "application/apply-patch+yaml" },
        path: `/apis/apps/v1/namespaces/quiet/deployments/planner?fieldManager=${manager}&fieldValidation=Strict`,
      });
    const stored = (await cluster.api.call({
      ...{ method: "GET", path: "/apis/apps/v1/namespaces/quiet/deployments/planner" },
    })) as Workload;
    const { template } = stored.spec;
    assert.ok(template.spec.affinity, "the layer is laid over");
    assert.deepEqual(proxyOf(template.spec).resources, {
      limits: { cpu: "3", memory: "700Mi" },
      requests: { cpu: "50m", memory: "64Mi" },
    });
    // As a controller makes pods of it: injected once, and not again.
    const made = (namespace: string, { metadata, spec }: Template) =>
      cluster.api.call({
        ...{ method: "POST", path: `/api/v1/namespaces/${namespace}/pods?fieldValidation=Strict&dryRun=All` },
        body: { metadata: { ...metadata, name: "planner-1" }, spec: { ...spec, serviceAccountName: "default" } },
      }) as Promise<Template>;
    const injectedBefore = await made("quiet", template);
    assert.equal(proxyOf(injectedBefore.spec).name, "istio-proxy");
    const again = await made("shop", template);
    assert.equal(containersOf(again.spec).filter(({ name }) => name === "istio-proxy").length, 1);
    await eventually("the webhook has the values", async () => {
      const { spec } = await made("shop", { metadata: { labels: { app: "planner" } }, spec: plainSpec });
      assert.deepEqual(proxyOf(spec).resources, proxyOf(template.spec).resources);
      assert.equal(proxyOf(spec).image, sidecarImage, "the ConfigMap says nothing of the image");
      return true;
    });
  });

  test("leave a pod alone that says so, and store nothing of a dry run", async () => {
    const labels = { "sidecar.istio.io/inject": "false" };
    const left = (await cluster.api.call({ method: "POST", path: pods, body: pod("plain", { labels }) })) as {
      readonly spec: { readonly containers: readonly unknown[] };
    };
    assert.equal(left.spec.containers.length, 1);
    const tried = (await cluster.api.call({ method: "POST", path: `${pods}?dryRun=All`, body: pod("tried") })) as {
      readonly spec: { readonly initContainers?: readonly unknown[]; readonly containers: readonly unknown[] };
    };
    assert.ok((tried.spec.initContainers ?? []).length + tried.spec.containers.length > 1);
    await assert.rejects(cluster.api.call({ method: "GET", path: `${pods}/tried` }), { status: 404 });
  });

  test("refuse a wrong object with its code and field, and take it put right", async () => {
    await isStrict();
    const { message } = await refusal(services, virtualService("app", "5 s"));
    assert.match(message, /denied the request: WF1006 spec\.http\[0\]\.timeout: .*"5 s"/);
    await cluster.api.call({ method: "POST", path: services, body: virtualService("app", "5s") });
    const { message: changed } = await cluster.api
      .call({
        method: "PATCH",
        path: `${services}/app`,
        body: { spec: virtualService("app", "6 s").spec },
        contentType: "application/merge-patch+json",
      })
      .then(
        () => assert.fail("a change to a wrong object was taken"),
        (error: Error) => error,
      );
    assert.match(changed, /WF\d{4} spec/);
  });

  test("let through what is for another revision", async () => {
    const labels = { "istio.io/rev": "other" };
    await cluster.api.call({ method: "POST", path: services, body: virtualService("other", "5 s", { labels }) });
  });

  test("let nothing past them while they are away, and take again when they are back", async () => {
    await isStrict();
    plane.program.kill("SIGSTOP");
    try {
      const { message, status } = await refusal(`${services}?timeout=12s`, virtualService("late", "5s"));
      assert.ok(status >= 400 && /failed calling webhook|timeout|context deadline/i.test(message), message);
    } finally {
      plane.program.kill("SIGCONT");
    }
    await eventually("objects are taken again", () =>
      cluster.api.call({ method: "POST", path: services, body: virtualService("late", "5s") }),
    );
  });

  test("put the mesh's root into every namespace", async () => {
    const path = "/api/v1/namespaces/shop/configmaps/istio-ca-root-cert";
    const { data } = (await eventually("the root is there", () => cluster.api.call({ method: "GET", path }))) as {
      readonly data: Readonly<Record<string, string>>;
    };
    assert.equal(data["root-cert.pem"], readFileSync(plane.rootCertFile, "utf8"));
  });
});
