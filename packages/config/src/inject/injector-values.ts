/** Values of the injector as Istio's ConfigMap `istio-sidecar-injector` has them, read to what injection uses. */
import { parseDocuments } from "../yaml/parse-documents.ts";
import {
  type Read,
  readCidrs,
  readLogLevel,
  readNumber,
  readPorts,
  readWord,
  readWordless,
} from "./annotation-values.ts";
import { type InjectNote, injectCodes } from "./inject-note.ts";
import { isObject, type JsonObject, objectOf, valueAt } from "./json-values.ts";
import { wantedOfHooks, wantedOfResources } from "./pod-values.ts";

export interface InjectorValues {
  /** `undefined`: whoever injects knows. */
  readonly image: string | undefined;
  readonly imagePullPolicy: string | undefined;
  readonly imagePullSecrets: readonly string[];
  readonly resources: JsonObject;
  readonly initResources: JsonObject;
  readonly logLevel: string;
  readonly logJson: boolean;
  readonly holdApplicationUntilProxyStarts: boolean;
  readonly rewriteAppHttpProbe: boolean;
  /** `undefined`: as the cluster can. */
  readonly nativeSidecars: boolean | undefined;
  readonly statusPort: number;
  readonly readiness: { readonly initialDelay: number; readonly period: number; readonly failures: number };
  readonly startup: { readonly enabled: boolean; readonly failures: number };
  readonly includeOutboundCidrs: string;
  readonly excludeOutboundCidrs: string;
  readonly includeInboundPorts: string;
  readonly excludeInboundPorts: string;
  readonly includeOutboundPorts: string;
  readonly excludeOutboundPorts: string;
  readonly clusterId: string;
  readonly meshId: string;
  readonly trustDomain: string;
  readonly network: string;
  readonly clusterDomain: string;
  readonly systemNamespace: string;
  readonly mergeMetrics: boolean;
  readonly lifecycle: JsonObject | undefined;
}

/** The image that manifests and injected pods name when nobody names another. */
export const defaultImage = "weft:0.1.0";

export const defaultInjectorValues: InjectorValues = {
  image: undefined,
  imagePullPolicy: undefined,
  imagePullSecrets: [],
  resources: { requests: { cpu: "100m", memory: "128Mi" }, limits: { cpu: "2000m", memory: "1024Mi" } },
  initResources: { requests: { cpu: "10m", memory: "40Mi" }, limits: { cpu: "2000m", memory: "1024Mi" } },
  logLevel: "warning",
  logJson: false,
  holdApplicationUntilProxyStarts: false,
  rewriteAppHttpProbe: true,
  nativeSidecars: undefined,
  statusPort: 15_020,
  readiness: { initialDelay: 0, period: 15, failures: 4 },
  startup: { enabled: true, failures: 600 },
  includeOutboundCidrs: "*",
  excludeOutboundCidrs: "",
  includeInboundPorts: "*",
  excludeInboundPorts: "",
  includeOutboundPorts: "",
  excludeOutboundPorts: "",
  clusterId: "Kubernetes",
  meshId: "cluster.local",
  trustDomain: "cluster.local",
  network: "",
  clusterDomain: "cluster.local",
  systemNamespace: "istio-system",
  mergeMetrics: true,
  lifecycle: undefined,
};

/** What is taken from one place of the values. */
interface Entry {
  readonly path: readonly string[];
  readonly type: "text" | "number" | "bool" | "object" | "names";
  readonly take: (value: never) => Partial<InjectorValues>;
  /** What was wanted, where a value of the right type would have every pod refused or never start. */
  readonly wanted?: (value: never) => string | undefined;
}
const entry = <T>(
  path: string,
  type: Entry["type"],
  take: (value: T) => Partial<InjectorValues>,
  wanted?: (value: T) => string | undefined,
): Entry => ({
  ...{ path: path.split("."), type, take: take as Entry["take"] },
  ...(wanted ? { wanted: wanted as NonNullable<Entry["wanted"]> } : {}),
});

/** As the pod's annotation of the same meaning is read. Nothing written is the default. */
const as =
  (read: Read<unknown>) =>
  (value: string | number): string | undefined => {
    const reading = value === "" ? undefined : read(String(value));
    return reading?.kind === "wanted" ? reading.what : undefined;
  };
const aName = as(readWordless);
const aPort = as(readNumber(0, 65_535));
const seconds = as(readNumber(0, 86_400));

