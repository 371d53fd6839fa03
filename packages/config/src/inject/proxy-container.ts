/** The proxy's container, and the volumes it mounts. */
import { capturesNames, proxyId } from "./interception.ts";
import type { JsonObject } from "./json-values.ts";
import { controlPlaneHost, type ProxySettings } from "./proxy-settings.ts";

export const proxyContainerName = "istio-proxy";

/** Who the pod is, for the proxy's arguments and metadata. */
export interface Workload {
  readonly namespace: string;
  /** Name and kind of what owns the pod. */
  readonly name: string;
  readonly owner: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly containers: readonly string[];
}

/** JSON of the probes that the proxy asks in the kubelet's stead, and of the application's metrics. */
export interface Relays {
  readonly probers: Readonly<Record<string, JsonObject>>;
  readonly metrics: JsonObject | undefined;
}

const fromField = (name: string, fieldPath: string): JsonObject => ({ name, valueFrom: { fieldRef: { fieldPath } } });

/** Variables that arguments refer to come first. */
const environment = (settings: ProxySettings, workload: Workload, { probers, metrics }: Relays): JsonObject[] => {
  const values = new Map<string, string>([
    ["ISTIO_META_WORKLOAD_NAME", workload.name],
    ["ISTIO_META_OWNER", workload.owner],
    ["ISTIO_META_APP_CONTAINERS", workload.containers.join(",")],
    ...(settings.network === "" ? [] : ([["ISTIO_META_NETWORK", settings.network]] as const)),
    ...(Object.keys(probers).length === 0 ? [] : ([["ISTIO_KUBE_APP_PROBERS", JSON.stringify(probers)]] as const)),
    ...(metrics ? ([["ISTIO_PROMETHEUS_ANNOTATIONS", JSON.stringify(metrics)]] as const) : []),
    ...settings.env,
  ]);
  return [
    fromField("POD_NAME", "metadata.name"),
    fromField("POD_NAMESPACE", "metadata.namespace"),
    fromField("INSTANCE_IP", "status.podIP"),
    fromField("SERVICE_ACCOUNT", "spec.serviceAccountName"),
    fromField("ISTIO_META_NODE_NAME", "spec.nodeName"),
    ...[...values].map(([name, value]) => ({ name, value: escapeReferences(value) })),
  ];
};

/** Kubernetes expands `$(NAME)` in variables and arguments; doubled, it stays as it is. */
const escapeReferences = (text: string): string => text.replaceAll("$(", () => "$$(");

const labelText = (labels: Readonly<Record<string, string>>): string =>
  Object.entries(labels)
    .map(([name, value]) => `${name}=${value}`)
    .join(",");

const commandLine = (settings: ProxySettings, { labels }: Workload): readonly string[] => [
  ...["pod", "sidecar"],
  ...(settings.statusPort === 0 ? [] : ["--status-port", String(settings.statusPort)]),
  "--",
  ...["--cp", settings.discovery, "--cp-name", controlPlaneHost(settings.systemNamespace, settings.revision)],
  ...["--root-cert", "/var/run/secrets/istio/root-cert.pem", "--token-file", "/var/run/secrets/tokens/istio-token"],
  ...["--name", "$(POD_NAME)", "--namespace", "$(POD_NAMESPACE)", "--service-account", "$(SERVICE_ACCOUNT)"],
  ...["--ip", "$(INSTANCE_IP)", "--labels", escapeReferences(labelText(labels))],
  ...["--interception", settings.interception, "--outbound", "127.0.0.1:15001", "--admin", "127.0.0.1:15000"],
  ...["--cluster-id", settings.clusterId, "--mesh-id", settings.meshId, "--trust-domain", settings.trustDomain],
  ...["--data", "/var/lib/istio/data", "--discovery-cache-disk", cacheSize, "--log-level", settings.logLevel],
  ...(settings.logJson ? ["--log-format", "json"] : []),
  ...(settings.concurrency === undefined ? [] : ["--concurrency", String(settings.concurrency)]),
  ...(settings.drainSeconds === undefined ? [] : ["--drain-time", String(settings.drainSeconds)]),
  ...(capturesNames(settings) ? ["--dns"] : []),
];

