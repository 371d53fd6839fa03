/** What `weft install` makes, put into a real API server by itself, and what users have there afterwards. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { customResourceDefinitions } from "@weft/config/crds/crds";
import { injectPod } from "@weft/config/inject/inject-pod";
import { defaultInjectorValues } from "@weft/config/inject/injector-values";
import { jsonPatch } from "@weft/config/inject/json-patch";
import { eventually } from "@weft/testkit/eventually";
import { makeNamespace } from "./cluster-parts.ts";
import { type RealApiServer, startApiServer } from "./real-api-server.ts";
import { runWeft } from "./run-weft.ts";
import { samples } from "./samples.ts";

let cluster: RealApiServer;
before(async () => {
  cluster = await startApiServer();
  const done = await runWeft(["install", "--kubeconfig", cluster.kubeconfig, "--set", "networkPolicy=true"]);
  assert.equal(done.code, 0, done.err);
  await makeNamespace(cluster, "quiet", { "istio-injection": "disabled" });
});
after(async () => cluster?.[Symbol.asyncDispose]());

type Json = Readonly<Record<string, unknown>>;
const crdPath = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

interface Condition {
  readonly type: string;
  readonly status: string;
  readonly message: string;
}

test("every definition is established, its names are accepted, and it is structural", async () => {
  for (const definition of customResourceDefinitions()) {
    const { name } = definition.metadata as { readonly name: string };
    const conditions = await eventually(`${name} is established`, async () => {
      const found = (await cluster.api.call({ method: "GET", path: `${crdPath}/${name}` })) as {
        readonly status?: { readonly conditions?: readonly Condition[] };
      };
      const list = found.status?.conditions ?? [];
      return list.some(({ type, status }) => type === "Established" && status === "True") ? list : undefined;
    });
    const wrong = conditions.filter(({ type, status }) =>
      type === "NonStructuralSchema" ? status === "True" : status !== "True",
    );
    assert.deepEqual(wrong, [], name);
  }
});

test("installing again changes nothing and is accepted", async () => {
  const again = await runWeft(["install", "--kubeconfig", cluster.kubeconfig, "--set", "networkPolicy=true"]);
  assert.deepEqual([again.code, again.out.split("\n").filter(Boolean).length > 30], [0, true], again.err);
});

test("installing again leaves the replicas that an autoscaler added", async () => {
  const path = "/apis/apps/v1/namespaces/istio-system/deployments/istiod";
  const scaledTo = async (replicas: number): Promise<unknown> => {
    const contentType = "application/merge-patch+json";
    await cluster.api.call({ method: "PATCH", path: `${path}/scale`, body: { spec: { replicas } }, contentType });
    assert.equal((await runWeft(["install", "--kubeconfig", cluster.kubeconfig])).code, 0);
    return ((await cluster.api.call({ method: "GET", path })) as { spec: { replicas: unknown } }).spec.replicas;
  };
  assert.deepEqual([await scaledTo(7), await scaledTo(40), await scaledTo(1)], [7, 10, 3]);
});

test("another revision stands beside the first", async () => {
  const flags = ["--revision", "canary", "--set", "store=etcd://etcd.db:2379/weft,injectByDefault=true"];
  const { code, err } = await runWeft(["install", "--kubeconfig", cluster.kubeconfig, ...flags]);
  assert.equal(code, 0, err);
});

interface DefinitionSpec {
  readonly group: string;
  readonly names: { readonly kind: string; readonly plural: string };
  readonly versions: readonly { readonly name: string }[];
}
const specs = customResourceDefinitions().map(({ spec }) => spec as DefinitionSpec);
const specOf = ({ apiVersion, kind }: Json): DefinitionSpec => {
  const found = specs.find(({ group, names }) => String(apiVersion).startsWith(`${group}/`) && names.kind === kind);
  assert.ok(found, `${String(apiVersion)} ${String(kind)}`);
  return found;
};
const create = (object: Json, apiVersion = String(object.apiVersion)): Promise<unknown> =>
  cluster.api.call({
    method: "POST",
    path: `/apis/${apiVersion}/namespaces/default/${specOf(object).names.plural}?fieldValidation=Strict&dryRun=All`,
    body: { ...object, apiVersion },
  });

test("objects as users of Istio write them are accepted in every version, with no field unknown", async () => {
  for (const sample of samples) {
    const { group, versions } = specOf(sample);
    for (const { name } of versions) await create(sample, `${group}/${name}`);
  }
});

test("a misspelt field, a wrong type and an unknown word are refused by the definitions alone", async () => {
  const host = { apiVersion: "networking.istio.io/v1", kind: "DestinationRule", metadata: { name: "wrong" } };
  for (const [spec, problem] of [
    [{ host: "a", trafficPolice: {} }, /unknown field "spec\.trafficPolice"/],
    [{ host: 5 }, /must be of type string/],
    [{ host: "a", trafficPolicy: { loadBalancer: { simple: "SOMETIMES" } } }, /Unsupported value/],
  ] as const)
    await assert.rejects(create({ ...host, spec }), problem);
});

/** Nobody answers for the webhooks here, so pods are where none is asked. */
const podPath = "/api/v1/namespaces/quiet/pods?fieldValidation=Strict&dryRun=All";
const pod: Json = {
  ...{ apiVersion: "v1", kind: "Pod", metadata: { name: "web", labels: { app: "web" } } },
  spec: {
    // The plugin that would set it is not on here.
    serviceAccountName: "default",
    initContainers: [{ name: "migrate", image: "example/migrate" }],
    containers: [
      {
        ...{ name: "web", image: "example/web", ports: [{ name: "http", containerPort: 8080 }] },
        readinessProbe: { httpGet: { path: "/ready", port: "http" } },
        livenessProbe: { grpc: { port: 9000 } },
        lifecycle: { preStop: { httpGet: { path: "/bye", port: "http" } } },
      },
    ],
  },
};