const entries: readonly Entry[] = [
  entry<string>(
    "global.imagePullPolicy",
    "text",
    (text) => ({ imagePullPolicy: text || undefined }),
    as(readWord("Always", "IfNotPresent", "Never")),
  ),
  entry<readonly string[]>("global.imagePullSecrets", "names", (names) => ({ imagePullSecrets: names })),
  entry<JsonObject>("global.proxy.resources", "object", (resources) => ({ resources }), wantedOfResources),
  entry<JsonObject>("global.proxy_init.resources", "object", (initResources) => ({ initResources }), wantedOfResources),
  entry<string>("global.proxy.logLevel", "text", (logLevel) => ({ logLevel }), as(readLogLevel)),
  entry<boolean>("global.logAsJson", "bool", (logJson) => ({ logJson })),
  entry<boolean>("global.proxy.holdApplicationUntilProxyStarts", "bool", (hold) => ({
    holdApplicationUntilProxyStarts: hold,
  })),
  entry<number>("global.proxy.statusPort", "number", (statusPort) => ({ statusPort }), aPort),
  entry<boolean>("global.proxy.startupProbe.enabled", "bool", () => ({})),
  entry<number>("global.proxy.startupProbe.failureThreshold", "number", () => ({}), seconds),
  entry<number>("global.proxy.readinessInitialDelaySeconds", "number", () => ({}), seconds),
  entry<number>("global.proxy.readinessPeriodSeconds", "number", () => ({}), seconds),
  entry<number>("global.proxy.readinessFailureThreshold", "number", () => ({}), seconds),
  entry<string>(
    "global.proxy.includeIPRanges",
    "text",
    (text) => ({ includeOutboundCidrs: text }),
    as(readCidrs(true)),
  ),
  entry<string>(
    "global.proxy.excludeIPRanges",
    "text",
    (text) => ({ excludeOutboundCidrs: text }),
    as(readCidrs(false)),
  ),
  entry<string>(
    "global.proxy.includeInboundPorts",
    "text",
    (text) => ({ includeInboundPorts: text }),
    as(readPorts(true)),
  ),
  entry<string>(
    "global.proxy.excludeInboundPorts",
    "text",
    (text) => ({ excludeInboundPorts: text }),
    as(readPorts(false)),
  ),
  entry<string>(
    "global.proxy.includeOutboundPorts",
    "text",
    (text) => ({ includeOutboundPorts: text }),
    as(readPorts(true)),
  ),
  entry<string>(
    "global.proxy.excludeOutboundPorts",
    "text",
    (text) => ({ excludeOutboundPorts: text }),
    as(readPorts(false)),
  ),
  entry<JsonObject>(
    "global.proxy.lifecycle",
    "object",
    (lifecycle) => ({
      lifecycle: Object.keys(lifecycle).length === 0 ? undefined : lifecycle,
    }),
    wantedOfHooks,
  ),
  entry<string>("global.proxy.clusterDomain", "text", (clusterDomain) => ({ clusterDomain })),
  entry<string>("global.multiCluster.clusterName", "text", (text) => (text === "" ? {} : { clusterId: text }), aName),
  entry<string>("global.meshID", "text", (text) => (text === "" ? {} : { meshId: text }), aName),
  entry<string>("global.trustDomain", "text", (text) => (text === "" ? {} : { trustDomain: text }), aName),
  entry<string>("global.network", "text", (network) => ({ network }), aName),
  entry<string>("global.istioNamespace", "text", (text) => (text === "" ? {} : { systemNamespace: text }), aName),
  entry<boolean>("sidecarInjectorWebhook.rewriteAppHTTPProbe", "bool", (rewrite) => ({ rewriteAppHttpProbe: rewrite })),
  entry<boolean>("sidecarInjectorWebhook.nativeSidecars", "bool", (nativeSidecars) => ({ nativeSidecars })),
  entry<boolean>("meshConfig.enablePrometheusMerge", "bool", (mergeMetrics) => ({ mergeMetrics })),
  entry<string>("global.proxy.image", "text", () => ({}), aName),
  entry<string>("global.hub", "text", () => ({}), aName),
  entry<string>("global.tag", "text", () => ({}), aName),
];

/** Under these, what is not in the table is told of: it was meant for the proxy and does nothing. */
const proxySections = ["global.proxy", "global.proxy_init", "sidecarInjectorWebhook"] as const;
/** Chosen by the webhooks' own selectors, by the control plane, or empty in Istio's defaults. */
const quiet: ReadonlySet<string> = new Set([
  "enableNamespacesByDefault",
  "reinvocationPolicy",
  "neverInjectSelector",
  "alwaysInjectSelector",
  "injectedAnnotations",
  "defaultTemplates",
  "templates",
  "injectionURL",
  "injectionPath",
  "tracer",
  "autoInject",
  "image",
]);

/** At most this much text is read; a ConfigMap holds no more. */
const textMax = 1024 * 1024;

/**
 * Reads `data.values`, YAML or JSON. Never throws: a note of level `error` says that the text cannot be used; what is
 * not in it is as in `base`.
 */
