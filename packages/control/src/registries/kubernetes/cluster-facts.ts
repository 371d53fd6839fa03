/** What pods and nodes tell of endpoints; the rest of them is not kept. */

import { textsIn } from "../outside/record-fields.ts";
import { isRecord, type KubernetesObject } from "./kubernetes-object.ts";

export interface PodFacts {
  /** `NAMESPACE/NAME`. */
  readonly key: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly serviceAccount: string;
  readonly node: string;
}

export interface NodeFacts {
  /** The node's name. */
  readonly key: string;
  /** `REGION/ZONE/SUBZONE`. */
  readonly locality: string;
}

export interface NamespaceFacts {
  /** The namespace's name. */
  readonly key: string;
  readonly labels: Readonly<Record<string, string>>;
}

export const namespaceFacts = ({ metadata }: KubernetesObject): NamespaceFacts => ({
  key: metadata.name,
  labels: textsIn(metadata.labels),
});

/** Overrides the node's, with dots or slashes between its parts. */
const localityLabel = "istio-locality";
const nodeLabels = {
  region: ["topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region"],
  zone: ["topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"],
  subzone: ["topology.istio.io/subzone"],
} as const;

export const podFacts = ({ metadata, spec }: KubernetesObject): PodFacts => {
  const { serviceAccountName, nodeName } = isRecord(spec) ? spec : {};
  return {
    key: `${metadata.namespace ?? ""}/${metadata.name}`,
    labels: textsIn(metadata.labels),
    serviceAccount:
      typeof serviceAccountName === "string" && serviceAccountName !== "" ? serviceAccountName : "default",
    node: typeof nodeName === "string" ? nodeName : "",
  };
};

export const nodeFacts = ({ metadata }: KubernetesObject): NodeFacts => {
  const labels = textsIn(metadata.labels);
  const first = (names: readonly string[]): string => names.map((name) => labels[name]).find(Boolean) ?? "";
  const { region, zone, subzone } = nodeLabels;
  const parts = [first(region), first(zone), first(subzone)];
  return { key: metadata.name, locality: parts.every((part) => part === "") ? "" : parts.join("/") };
};

/** What the pod's own label says goes before its node. */
export const localityOfPod = ({ labels }: PodFacts): string | undefined => {
  const text = labels[localityLabel];
  if (!text) return undefined;
  const [region = "", zone = "", subzone = ""] = text.split(text.includes("/") ? "/" : ".");
  return `${region}/${zone}/${subzone}`;
};

/** Entries of a Secret that are keys, certificates and authorities; nothing else of it is kept. */
const usedEntries = ["tls.crt", "tls.key", "ca.crt", "ca.crl", "cert", "key", "cacert", "crl"];

const usedOf = (data: unknown): Readonly<Record<string, unknown>> =>
  isRecord(data)
    ? Object.fromEntries(usedEntries.flatMap((name) => (Object.hasOwn(data, name) ? [[name, data[name]]] : [])))
    : {};

const appliedAnnotation = "kubectl.kubernetes.io/last-applied-configuration";
const keptMetadata = ["name", "namespace", "uid", "resourceVersion", "labels", "creationTimestamp"] as const;

/** As much of an object as is used of it: what a table keeps, and the disk. */
export const trimmed = (use: string, object: KubernetesObject): KubernetesObject => {
  const told: Readonly<Record<string, unknown>> = { ...object.metadata };
  const small = Object.fromEntries(keptMetadata.flatMap((name) => (told[name] == null ? [] : [[name, told[name]]])));
  const facts = use === "pod" || use === "node" || use === "namespace";
  const { [appliedAnnotation]: _applied, ...annotations } = (facts ? undefined : object.metadata.annotations) ?? {};
  const metadata = { ...small, ...(Object.keys(annotations).length === 0 ? {} : { annotations }) };
  const { metadata: _metadata, status: _status, ...rest } = object;
  if (use === "node" || use === "namespace") return { metadata: metadata as KubernetesObject["metadata"] };
  if (use === "secret") return { metadata: metadata as KubernetesObject["metadata"], data: usedOf(object.data) };
  if (use !== "pod") return { ...rest, metadata: metadata as KubernetesObject["metadata"] };
  const { serviceAccountName = "", nodeName = "" } = isRecord(object.spec) ? object.spec : {};
  return { metadata: metadata as KubernetesObject["metadata"], spec: { serviceAccountName, nodeName } };
};
