/** Puts a proxy into a pod: a function of the pod, its namespace and the injector's values. */
import { applyAnnotations, injectAnnotation, statusAnnotation } from "./annotations.ts";
import { tellCollisions } from "./collisions.ts";
import { type InjectNote, injectCodes } from "./inject-note.ts";
import type { InjectorValues } from "./injector-values.ts";
import { interceptContainer, interceptContainerName } from "./interception.ts";
import { isObject, type JsonObject, nameOf, objectOf, objectsOf, textsOf } from "./json-values.ts";
import { mergeContainer } from "./override.ts";
import { isAsked, rewriteProbes } from "./probes.ts";
import { proxyContainer, proxyContainerName, proxyVolumes, type Workload } from "./proxy-container.ts";
import { type ProxySettings, settingsOf } from "./proxy-settings.ts";

export interface InjectRequest {
  /** The pod, or a template of pods, as JSON. */
  readonly pod: unknown;
  readonly namespace: { readonly name: string; readonly labels: Readonly<Record<string, string>> };
  readonly values: InjectorValues;
  /** Every node of the cluster runs native sidecars; the values and the pod's annotation win. */
  readonly nativeSidecars: boolean;
  /** `default` when absent. */
  readonly revision?: string;
  /** The image where the values name none. */
  readonly image?: string;
  /** What the template is part of, such as a Deployment; read from the pod's owners when absent. */
  readonly owner?: { readonly apiVersion: string; readonly kind: string; readonly name: string };
}

export type InjectOutcome =
  | { readonly kind: "injected"; readonly pod: JsonObject; readonly notes: readonly InjectNote[] }
  /** The pod stays as it is, which is nobody's mistake. */
  | { readonly kind: "left"; readonly why: string; readonly notes: readonly InjectNote[] }
  /** The pod says what cannot be done; at least one note is an error. */
  | { readonly kind: "refused"; readonly notes: readonly InjectNote[] };

/** Namespaces of the cluster itself. */
const systemNamespaces: ReadonlySet<string> = new Set([
  "kube-system",
  "kube-public",
  "kube-node-lease",
  "local-path-storage",
]);

/** Never throws, whatever JSON the pod is. Injecting what is injected changes nothing. */
export const injectPod = (request: InjectRequest): InjectOutcome => {
  const { pod, namespace } = request;
  const part = isPart(request);
  const problem = shapeProblem(pod, part);
  if (problem) return { kind: "refused", notes: [problem] };
  const given = pod as JsonObject;
  const why = part ? "it has no containers, so it is a part to be laid over another" : whyLeft(given, namespace);
  if (why !== undefined) return { kind: "left", why, notes: [] };
  const notes: InjectNote[] = [];
  const takeNote = (note: InjectNote): void => {
    notes.push(note);
  };
  const facts = {
    nativeSidecars: request.nativeSidecars,
    revision: request.revision ?? "default",
    image: request.image,
  };
  const texts = textsOf(objectOf(given.metadata).annotations);
  const settings = applyAnnotations(settingsOf(request.values, facts), texts, takeNote);
  if (notes.some(({ level }) => level === "error")) return { kind: "refused", notes };
  tellCollisions(objectOf(given.spec), settings, takeNote);
  return { kind: "injected", pod: build({ request, given, settings, takeNote }), notes };
};

/** A template may be a layer over another, which says only what it changes; a pod may not. */
const isPart = ({ pod, owner }: InjectRequest): boolean =>
  owner !== undefined && isObject(pod) && isObject(pod.spec) && pod.spec.containers === undefined;

