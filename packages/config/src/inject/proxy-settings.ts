/** How one pod's proxy is to be: the injector's values, then the pod's annotations. */
import { defaultImage, type InjectorValues } from "./injector-values.ts";
import type { JsonObject } from "./json-values.ts";

export type InterceptionMode = "REDIRECT" | "TPROXY" | "NONE";

export interface ProxySettings {
  readonly image: string;
  readonly imagePullPolicy: string | undefined;
  readonly resources: JsonObject;
  readonly initResources: JsonObject;
  readonly logLevel: string;
  readonly logJson: boolean;
  readonly concurrency: number | undefined;
  readonly hold: boolean;
  readonly native: boolean;
  readonly interception: InterceptionMode;
  readonly include: { readonly cidrs: string; readonly inboundPorts: string; readonly outboundPorts: string };
  readonly exclude: { readonly cidrs: string; readonly inboundPorts: string; readonly outboundPorts: string };
  readonly statusPort: number;
  readonly readiness: { readonly initialDelay: number; readonly period: number; readonly failures: number };
  readonly startup: { readonly enabled: boolean; readonly failures: number };
  readonly rewriteProbes: boolean;
  readonly mergeMetrics: boolean;
  /** HOST:PORT of the control plane's secure address. */
  readonly discovery: string;
  readonly drainSeconds: number | undefined;
  /** Environment of the proxy; `ISTIO_META_*` becomes its metadata. */
  readonly env: ReadonlyMap<string, string>;
  readonly volumes: readonly JsonObject[];
  readonly volumeMounts: readonly JsonObject[];
  readonly lifecycle: JsonObject | undefined;
  readonly clusterId: string;
  readonly meshId: string;
  readonly trustDomain: string;
  readonly network: string;
  readonly systemNamespace: string;
  readonly revision: string;
}

export interface SettingsFacts {
  /** Every node of the cluster runs native sidecars. */
  readonly nativeSidecars: boolean;
  readonly revision: string;
  /** The image where the values name none. */
  readonly image?: string | undefined;
}

/** The control plane's name in its cluster, which is also in its certificate. */
export const controlPlaneHost = (namespace: string, revision: string): string =>
  `istiod${revision === "default" ? "" : `-${revision}`}.${namespace}.svc`;

/** The settings before the pod's annotations are looked at. */
export const settingsOf = (values: InjectorValues, facts: SettingsFacts): ProxySettings => ({
  image: values.image ?? facts.image ?? defaultImage,
  imagePullPolicy: values.imagePullPolicy,
  resources: values.resources,
  initResources: values.initResources,
  logLevel: values.logLevel,
  logJson: values.logJson,
  concurrency: undefined,
  hold: values.holdApplicationUntilProxyStarts,
  native: values.nativeSidecars ?? facts.nativeSidecars,
  interception: "REDIRECT",
  include: {
    cidrs: values.includeOutboundCidrs,
    inboundPorts: values.includeInboundPorts,
    outboundPorts: values.includeOutboundPorts,
  },
  exclude: {
    cidrs: values.excludeOutboundCidrs,
    inboundPorts: values.excludeInboundPorts,
    outboundPorts: values.excludeOutboundPorts,
  },
  statusPort: values.statusPort,
  readiness: values.readiness,
  startup: values.startup,
  rewriteProbes: values.rewriteAppHttpProbe,
  mergeMetrics: values.mergeMetrics,
  discovery: `${controlPlaneHost(values.systemNamespace, facts.revision)}:15012`,
  drainSeconds: undefined,
  env: new Map(),
  volumes: [],
  volumeMounts: [],
  lifecycle: values.lifecycle,
  clusterId: values.clusterId,
  meshId: values.meshId,
  trustDomain: values.trustDomain,
  network: values.network,
  systemNamespace: values.systemNamespace,
  revision: facts.revision,
});
