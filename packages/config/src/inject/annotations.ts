/** The annotations that say how a pod's proxy is to be: one table. */
import {
  type Read,
  readAny,
  readBool,
  readCidrs,
  readLogLevel,
  readNamed,
  readNumber,
  readPorts,
  readQuantity,
  readWord,
  readWordless,
  readYamlObject,
} from "./annotation-values.ts";
import { injectCodes, type TakeNote } from "./inject-note.ts";
import type { JsonObject } from "./json-values.ts";
import { applyProxyConfig, type Note } from "./proxy-config-annotation.ts";
import type { ProxySettings } from "./proxy-settings.ts";

export const injectAnnotation = "sidecar.istio.io/inject";
export const statusAnnotation = "sidecar.istio.io/status";

type Change = (settings: ProxySettings, note: Note) => ProxySettings;

/** One annotation: read and applied, or known and without effect, with the reason. */
type Meaning =
  | {
      readonly kind: "applies";
      readonly about: string;
      readonly read: (text: string) => Change | { readonly wanted: string };
    }
  /** Its part is done elsewhere: whether to inject, which revision. */
  | { readonly kind: "elsewhere"; readonly about: string }
  | { readonly kind: "none"; readonly about: string };

const applies = <T>(
  about: string,
  read: Read<T>,
  apply: (settings: ProxySettings, value: T, note: Note) => ProxySettings,
): Meaning => ({
  kind: "applies",
  about,
  read: (text) => {
    const reading = read(text);
    if (reading.kind === "wanted") return { wanted: reading.what };
    return (settings, note) => apply(settings, reading.value, note);
  },
});
const none = (about: string): Meaning => ({ kind: "none", about });
const elsewhere = (about: string): Meaning => ({ kind: "elsewhere", about });

const include = (key: keyof ProxySettings["include"], about: string, read: Read<string>): Meaning =>
  applies(about, read, (settings, text) => ({ ...settings, include: { ...settings.include, [key]: text } }));
const exclude = (key: keyof ProxySettings["exclude"], about: string, read: Read<string>): Meaning =>
  applies(about, read, (settings, text) => ({ ...settings, exclude: { ...settings.exclude, [key]: text } }));
const readiness = (key: keyof ProxySettings["readiness"], about: string): Meaning =>
  applies(about, readNumber(0, 86_400), (settings, number) => ({
    ...settings,
    readiness: { ...settings.readiness, [key]: number },
  }));
/** Read by `withResources`, for one of the four replaces all resources of the values, as in Istio. */
const quantity = (about: string): Meaning => applies(about, readQuantity, (settings) => settings);

const stats = none("weft's statistics are kept whole");