const shapeProblem = (pod: unknown, isPart: boolean): InjectNote | undefined => {
  const bad = (message: string, path: readonly (string | number)[]): InjectNote => ({
    code: injectCodes.badPod,
    level: "error",
    message,
    path,
  });
  if (!isObject(pod)) return bad("a pod must be an object", []);
  if (!isObject(pod.spec)) return bad("the pod has no spec", ["spec"]);
  const { metadata, spec } = pod;
  if (metadata !== undefined && metadata !== null && !isObject(metadata))
    return bad("metadata must be an object", ["metadata"]);
  for (const field of ["labels", "annotations"]) {
    const texts = objectOf(metadata)[field];
    if (texts === undefined || texts === null) continue;
    if (!isObject(texts)) return bad(`${field} must be an object`, ["metadata", field]);
    const wrong = Object.entries(texts).find(([, text]) => typeof text !== "string");
    if (wrong) {
      const message = `${wrong[0]} is ${JSON.stringify(wrong[1])}, not a text: quote it`;
      return bad(message, ["metadata", field, wrong[0]]);
    }
  }
  if (!isPart && (!Array.isArray(spec.containers) || spec.containers.length === 0))
    return bad("the pod has no containers", ["spec", "containers"]);
  for (const field of ["containers", "initContainers", "volumes"]) {
    const list = spec[field];
    if (list === undefined || list === null) continue;
    if (!Array.isArray(list)) return bad(`${field} must be a list`, ["spec", field]);
    const wrong = list.findIndex((item) => !isObject(item) || typeof item.name !== "string");
    if (wrong !== -1) return bad(`an item of ${field} has no name`, ["spec", field, wrong]);
  }
  return undefined;
};

const whyLeft = (pod: JsonObject, namespace: InjectRequest["namespace"]): string | undefined => {
  const metadata = objectOf(pod.metadata);
  const [labels, annotations] = [textsOf(metadata.labels), textsOf(metadata.annotations)];
  const spec = objectOf(pod.spec);
  if (systemNamespaces.has(namespace.name)) return `${namespace.name} is a namespace of the cluster itself`;
  if (spec.hostNetwork === true) return "the pod uses its node's network";
  if (objectOf(spec.os).name === "windows" || objectOf(spec.nodeSelector)["kubernetes.io/os"] === "windows")
    return "the pod is for Windows";
  const label = labels[injectAnnotation];
  const wanted = label ?? annotations[injectAnnotation];
  if (wanted !== undefined && ["false", "n", "no", "off", "0"].includes(wanted.toLowerCase()))
    return `its ${label === undefined ? "annotation" : "label"} ${injectAnnotation} is "${wanted}"`;
  if (namespace.labels["istio-injection"] === "disabled" && label !== "true")
    return `the namespace ${namespace.name} is labelled istio-injection=disabled`;
  if (
    annotations[statusAnnotation] !== undefined &&
    containersOf(spec).some((one) => nameOf(one) === proxyContainerName)
  )
    return "it is injected already";
  return undefined;
};

const containersOf = (spec: JsonObject): readonly JsonObject[] => [
  ...objectsOf(spec.containers),
  ...objectsOf(spec.initContainers),
];

interface Build {
  readonly request: InjectRequest;
  readonly given: JsonObject;
  readonly settings: ProxySettings;
  readonly takeNote: (note: InjectNote) => void;
}

const build = (parts: Build): JsonObject => {
  const { given, settings, takeNote } = parts;
  const metadata = objectOf(given.metadata);
  const spec = objectOf(given.spec);
  const labels = labelsOf(parts);
  const metrics = metricsOf(settings, textsOf(metadata.annotations));
  const rewritten = withoutOurs(spec, parts);
  const relays = { probers: rewritten.probers, metrics };
  const ours = {
    proxy: merged(spec, proxyContainer(settings, workloadOf(parts, labels), relays)),
    init: optionally(interceptContainer(settings, takeNote), (container) => merged(spec, container)),
  };
  const lists = arrange(rewritten, ours, settings);
  const volumes = [...objectsOf(spec.volumes)];
  const added = proxyVolumes(settings).filter(({ name }) => !volumes.some((volume) => volume.name === name));
  const secrets = withSecrets(objectsOf(spec.imagePullSecrets), parts.request.values.imagePullSecrets);
  const status = {
    initContainers: [...(ours.init ? [interceptContainerName] : []), ...(settings.native ? [proxyContainerName] : [])],
    containers: settings.native ? [] : [proxyContainerName],
    volumes: added.map(({ name }) => name),
    imagePullSecrets: parts.request.values.imagePullSecrets.length === 0 ? null : parts.request.values.imagePullSecrets,
    revision: settings.revision,
  };
  return {
    ...given,
    metadata: {
      ...metadata,
      labels,
      annotations: annotationsOf(parts, metrics, JSON.stringify(status)),
    },
    spec: {
      ...spec,
      ...(lists.initContainers.length === 0 ? {} : { initContainers: lists.initContainers }),
      containers: lists.containers,
      volumes: [...volumes, ...added],
      ...(secrets.length === 0 ? {} : { imagePullSecrets: secrets }),
    },
  };
};

