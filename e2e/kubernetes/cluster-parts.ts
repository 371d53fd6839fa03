/** What tests of a control plane in a cluster share: definitions of kinds, webhook configurations, a control plane. */
import { definedKinds, kindCrd } from "@weft/config/crds/crds";
import { startControlPlane, type TestControlPlane } from "@weft/testkit/control-plane";
import { eventually } from "@weft/testkit/eventually";
import type { KubernetesObject, RealApiServer } from "./real-api-server.ts";

export const systemNamespace = "istio-system";

/** Defines those kinds, and waits until they are served. */
export const defineKinds = async (cluster: RealApiServer, names: readonly string[]): Promise<void> => {
  for (const kind of definedKinds.filter(({ name }) => names.includes(name))) {
    const definition = kindCrd(kind) as unknown as KubernetesObject;
    await cluster.apply("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition);
    const path = `/apis/${kind.group}/${kind.versions[0]}/${kind.plural}`;
    await eventually(`${kind.name} is served`, () => cluster.api.call({ method: "GET", path }));
  }
};

export const makeNamespace = (cluster: RealApiServer, name: string, labels: Readonly<Record<string, string>> = {}) =>
  cluster.apply("/api/v1/namespaces", { apiVersion: "v1", kind: "Namespace", metadata: { name, labels } });

export interface ClusterPlane extends TestControlPlane {
  /** Of its webhooks. */
  readonly webhook: string;
}

/** A control plane that reads the cluster, writes to it, and has webhooks. */
export const startClusterPlane = async (kubeconfig: string, args: readonly string[] = []): Promise<ClusterPlane> => {
  const plane = await startControlPlane({
    args: [
      ...["--registry", `kubernetes://?kubeconfig=${kubeconfig}`, "--kubernetes-writer"],
      ...["--webhook-address", "127.0.0.1:0", ...args],
    ],
  });
  const [, webhook = ""] = await plane.program.waitFor(/\bwebhook=(\S+)/);
  return Object.assign(plane, { webhook });
};

const webhook = (name: string, url: string, rule: object, more: object) => ({
  ...{ name, clientConfig: { url }, rules: [rule], admissionReviewVersions: ["v1"] },
  ...{ sideEffects: "None", timeoutSeconds: 10, ...more },
});

const registration = "/apis/admissionregistration.k8s.io/v1";

/** Has the API server ask that control plane. Nobody says yet who signed its certificate. */
export const registerWebhooks = async (cluster: RealApiServer, address: string): Promise<void> => {
  const pods = { operations: ["CREATE"], apiGroups: [""], apiVersions: ["v1"], resources: ["pods"] };
  const objects = {
    operations: ["CREATE", "UPDATE"],
    apiGroups: ["networking.istio.io", "security.istio.io"],
    ...{ apiVersions: ["*"], resources: ["*"] },
  };
  const enabled = { namespaceSelector: { matchLabels: { "istio-injection": "enabled" } }, failurePolicy: "Fail" };
  await cluster.apply(`${registration}/mutatingwebhookconfigurations`, {
    metadata: { name: "istio-sidecar-injector" },
    webhooks: [webhook("namespace.sidecar-injector.istio.io", `https://${address}/inject`, pods, enabled)],
  });
  await cluster.apply(`${registration}/validatingwebhookconfigurations`, {
    metadata: { name: `istio-validator-${systemNamespace}` },
    webhooks: [webhook("rev.validation.istio.io", `https://${address}/validate`, objects, { failurePolicy: "Ignore" })],
  });
};

interface Registered {
  readonly webhooks: readonly {
    readonly failurePolicy: string;
    readonly clientConfig: { readonly caBundle?: string };
  }[];
}

export const registeredWebhook = async (cluster: RealApiServer, kind: "mutating" | "validating") => {
  const name = kind === "mutating" ? "istio-sidecar-injector" : `istio-validator-${systemNamespace}`;
  const path = `${registration}/${kind}webhookconfigurations/${name}`;
  return ((await cluster.api.call({ method: "GET", path })) as Registered).webhooks[0];
};

export interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason: string;
  readonly message: string;
  readonly observedGeneration: number;
  readonly lastTransitionTime: string;
}
export interface WithStatus extends KubernetesObject {
  readonly status?: {
    readonly conditions?: readonly Condition[];
    readonly validationMessages?: readonly { readonly type: { readonly code: string }; readonly level: string }[];
    readonly observedGeneration?: number;
  };
}

/** Of the object at that path. */
export const conditionsOf = async (cluster: RealApiServer, path: string): Promise<ReadonlyMap<string, Condition>> => {
  const { status } = (await cluster.api.call({ method: "GET", path })) as WithStatus;
  return new Map((status?.conditions ?? []).map((condition) => [condition.type, condition]));
};