/** Every annotation that Istio's injection knows. */
export const annotations: ReadonlyMap<string, Meaning> = new Map([
  [injectAnnotation, elsewhere("Whether the pod gets a sidecar; the label of the same name wins.")],
  [statusAnnotation, elsewhere("What was injected; written by the injection.")],
  ["istio.io/rev", elsewhere("The revision that injects.")],
  ["sidecar.istio.io/proxyCPU", quantity("CPU the proxy requests.")],
  ["sidecar.istio.io/proxyMemory", quantity("Memory the proxy requests.")],
  ["sidecar.istio.io/proxyCPULimit", quantity("CPU the proxy may use.")],
  ["sidecar.istio.io/proxyMemoryLimit", quantity("Memory the proxy may use.")],
  [
    "sidecar.istio.io/proxyImage",
    applies("The proxy's image.", readWordless, (settings, image) => ({ ...settings, image })),
  ],
  ["sidecar.istio.io/proxyImageType", none("weft has one image")],
  [
    "sidecar.istio.io/logLevel",
    applies("The proxy's log level.", readLogLevel, (settings, logLevel) => ({ ...settings, logLevel })),
  ],
  ["sidecar.istio.io/componentLogLevel", none("weft proxy-config log sets levels of scopes while the sidecar runs")],
  ["sidecar.istio.io/agentLogLevel", none("there is no agent beside the sidecar: write sidecar.istio.io/logLevel")],
  [
    "sidecar.istio.io/rewriteAppHTTPProbers",
    applies("Whether probes go through the proxy.", readBool, (settings, rewriteProbes) => ({
      ...settings,
      rewriteProbes,
    })),
  ],
  [
    "sidecar.istio.io/nativeSidecar",
    applies("Whether the proxy is an init container that keeps running.", readBool, (settings, native) => ({
      ...settings,
      native,
    })),
  ],
  [
    "sidecar.istio.io/interceptionMode",
    applies("How connections come to the proxy.", readWord("REDIRECT", "TPROXY", "NONE"), (settings, interception) => ({
      ...settings,
      interception,
    })),
  ],
  [
    "sidecar.istio.io/discoveryAddress",
    applies("The control plane's secure address.", readWordless, (settings, discovery) => ({ ...settings, discovery })),
  ],
  [
    "sidecar.istio.io/userVolume",
    applies(
      "Further volumes of the pod, JSON.",
      readNamed((name, volume) => ({ name, ...volume })),
      (settings, volumes) => ({ ...settings, volumes }),
    ),
  ],
  [
    "sidecar.istio.io/userVolumeMount",
    applies(
      "Further volume mounts of the proxy, JSON.",
      readNamed((name, mount) => ({ name, ...mount })),
      (settings, volumeMounts) => ({ ...settings, volumeMounts }),
    ),
  ],
  ["sidecar.istio.io/bootstrapOverride", none("a weft sidecar has no bootstrap template: use an EnvoyFilter")],
  ["sidecar.istio.io/controlPlaneAuthPolicy", none("sidecars and control plane always meet over TLS")],
  ["sidecar.istio.io/enableCoreDump", none("a weft sidecar writes no core files")],
  ["sidecar.istio.io/extraStatTags", stats],
  ["sidecar.istio.io/statsInclusionPrefixes", stats],
  ["sidecar.istio.io/statsInclusionSuffixes", stats],
  ["sidecar.istio.io/statsInclusionRegexps", stats],
  ["sidecar.istio.io/statsHistogramBuckets", stats],
  ["sidecar.istio.io/statsCompression", none("the scraper's Accept-Encoding is not followed")],
  ["sidecar.istio.io/statsEvictionInterval", stats],
  [
    "traffic.sidecar.istio.io/includeOutboundIPRanges",
    include("cidrs", "Outbound destinations that are intercepted.", readCidrs(true)),
  ],
  [
    "traffic.sidecar.istio.io/excludeOutboundIPRanges",
    exclude("cidrs", "Outbound destinations that are left alone.", readCidrs(false)),
  ],
  [
    "traffic.sidecar.istio.io/includeInboundPorts",
    include("inboundPorts", "Inbound ports that are intercepted.", readPorts(true)),
  ],
  [
    "traffic.sidecar.istio.io/excludeInboundPorts",
    exclude("inboundPorts", "Inbound ports left alone.", readPorts(false)),
  ],
  [
    "traffic.sidecar.istio.io/includeOutboundPorts",
    include("outboundPorts", "Outbound ports that are intercepted, whatever the destination.", readPorts(true)),
  ],
  [
    "traffic.sidecar.istio.io/excludeOutboundPorts",
    exclude("outboundPorts", "Outbound ports left alone.", readPorts(false)),
  ],
  ["traffic.sidecar.istio.io/excludeInterfaces", none("all interfaces are intercepted")],
  ["traffic.sidecar.istio.io/kubevirtInterfaces", none("machines within pods are not intercepted")],
  ["istio.io/reroute-virtual-interfaces", none("machines within pods are not intercepted")],
  [
    "status.sidecar.istio.io/port",
    applies(
      "Port of the proxy's status; 0 takes the readiness probe away.",
      readNumber(0, 65_535),
      (settings, statusPort) => ({
        ...settings,
        statusPort,
      }),
    ),
  ],
  [
    "readiness.status.sidecar.istio.io/initialDelaySeconds",
    readiness("initialDelay", "Delay of the proxy's readiness probe."),
  ],
  ["readiness.status.sidecar.istio.io/periodSeconds", readiness("period", "Period of the proxy's readiness probe.")],
  [
    "readiness.status.sidecar.istio.io/failureThreshold",
    readiness("failures", "Failures until the proxy is not ready."),
  ],
  ["readiness.status.sidecar.istio.io/applicationPorts", none("an application's own readiness probe is asked")],
  [
    "prometheus.istio.io/merge-metrics",
    applies("Whether the application's metrics come with the proxy's.", readBool, (settings, mergeMetrics) => ({
      ...settings,
      mergeMetrics,
    })),
  ],
  ["proxy.istio.io/config", applies("A ProxyConfig, YAML.", readYamlObject, applyProxyConfig)],
  ["proxy.istio.io/overrides", none("a container that the pod names istio-proxy is merged again from what it says")],
  [
    "inject.istio.io/templates",
    applies("Templates; weft has one, sidecar.", readAny, (settings, text, note) => {
      if (text.trim() !== "sidecar") note(`there is one template, sidecar, which is used instead of "${text}"`);
      return settings;
    }),
  ],
]);