const optionally = <T, R>(value: T | undefined, change: (value: T) => R): R | undefined =>
  value === undefined ? undefined : change(value);

const merged = (spec: JsonObject, container: JsonObject): JsonObject => {
  const theirs = containersOf(spec).find((one) => one.name === container.name);
  return theirs ? mergeContainer(container, theirs) : container;
};

interface Rewritten {
  readonly containers: readonly JsonObject[];
  readonly initContainers: readonly JsonObject[];
  readonly probers: Readonly<Record<string, JsonObject>>;
}

/** The application's own containers, their probes moved. Init containers have probes only when they keep running. */
const withoutOurs = (spec: JsonObject, { settings, takeNote }: Build): Rewritten => {
  const probers: Record<string, JsonObject> = {};
  const { statusPort } = settings;
  const listed = (field: "containers" | "initContainers"): readonly JsonObject[] =>
    objectsOf(spec[field]).flatMap((container, index) => {
      if ([proxyContainerName, interceptContainerName].includes(nameOf(container))) return [];
      if (!settings.rewriteProbes || statusPort === 0) return [container];
      if (field === "initContainers" && !settings.native) {
        // It starts before a classic proxy, which starts when it has: neither would ever come.
        if (isAsked(container)) takeNote({ ...leftProbes(nameOf(container)), path: ["spec", field, index] });
        return [container];
      }
      const moved = rewriteProbes({ container, statusPort, takeNote, path: ["spec", field, index] });
      Object.assign(probers, moved.probers);
      return [moved.container];
    });
  return { containers: listed("containers"), initContainers: listed("initContainers"), probers };
};

const leftProbes = (name: string): Omit<InjectNote, "path"> => ({
  ...{ code: injectCodes.probeLeft, level: "warning" },
  message: `${name} runs before a classic proxy: its probes and hooks are left as they are; make the proxy native where they fail`,
});

/**
 * A native proxy is up before all that follows it, so interception comes first. A classic one starts after all init
 * containers, so interception comes last: until then they reach the network without it.
 */
const arrange = (
  { containers, initContainers }: Rewritten,
  { proxy, init }: { readonly proxy: JsonObject; readonly init: JsonObject | undefined },
  { native, hold }: ProxySettings,
): { readonly containers: readonly JsonObject[]; readonly initContainers: readonly JsonObject[] } => {
  const intercept = init ? [init] : [];
  if (native) return { containers, initContainers: [...intercept, proxy, ...initContainers] };
  return {
    containers: hold ? [proxy, ...containers] : [...containers, proxy],
    initContainers: [...initContainers, ...intercept],
  };
};

const withSecrets = (given: readonly JsonObject[], names: readonly string[]): readonly JsonObject[] => [
  ...given,
  ...names.filter((name) => !given.some((secret) => secret.name === name)).map((name) => ({ name })),
];

/** Label values have 63 characters; one that is cut ends with a letter or digit still. */
const labelText = (text: string): string => text.slice(0, 63).replace(/[^A-Za-z0-9]+$/, "");