const probe = (port: number, more: JsonObject): JsonObject => ({
  httpGet: { path: "/healthz/ready", port },
  timeoutSeconds: 3,
  ...more,
});

/** 15021 is the port that probes and load balancers know. */
const readyPort = 15_021;

const probes = ({ native, hold, statusPort, readiness, startup }: ProxySettings): JsonObject => {
  if (statusPort === 0) return {};
  const { initialDelay, period, failures } = readiness;
  const readinessProbe = probe(readyPort, {
    ...(initialDelay === 0 ? {} : { initialDelaySeconds: initialDelay }),
    periodSeconds: period,
    failureThreshold: failures,
  });
  // The application's containers start when a native sidecar has started; a classic one that is waited for is asked by its hook.
  const starts = startup.enabled && (native || !hold);
  const startupProbe = probe(readyPort, { periodSeconds: 1, failureThreshold: startup.failures });
  return { readinessProbe, ...(starts ? { startupProbe } : {}) };
};

/** Drains before it ends; with `hold` a classic sidecar also keeps the containers after it until it is ready. */
const lifecycle = ({ native, hold, lifecycle: given }: ProxySettings): JsonObject => ({
  preStop: { exec: { command: ["weft", "pod", "drain"] } },
  ...(hold && !native ? { postStart: { exec: { command: ["weft", "pod", "wait"] } } } : {}),
  ...given,
});

/** TPROXY sets a socket option that takes a capability, which only root's processes get from Kubernetes. */
const securityContext = ({ interception }: ProxySettings): JsonObject => {
  const tproxy = interception === "TPROXY";
  return {
    allowPrivilegeEscalation: false,
    capabilities: { ...(tproxy ? { add: ["NET_ADMIN"] } : {}), drop: ["ALL"] },
    privileged: false,
    readOnlyRootFilesystem: true,
    runAsGroup: proxyId,
    runAsNonRoot: !tproxy,
    runAsUser: tproxy ? 0 : proxyId,
    seccompProfile: { type: "RuntimeDefault" },
  };
};

export const proxyContainer = (settings: ProxySettings, workload: Workload, relays: Relays): JsonObject => ({
  name: proxyContainerName,
  image: settings.image,
  ...(settings.imagePullPolicy === undefined ? {} : { imagePullPolicy: settings.imagePullPolicy }),
  args: commandLine(settings, workload),
  env: environment(settings, workload, relays),
  ports: [{ containerPort: 15_090, name: "http-envoy-prom", protocol: "TCP" }],
  ...(settings.native ? { restartPolicy: "Always" } : {}),
  lifecycle: lifecycle(settings),
  ...probes(settings),
  resources: settings.resources,
  securityContext: securityContext(settings),
  volumeMounts: [
    { mountPath: "/var/run/secrets/istio", name: "istiod-ca-cert", readOnly: true },
    { mountPath: "/var/run/secrets/tokens", name: "istio-token", readOnly: true },
    { mountPath: "/etc/istio/pod", name: "istio-podinfo", readOnly: true },
    { mountPath: "/var/lib/istio/data", name: "istio-data" },
    ...settings.volumeMounts,
  ],
});

const tokenSeconds = 43_200;
/** More than the last good configuration of a mesh of 10,000 services, and counted as the container's memory. */
const dataSize = "64Mi";
/** Less than the volume, which a pod may be evicted for filling: keys, and files while they are written anew, have room. */
const cacheSize = "48MiB";

/** Keys are among the data: they stay in memory. */
export const proxyVolumes = ({ volumes }: ProxySettings): readonly JsonObject[] => [
  { name: "istio-data", emptyDir: { medium: "Memory", sizeLimit: dataSize } },
  {
    name: "istio-podinfo",
    downwardAPI: {
      items: [
        { path: "labels", fieldRef: { fieldPath: "metadata.labels" } },
        { path: "annotations", fieldRef: { fieldPath: "metadata.annotations" } },
      ],
    },
  },
  {
    name: "istio-token",
    projected: {
      sources: [
        { serviceAccountToken: { audience: "istio-ca", expirationSeconds: tokenSeconds, path: "istio-token" } },
      ],
    },
  },
  { name: "istiod-ca-cert", configMap: { name: "istio-ca-root-cert" } },
  ...volumes,
];