test("injected pods are accepted as they are, native and classic, with every annotation", async () => {
  const ways: readonly Readonly<Record<string, string>>[] = [
    {},
    { "proxy.istio.io/config": "holdApplicationUntilProxyStarts: true" },
    { "sidecar.istio.io/interceptionMode": "TPROXY", "sidecar.istio.io/proxyCPU": "100m" },
    { "sidecar.istio.io/interceptionMode": "NONE", "status.sidecar.istio.io/port": "0" },
    {
      "sidecar.istio.io/userVolume": '{"own":{"emptyDir":{}}}',
      "sidecar.istio.io/userVolumeMount": '{"own":{"mountPath":"/own"}}',
      "prometheus.io/scrape": "true",
      "prometheus.io/port": "8080",
    },
  ];
  for (const nativeSidecars of [false, true])
    for (const annotations of ways) {
      const given = { ...pod, metadata: { ...(pod.metadata as Json), annotations } };
      const outcome = injectPod({
        ...{ pod: given, namespace: { name: "default", labels: {} }, values: defaultInjectorValues, nativeSidecars },
      });
      assert.equal(outcome.kind, "injected");
      if (outcome.kind !== "injected") continue;
      const made = (await cluster.api.call({ method: "POST", path: podPath, body: outcome.pod })) as Json;
      assert.equal(made.kind, "Pod");
      // What the server adds of its own is nothing that injection would do again.
      const again = injectPod({
        pod: made,
        namespace: { name: "default", labels: {} },
        values: defaultInjectorValues,
        nativeSidecars,
      });
      assert.equal(again.kind, "left");
    }
});

test("the patch that a webhook sends makes the injected pod of the one that is stored", async () => {
  const plain = { ...pod, metadata: { name: "patched" } };
  const stored = (await cluster.api.call({ method: "POST", path: podPath, body: plain })) as Json;
  const outcome = injectPod({
    pod: stored,
    namespace: { name: "default", labels: {} },
    values: defaultInjectorValues,
    nativeSidecars: true,
  });
  assert.equal(outcome.kind, "injected");
  if (outcome.kind === "injected")
    assert.ok(jsonPatch(stored, outcome.pod).every(({ path }) => /^\/(metadata|spec)\//.test(path)));
});