const labelsOf = ({ given, request }: Build): Readonly<Record<string, string>> => {
  const labels = textsOf(objectOf(given.metadata).labels);
  const name = labels["app.kubernetes.io/name"] ?? labels.app ?? ownerOf({ given, request }).name;
  const revision = labels["app.kubernetes.io/version"] ?? labels.version ?? "latest";
  return {
    "security.istio.io/tlsMode": "istio",
    "service.istio.io/canonical-name": labelText(name),
    "service.istio.io/canonical-revision": labelText(revision),
    ...labels,
  };
};

/** What a ReplicaSet or Job made by a Deployment or CronJob stands for; else the owner itself, else the pod. */
const ownerOf = ({ given, request }: Pick<Build, "given" | "request">) => {
  if (request.owner) return request.owner;
  const metadata = objectOf(given.metadata);
  const named = nameOf(metadata) || String(metadata.generateName ?? "").replace(/-$/, "") || "pod";
  const owners = objectsOf(metadata.ownerReferences);
  const owner = owners.find(({ controller }) => controller === true);
  if (!owner) return { apiVersion: "v1", kind: "Pod", name: named };
  const [kind, name, apiVersion] = [String(owner.kind ?? ""), nameOf(owner), String(owner.apiVersion ?? "v1")];
  const hash = textsOf(metadata.labels)["pod-template-hash"];
  if (kind === "ReplicaSet" && hash !== undefined && name.endsWith(`-${hash}`))
    return { apiVersion: "apps/v1", kind: "Deployment", name: name.slice(0, -hash.length - 1) };
  if (kind === "Job" && /-\d{8,11}$/.test(name))
    return { apiVersion: "batch/v1", kind: "CronJob", name: name.replace(/-\d{8,11}$/, "") };
  return { apiVersion, kind, name };
};

const workloadOf = (parts: Build, labels: Readonly<Record<string, string>>): Workload => {
  const { given, request } = parts;
  const { apiVersion, kind, name } = ownerOf(parts);
  const namespace = request.namespace.name;
  const containers = objectsOf(objectOf(given.spec).containers).map(nameOf);
  return {
    namespace,
    name,
    owner: `kubernetes://apis/${apiVersion}/namespaces/${namespace}/${kind.toLowerCase()}s/${name}`,
    labels,
    containers: containers.filter((container) => container !== proxyContainerName),
  };
};

/** Where the application's metrics are, when a scraper is to find them beside the proxy's. */
const metricsOf = (
  { mergeMetrics, statusPort }: ProxySettings,
  annotations: Readonly<Record<string, string>>,
): JsonObject | undefined => {
  const port = annotations["prometheus.io/port"];
  if (!mergeMetrics || statusPort === 0 || annotations["prometheus.io/scrape"] !== "true" || port === undefined)
    return undefined;
  return { scrape: "true", port, path: annotations["prometheus.io/path"] ?? "/metrics" };
};

const annotationsOf = (
  { given, settings }: Build,
  metrics: JsonObject | undefined,
  status: string,
): Readonly<Record<string, string>> => {
  const annotations = textsOf(objectOf(given.metadata).annotations);
  const scraped = settings.mergeMetrics && settings.statusPort !== 0 && annotations["prometheus.io/scrape"] !== "false";
  const containers = objectsOf(objectOf(given.spec).containers).map(nameOf);
  const [first] = containers.filter((name) => name !== proxyContainerName);
  return {
    ...(first === undefined
      ? {}
      : {
          "kubectl.kubernetes.io/default-container": first,
          "kubectl.kubernetes.io/default-logs-container": first,
        }),
    ...annotations,
    "istio.io/rev": annotations["istio.io/rev"] ?? settings.revision,
    ...(scraped || metrics
      ? {
          "prometheus.io/scrape": "true",
          "prometheus.io/port": String(settings.statusPort),
          "prometheus.io/path": "/stats/prometheus",
        }
      : {}),
    [statusAnnotation]: status,
  };
};
