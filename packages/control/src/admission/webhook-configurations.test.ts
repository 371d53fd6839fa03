import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { silentLogger } from "@weft/core/world";
import type { KubernetesCall } from "@weft/net/kubernetes/kubernetes-api";
import { KubernetesError } from "@weft/net/kubernetes/kubernetes-error";
import { createRootCertificates, namespacesPerRound } from "./root-certificates.ts";
import { configurationNames, keepWebhooks, planBundle, planStrict } from "./webhook-configurations.ts";

const root = "-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----\n";
const bundle = Buffer.from(root).toString("base64");
const configuration = (...webhooks: readonly object[]) => ({ metadata: { resourceVersion: "5" }, webhooks });
const names = configurationNames("default", "istio-system");

/** Answers by `METHOD PATH`; what is not there is not found. */
const fakeApi = (answers: ReadonlyMap<string, unknown>) => {
  const calls: KubernetesCall[] = [];
  const call = async (asked: KubernetesCall): Promise<unknown> => {
    calls.push(asked);
    const answer = answers.get(`${asked.method} ${asked.path}`);
    if (answer instanceof Error) throw answer;
    if (answer === undefined) throw new KubernetesError(404, "NotFound", "it is not there");
    return answer;
  };
  const changes = () => calls.filter(({ method }) => method !== "GET").map(({ method, path }) => `${method} ${path}`);
  return { call, calls, changes };
};
const group = "/apis/admissionregistration.k8s.io/v1";
const validating = `${group}/validatingwebhookconfigurations/${names.validating}`;
const mutating = `${group}/mutatingwebhookconfigurations/${names.mutating}`;
const probe = "POST /apis/networking.istio.io/v1/namespaces/istio-system/gateways?dryRun=All";
const keep = (api: ReturnType<typeof fakeApi>): Promise<void> =>
  keepWebhooks({
    ...{ read: api.call, write: api.call, names, namespace: "istio-system", revision: "default" },
    ...{ rootPem: () => root, log: silentLogger },
  });
const ignoring = configuration({ name: "v", clientConfig: { caBundle: bundle }, failurePolicy: "Ignore" });
const proved = new KubernetesError(422, "Invalid", 'admission webhook "v" denied the request: WF1005 spec: no servers');

describe("a plan for webhooks", () => {
  test("changes only those that lack the root, for the version that was read", () => {
    const plan = planBundle(
      configuration(
        { name: "a", clientConfig: { caBundle: bundle } },
        { name: "b", clientConfig: { caBundle: "old" } },
        {
          name: "c",
        },
      ),
      root,
    );
    assert.deepEqual(plan, {
      metadata: { resourceVersion: "5" },
      webhooks: [
        { name: "b", clientConfig: { caBundle: bundle } },
        { name: "c", clientConfig: { caBundle: bundle } },
      ],
    });
    assert.equal(planBundle(configuration({ name: "a", clientConfig: { caBundle: bundle } }), root), undefined);
  });
  test("is none for what is no configuration", () => {
    for (const odd of [
      undefined,
      null,
      {},
      { metadata: {}, webhooks: [] },
      configuration({ failurePolicy: "Ignore" }),
    ]) {
      assert.equal(planStrict(odd), undefined);
      assert.equal(planBundle(odd, root), undefined);
    }
  });
  test("knows the names of revisions", () => {
    assert.deepEqual(configurationNames("canary", "mesh"), {
      mutating: "istio-sidecar-injector-canary",
      validating: "istio-validator-canary-mesh",
    });
  });
});

