/** Webhook configurations: whose pods are injected, and which objects are validated. */
import { definedKinds } from "@weft/config/crds/crds";
import type { Manifest } from "./control-plane-objects.ts";
import type { Fill } from "./fill.ts";
import { commonLabels } from "./labels.ts";

interface Expression {
  readonly key: string;
  readonly operator: "In" | "NotIn" | "Exists" | "DoesNotExist";
  readonly values?: readonly unknown[];
}
const isIn = (key: string, ...values: readonly unknown[]): Expression => ({ key, operator: "In", values });
const notIn = (key: string, ...values: readonly unknown[]): Expression => ({ key, operator: "NotIn", values });
const absent = (key: string): Expression => ({ key, operator: "DoesNotExist" });
const selector = (...matchExpressions: readonly Expression[]) => ({ matchExpressions });

const [injection, revision, inject] = ["istio-injection", "istio.io/rev", "sidecar.istio.io/inject"] as const;
/** Namespaces of the cluster itself are never asked about, so that it starts without us. */
const notSystem = notIn(
  "kubernetes.io/metadata.name",
  ...["kube-system", "kube-public", "kube-node-lease", "local-path-storage"],
);

const webhook = (fill: Fill, name: string, more: Manifest): Manifest => ({
  name,
  clientConfig: {
    service: { name: `istiod${fill.suffix}`, namespace: fill.text("namespace"), path: "/inject", port: 443 },
  },
  rules: [{ operations: ["CREATE"], apiGroups: [""], apiVersions: ["v1"], resources: ["pods"], scope: "Namespaced" }],
  admissionReviewVersions: ["v1"],
  failurePolicy: "Fail",
  sideEffects: "None",
  reinvocationPolicy: "Never",
  timeoutSeconds: 10,
  ...more,
});

/** Each pod is asked about by at most one of them. */
const injectors = (fill: Fill): readonly unknown[] => {
  const rev = fill.text("revision");
  const on = notIn(inject, "false");
  return [
    webhook(fill, "rev.namespace.sidecar-injector.istio.io", {
      namespaceSelector: selector(isIn(revision, rev), absent(injection), notSystem),
      objectSelector: selector(on),
    }),
    webhook(fill, "rev.object.sidecar-injector.istio.io", {
      namespaceSelector: selector(absent(revision), absent(injection), notSystem),
      objectSelector: selector(on, isIn(revision, rev)),
    }),
  ];
};

/** Namespaces and pods that name no revision are the default one's. */
const defaultInjectors = (fill: Fill): readonly unknown[] => [
  webhook(fill, "namespace.sidecar-injector.istio.io", {
    namespaceSelector: selector(isIn(injection, "enabled"), notSystem),
    objectSelector: selector(notIn(inject, "false")),
  }),
  webhook(fill, "object.sidecar-injector.istio.io", {
    namespaceSelector: selector(absent(injection), absent(revision), notSystem),
    objectSelector: selector(isIn(inject, "true"), absent(revision)),
  }),
];

/** Namespaces that say nothing, where everything is injected unless it says otherwise. */
const autoInjector = (fill: Fill): Manifest =>
  webhook(fill, "auto.sidecar-injector.istio.io", {
    namespaceSelector: selector(
      absent(injection),
      absent(revision),
      notSystem,
      notIn("kubernetes.io/metadata.name", fill.text("namespace")),
    ),
    objectSelector: selector(absent(inject), absent(revision)),
  });

const mutating = (fill: Fill): Manifest => ({
  apiVersion: "admissionregistration.k8s.io/v1",
  kind: "MutatingWebhookConfiguration",
  metadata: { name: `istio-sidecar-injector${fill.suffix}`, labels: commonLabels(fill) },
  webhooks: [
    ...injectors(fill),
    ...fill.whenDefault(defaultInjectors(fill)),
    ...fill.when("injectByDefault", [autoInjector(fill)]),
  ],
});

const validating = (fill: Fill): Manifest => ({
  apiVersion: "admissionregistration.k8s.io/v1",
  kind: "ValidatingWebhookConfiguration",
  metadata: {
    name: `istio-validator${fill.suffix}-${fill.text("namespace")}`,
    labels: commonLabels(fill),
  },
  webhooks: [
    {
      name: "rev.validation.istio.io",
      clientConfig: {
        service: { name: `istiod${fill.suffix}`, namespace: fill.text("namespace"), path: "/validate", port: 443 },
      },
      rules: [
        {
          operations: ["CREATE", "UPDATE"],
          apiGroups: [...new Set(definedKinds.map(({ group }) => group))].sort(),
          apiVersions: ["*"],
          resources: ["*"],
          scope: "*",
        },
      ],
      // The control plane turns it to Fail when it has seen a wrong object refused.
      failurePolicy: "Ignore",
      sideEffects: "None",
      admissionReviewVersions: ["v1"],
      timeoutSeconds: 10,
    },
  ],
});

export const webhookObjects = (fill: Fill): readonly Manifest[] => [mutating(fill), validating(fill)];
