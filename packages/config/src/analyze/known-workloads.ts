/** Workloads that the objects name: WorkloadEntries and groups, Kubernetes pods and what makes them. */
import { type ConfigObject, type ConfigOf, objectsOfKind } from "../config-object.ts";
import type { KnownPort, KnownWorkload } from "./facts.ts";
import type { Labels } from "./labels.ts";

export const workloadsOf = (objects: readonly ConfigObject[]): KnownWorkload[] => [
  ...objectsOfKind(objects, "WorkloadEntry").map(entryWorkload),
  ...objectsOfKind(objects, "WorkloadGroup").map(groupWorkload),
  ...objects.flatMap(podWorkload),
];

/** What each member of the group will be. */
const groupWorkload = ({
  name,
  namespace,
  spec: { metadata, template },
}: ConfigOf<"WorkloadGroup">): KnownWorkload => ({
  name,
  namespace,
  labels: { ...template.labels, ...metadata?.labels },
  ports: Object.entries(template.ports ?? {}).map(([portName, number]) => ({ number, name: portName, protocol: "" })),
  ...(template.serviceAccount === undefined ? {} : { serviceAccount: template.serviceAccount }),
});

const entryWorkload = ({ name, namespace, spec }: ConfigOf<"WorkloadEntry">): KnownWorkload => ({
  name,
  namespace,
  labels: spec.labels ?? {},
  ports: Object.entries(spec.ports ?? {}).map(([portName, number]) => ({ number, name: portName, protocol: "" })),
  ...(spec.serviceAccount === undefined ? {} : { serviceAccount: spec.serviceAccount }),
});

const podMakers = new Set(["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job"]);

const podWorkload = (object: ConfigObject): readonly KnownWorkload[] => {
  if (object.kind !== "Pod" && !podMakers.has(object.kind)) return [];
  const spec = member(object.spec, "spec");
  const template = object.kind === "Pod" ? undefined : member(spec, "template");
  const labels = object.kind === "Pod" ? object.labels : textMap(member(member(template, "metadata"), "labels"));
  const podSpec = template === undefined ? spec : member(template, "spec");
  const account = member(podSpec, "serviceAccountName");
  const { name, namespace } = object;
  const facts = { name, namespace, labels, ports: containerPorts(podSpec) };
  return [typeof account === "string" ? { ...facts, serviceAccount: account } : facts];
};

const containerPorts = (podSpec: unknown): readonly KnownPort[] =>
  items(member(podSpec, "containers"))
    .flatMap((container) => items(member(container, "ports")))
    .flatMap((port) => {
      const number = member(port, "containerPort");
      const name = member(port, "name");
      return typeof number === "number" ? [{ number, name: typeof name === "string" ? name : "", protocol: "" }] : [];
    });

const member = (value: unknown, name: string): unknown =>
  typeof value === "object" && value !== null && Object.hasOwn(value, name)
    ? (value as Readonly<Record<string, unknown>>)[name]
    : undefined;

const items = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);

const textMap = (value: unknown): Labels =>
  Object.fromEntries(
    Object.entries(value ?? {}).filter((entry): entry is [string, string] => typeof entry[1] === "string"),
  );