describe("the keeper of webhooks", () => {
  test("turns the validation strict when our own words refused a wrong object", async () => {
    const api = fakeApi(
      new Map<string, unknown>([
        [`GET ${validating}`, ignoring],
        [probe, proved],
        [`PATCH ${validating}`, {}],
      ]),
    );
    await keep(api);
    assert.deepEqual(api.changes(), [probe, `PATCH ${validating}`]);
    assert.deepEqual(api.calls.at(-1)?.body, {
      metadata: { resourceVersion: "5" },
      webhooks: [{ name: "v", failurePolicy: "Fail" }],
    });
  });
  test("leaves it lenient where the object was taken, or refused by anybody else", async () => {
    for (const answer of [
      {},
      new KubernetesError(422, "Invalid", "Gateway is invalid: spec.servers: Required value"),
      new KubernetesError(422, "Invalid", 'admission webhook "other" denied the request: no gateways on Fridays'),
      new KubernetesError(500, "InternalError", 'failed calling webhook "v": connection refused'),
      new KubernetesError(403, "Forbidden", "gateways is forbidden"),
      new KubernetesError(0, "Timeout", "no answer"),
    ]) {
      const api = fakeApi(
        new Map<string, unknown>([
          [`GET ${validating}`, ignoring],
          [probe, answer],
        ]),
      );
      await keep(api);
      assert.ok(!api.changes().includes(`PATCH ${validating}`), String(answer));
    }
  });
  test("tries nothing where all is as it should be", async () => {
    const strict = configuration({ name: "v", clientConfig: { caBundle: bundle }, failurePolicy: "Fail" });
    const api = fakeApi(
      new Map([
        [`GET ${validating}`, strict],
        [`GET ${mutating}`, strict],
      ]),
    );
    await keep(api);
    assert.deepEqual(api.changes(), []);
  });
  test("one that may not be changed does not keep the other from its root", async () => {
    const bare = configuration({ name: "v", clientConfig: {}, failurePolicy: "Fail" });
    const api = fakeApi(
      new Map<string, unknown>([
        [`GET ${mutating}`, bare],
        [`PATCH ${mutating}`, new KubernetesError(403, "Forbidden", "no")],
        [`GET ${validating}`, bare],
        [`PATCH ${validating}`, { ...bare, metadata: { resourceVersion: "6" } }],
      ]),
    );
    await keep(api);
    assert.deepEqual(api.changes(), [`PATCH ${mutating}`, `PATCH ${validating}`]);
  });
});

describe("the mesh's root in namespaces", () => {
  const path = (namespace: string): string => `/api/v1/namespaces/${namespace}/configmaps`;
  const rounds = (api: ReturnType<typeof fakeApi>, namespaces: readonly string[], rootPem = () => root) =>
    createRootCertificates({
      ...{ read: api.call, write: api.call, namespaces: () => namespaces, rootPem },
      ...{ clock: { nowMs: () => 0, wallMs: () => 0 }, log: silentLogger },
    });
  test("is created where it lacks, put right where it differs, and left alone where it is right", async () => {
    const api = fakeApi(
      new Map<string, unknown>([
        [`POST ${path("new")}`, {}],
        [`GET ${path("old")}/istio-ca-root-cert`, { data: { "root-cert.pem": "former", theirs: "x" } }],
        [`PATCH ${path("old")}/istio-ca-root-cert`, {}],
        [`GET ${path("right")}/istio-ca-root-cert`, { data: { "root-cert.pem": root } }],
      ]),
    );
    const round = rounds(api, ["new", "old", "right", "kube-system"]);
    await round();
    assert.deepEqual(api.changes(), [`POST ${path("new")}`, `PATCH ${path("old")}/istio-ca-root-cert`]);
    const before = api.calls.length;
    await round();
    assert.equal(api.calls.length, before);
  });
  test("goes everywhere anew when it changes", async () => {
    let current = root;
    const api = fakeApi(
      new Map<string, unknown>([
        [`GET ${path("a")}/istio-ca-root-cert`, { data: { "root-cert.pem": root } }],
        [`PATCH ${path("a")}/istio-ca-root-cert`, {}],
      ]),
    );
    const round = rounds(api, ["a"], () => current);
    await round();
    current = "another";
    await round();
    assert.deepEqual(api.changes(), [`PATCH ${path("a")}/istio-ca-root-cert`]);
  });
  test("takes many namespaces a part at a time, and one that goes harms no other", async () => {
    const many = Array.from({ length: namespacesPerRound + 10 }, (_, index) => `n${index}`);
    const api = fakeApi(new Map(many.slice(1).map((name) => [`POST ${path(name)}`, {}] as const)));
    const round = rounds(api, many);
    await round();
    assert.equal(api.changes().length, namespacesPerRound);
    await round();
    assert.equal(new Set(api.changes()).size, many.length);
  });
});
