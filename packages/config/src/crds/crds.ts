/** CustomResourceDefinitions of every kind that is not Kubernetes' own, named as Istio's are. */
import { kinds } from "../kinds/index.ts";
import type { Kind } from "../kinds/kind.ts";
import { type OpenApi, structuralSchema } from "./structural-schema.ts";

interface Column {
  readonly name: string;
  readonly type: "string" | "date" | "integer";
  readonly jsonPath: string;
  readonly description: string;
}

const column = (name: string, jsonPath: string, description: string, type: Column["type"] = "string"): Column => ({
  name,
  type,
  jsonPath,
  description,
});

const age = column("Age", ".metadata.creationTimestamp", "Time since it was made.", "date");

/** What `kubectl get` shows beside the name, by kind; its age always. */
const columns: ReadonlyMap<string, readonly Column[]> = new Map([
  [
    "VirtualService",
    [
      column("Gateways", ".spec.gateways", "Gateways and sidecars that the rules are for."),
      column("Hosts", ".spec.hosts", "Hosts that the rules are for."),
    ],
  ],
  ["DestinationRule", [column("Host", ".spec.host", "The service.")]],
  [
    "ServiceEntry",
    [
      column("Hosts", ".spec.hosts", "Hosts of the service."),
      column("Location", ".spec.location", "Within the mesh or outside of it."),
      column("Resolution", ".spec.resolution", "How its addresses are found."),
    ],
  ],
  ["WorkloadEntry", [column("Address", ".spec.address", "The workload's address.")]],
  ["PeerAuthentication", [column("Mode", ".spec.mtls.mode", "The mode of mutual TLS.")]],
  ["AuthorizationPolicy", [column("Action", ".spec.action", "What happens to what matches.")]],
]);

/** Groups whose objects live in a cluster only if somebody defines them; the Gateway API defines its own. */
const definedGroups: ReadonlySet<string> = new Set([
  "networking.istio.io",
  "security.istio.io",
  "telemetry.istio.io",
  "extensions.istio.io",
  "mesh.istio.io",
  "weft.dev",
]);

/** Kinds that weft brings to a cluster. */
export const definedKinds: readonly Kind[] = kinds.filter(({ group }) => definedGroups.has(group));

/** The CustomResourceDefinition of a kind: all versions served with one schema, the preferred one stored. */
export const kindCrd = (kind: Kind): OpenApi => {
  const { group, plural, name, shortNames, clusterScoped } = kind;
  const category = `${group.replaceAll(".", "-").replace(/-io$/, "-io").replace(/-dev$/, "")}`;
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: {
      name: `${plural}.${group}`,
      labels: { app: "istiod", "app.kubernetes.io/part-of": "weft" },
      // Objects of users go with their definition: no uninstallation takes it away.
      annotations: { "helm.sh/resource-policy": "keep" },
    },
    spec: {
      group,
      names: {
        kind: name,
        listKind: `${name}List`,
        plural,
        singular: name.toLowerCase(),
        ...(shortNames && shortNames.length > 0 ? { shortNames } : {}),
        categories: group.endsWith("istio.io") ? ["istio-io", category] : ["weft"],
      },
      scope: clusterScoped ? "Cluster" : "Namespaced",
      versions: kind.versions.map((version, index) => versionOf(kind, version, index === 0)),
    },
  };
};

/** Descriptions stand in the preferred version alone, as they are most of the text. */
const versionOf = (kind: Kind, version: string, preferred: boolean): OpenApi => ({
  name: version,
  served: true,
  storage: preferred,
  subresources: { status: {} },
  additionalPrinterColumns: [...(columns.get(kind.name) ?? []), age],
  schema: { openAPIV3Schema: rootSchema(kind, preferred) },
});

const rootSchema = (kind: Kind, withAbout: boolean): OpenApi => {
  const body = structuralSchema(kind.schema, withAbout);
  const status = { type: "object", "x-kubernetes-preserve-unknown-fields": true };
  const about = withAbout ? { description: kind.about } : {};
  // Kinds whose fields stand at the root are taken whole: apiVersion, kind and metadata are beside them.
  if (kind.bodyIsRoot) return { ...body, ...about, properties: { ...((body.properties as OpenApi) ?? {}), status } };
  return { type: "object", ...about, properties: { spec: body, status } };
};

/** One for each of `definedKinds`. */
export const customResourceDefinitions = (): readonly OpenApi[] => definedKinds.map(kindCrd);