export const readInjectorValues = (
  text: string,
  file: string,
  base: InjectorValues = defaultInjectorValues,
): { readonly values: InjectorValues; readonly notes: readonly InjectNote[] } => {
  const notes: InjectNote[] = [];
  const bad = (message: string, path: readonly string[] = []): void => {
    notes.push({ code: injectCodes.badValues, level: "error", message, path });
  };
  if (text.length > textMax) {
    bad(`the values have ${text.length} characters; ${textMax} is the most`);
    return { values: base, notes };
  }
  const { documents, problems } = parseDocuments(text, file);
  for (const problem of problems) bad(`${problem.file}:${problem.line}:${problem.column} ${problem.message}`);
  const given: unknown = documents[0]?.value ?? {};
  const root = objectOf(given);
  if (!isObject(given)) bad("the values are not an object");
  if (documents.length > 1) bad("the values are more than one document");
  if (notes.length > 0) return { values: base, notes };
  let values = base;
  for (const { path, type, take, wanted } of entries) {
    const value = valueAt(given, ...path);
    if (value === undefined || value === null || (type === "bool" && value === "auto")) continue;
    const taken = typed(value, type);
    const what = taken === undefined ? wordFor[type] : wanted?.(taken as never);
    if (what !== undefined) bad(`${path.join(".")} is ${shown(value)}, not ${what}`, path);
    else values = { ...values, ...take(taken as never) };
  }
  if (notes.length > 0) return { values: base, notes };
  notes.push(...unusedNotes(root));
  return { values: { ...values, ...composed(root, base) }, notes };
};

/** A value that is wrong is as long as somebody made it. */
const shown = (value: unknown): string => JSON.stringify(value).slice(0, 200);

const wordFor = {
  text: "a text",
  number: "a number",
  bool: "true or false",
  object: "an object",
  names: "a list of names",
} as const;

const typed = (value: unknown, type: Entry["type"]): unknown => {
  switch (type) {
    case "text":
      return typeof value === "string" ? value : typeof value === "number" ? String(value) : undefined;
    case "number":
      return typeof value === "number" || (typeof value === "string" && /^\d+$/.test(value))
        ? Number(value)
        : undefined;
    case "bool":
      return value === "true" ? true : value === "false" ? false : typeof value === "boolean" ? value : undefined;
    case "object":
      return isObject(value) ? value : undefined;
    case "names": {
      const names = Array.isArray(value) ? value.map((item) => (isObject(item) ? item.name : item)) : undefined;
      return names?.every((name) => typeof name === "string") ? names : undefined;
    }
  }
};

/** Values that several places make together. */
const composed = (given: JsonObject, { image, readiness, startup }: InjectorValues): Partial<InjectorValues> => {
  const number = (path: string, fallback: number): number =>
    Number(valueAt(given, ..."global.proxy".split("."), ...path.split(".")) ?? fallback);
  return {
    image: imageOf(given) ?? image,
    readiness: {
      initialDelay: number("readinessInitialDelaySeconds", readiness.initialDelay),
      period: number("readinessPeriodSeconds", readiness.period),
      failures: number("readinessFailureThreshold", readiness.failures),
    },
    startup: {
      enabled: String(valueAt(given, "global", "proxy", "startupProbe", "enabled") ?? startup.enabled) === "true",
      failures: number("startupProbe.failureThreshold", startup.failures),
    },
  };
};

/** `HUB/IMAGE:TAG` as Istio's charts write it; an image with a slash stands for itself; Istio's own image is not ours. */
const imageOf = (given: JsonObject): string | undefined => {
  const at = (...path: readonly string[]): string | undefined => {
    const value = valueAt(given, "global", ...path);
    return typeof value === "string" || typeof value === "number" ? String(value) : undefined;
  };
  const image = at("proxy", "image");
  if (image === undefined || image === "" || image === "proxyv2") return undefined;
  const [hub, tag] = [at("hub"), at("tag")];
  if (image.includes("/") || image.includes(":") || hub === undefined || hub === "") return image;
  return `${hub}/${image}${tag === undefined || tag === "" ? "" : `:${tag}`}`;
};

const unusedNotes = (given: JsonObject): readonly InjectNote[] =>
  proxySections.flatMap((section) => {
    const path = section.split(".");
    const known = new Set(
      entries.filter((one) => one.path.join(".").startsWith(`${section}.`)).map((one) => one.path[path.length]),
    );
    const value = valueAt(given, ...path);
    return Object.keys(isObject(value) ? value : {})
      .filter((key) => !known.has(key) && !quiet.has(key))
      .map((key): InjectNote => {
        const message = `${section}.${key} has no effect on weft's sidecars`;
        return { code: injectCodes.withoutEffect, level: "info", message, path: [...path, key] };
      });
  });