/** Groups of annotations that are for injection: what is unknown in them is a slip. */
const ours = /^(traffic\.|status\.|readiness\.status\.)?sidecar\.istio\.io\/|^proxy\.istio\.io\//;

/** The settings that the pod's annotations make of those of the values. */
export const applyAnnotations = (
  before: ProxySettings,
  given: Readonly<Record<string, string>>,
  takeNote: TakeNote,
): ProxySettings => {
  let settings = withResources(before, given);
  for (const [name, text] of Object.entries(given)) {
    const meaning = annotations.get(name);
    const path = ["metadata", "annotations", name];
    if (!meaning) {
      if (ours.test(name))
        takeNote({
          code: injectCodes.unknownAnnotation,
          level: "warning",
          path,
          message: `unknown annotation ${name}`,
        });
      continue;
    }
    if (meaning.kind === "none") {
      const message = `${name} has no effect: ${meaning.about}`;
      takeNote({ code: injectCodes.withoutEffect, level: "info", path, message });
    }
    if (meaning.kind !== "applies") continue;
    const change = meaning.read(text);
    if (typeof change !== "function") {
      const message = `${name} is ${JSON.stringify(text.slice(0, 200))}, not ${change.wanted}`;
      takeNote({ code: injectCodes.badAnnotation, level: "error", path, message });
      continue;
    }
    settings = change(settings, (message, level = "info") => {
      const code = level === "error" ? injectCodes.badAnnotation : injectCodes.withoutEffect;
      takeNote({ code, level, path, message: `${name}: ${message}` });
    });
  }
  return settings;
};

const withResources = (settings: ProxySettings, given: Readonly<Record<string, string>>): ProxySettings => {
  const part = (cpu: string, memory: string): JsonObject | undefined => {
    const [cpuText, memoryText] = [given[`sidecar.istio.io/${cpu}`], given[`sidecar.istio.io/${memory}`]];
    if (cpuText === undefined && memoryText === undefined) return undefined;
    return {
      ...(cpuText === undefined ? {} : { cpu: cpuText }),
      ...(memoryText === undefined ? {} : { memory: memoryText }),
    };
  };
  const requests = part("proxyCPU", "proxyMemory");
  const limits = part("proxyCPULimit", "proxyMemoryLimit");
  if (!requests && !limits) return settings;
  return { ...settings, resources: { ...(requests ? { requests } : {}), ...(limits ? { limits } : {}) } };
};
