/** The control plane's Deployment and what belongs to it. */
import type { Fill } from "./fill.ts";
import { commonLabels, podSelector } from "./labels.ts";

export type Manifest = Readonly<Record<string, unknown>>;

const ports = [
  ["http-api", 8080],
  ["grpc-xds", 15_010],
  ["tls-xds", 15_012],
  ["https-webhooks", 15_017],
  ["http-monitoring", 15_014],
] as const;

const named = (fill: Fill, extra = "") => ({
  name: `istiod${fill.suffix}${extra}`,
  namespace: fill.text("namespace"),
  labels: commonLabels(fill),
});

const commandLine = (fill: Fill): readonly unknown[] => [
  ...["cp", "--registry", "kubernetes://", "--data", "/var/lib/weft"],
  ...["--xds-address", "0.0.0.0:15010", "--secure-address", "0.0.0.0:15012", "--http-address", "0.0.0.0:8080"],
  ...["--monitoring-address", "0.0.0.0:15014", "--webhook-address", "0.0.0.0:15017"],
  ...["--webhook-service", `istiod${fill.suffix}`, "--pod-name", "$(POD_NAME)", "--pod-namespace", "$(POD_NAMESPACE)"],
  ...["--sidecar-image", fill.text("image")],
  ...["--http-host", `istiod${fill.suffix}.${fill.text("namespace")}.svc`],
  ...["--root-namespace", "$(POD_NAMESPACE)", "--trust-domain", fill.text("trustDomain")],
  ...["--revision", fill.text("revision"), "--log-level", fill.text("logLevel"), "--log-format", "json"],
  ...fill.when("store", ["--store", fill.text("store"), "--store-key", "/etc/weft/store/key"]),
  ...fill.when("storeCredentials", ["--store-credentials", "/etc/weft/store/credentials"]),
];

/** The HTTP API answers hosts it knows, and its readiness to everybody. */
const ready = { httpGet: { path: "/ready", port: 8080, httpHeaders: [{ name: "Host", value: "localhost" }] } };

const container = (fill: Fill): Manifest => ({
  name: "discovery",
  image: fill.text("image"),
  imagePullPolicy: fill.text("imagePullPolicy"),
  args: commandLine(fill),
  env: [
    { name: "POD_NAME", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } },
    { name: "POD_NAMESPACE", valueFrom: { fieldRef: { fieldPath: "metadata.namespace" } } },
    { name: "WEFT_STATE_DIR", value: "/var/lib/weft/state" },
  ],
  ports: ports.map(([name, containerPort]) => ({ name, containerPort, protocol: "TCP" })),
  // Until all that registries have is read, a control plane would send sidecars less than they had.
  readinessProbe: { ...ready, periodSeconds: 5, timeoutSeconds: 5 },
  startupProbe: { ...ready, periodSeconds: 2, failureThreshold: 150, timeoutSeconds: 5 },
  // A registry that is out of reach is no reason to end a control plane that serves what it knows.
  livenessProbe: { tcpSocket: { port: 15_012 }, periodSeconds: 20, failureThreshold: 3 },
  resources: {
    requests: { cpu: fill.text("cpuRequest"), memory: fill.text("memoryRequest") },
    limits: { memory: fill.text("memoryLimit") },
  },
  securityContext: {
    allowPrivilegeEscalation: false,
    capabilities: { drop: ["ALL"] },
    readOnlyRootFilesystem: true,
    runAsGroup: 1337,
    runAsNonRoot: true,
    runAsUser: 1337,
    seccompProfile: { type: "RuntimeDefault" },
  },
  volumeMounts: [
    { name: "data", mountPath: "/var/lib/weft" },
    ...fill.when("store", [{ name: "store", mountPath: "/etc/weft/store", readOnly: true }]),
  ],
});

const podSpec = (fill: Fill): Manifest => ({
  serviceAccountName: `istiod${fill.suffix}`,
  priorityClassName: fill.text("priorityClass"),
  terminationGracePeriodSeconds: 30,
  securityContext: { fsGroup: 1337 },
  affinity: {
    podAntiAffinity: {
      preferredDuringSchedulingIgnoredDuringExecution: [
        {
          weight: 100,
          podAffinityTerm: { labelSelector: { matchLabels: podSelector(fill) }, topologyKey: "kubernetes.io/hostname" },
        },
      ],
    },
  },
  topologySpreadConstraints: [
    {
      maxSkew: 1,
      topologyKey: "topology.kubernetes.io/zone",
      whenUnsatisfiable: "ScheduleAnyway",
      labelSelector: { matchLabels: podSelector(fill) },
    },
  ],
  containers: [container(fill)],
  volumes: [
    { name: "data", emptyDir: { medium: "Memory", sizeLimit: "512Mi" } },
    ...fill.when("store", [{ name: "store", secret: { secretName: fill.text("storeSecret") } }]),
  ],
});

const deployment = (fill: Fill): Manifest => ({
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: named(fill),
  spec: {
    replicas: fill.plain("replicas"),
    selector: { matchLabels: podSelector(fill) },
    strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
    template: {
      metadata: {
        labels: { ...commonLabels(fill), "sidecar.istio.io/inject": "false" },
        annotations: { "sidecar.istio.io/inject": "false" },
      },
      spec: podSpec(fill),
    },
  },
});

const service = (fill: Fill): Manifest => ({
  apiVersion: "v1",
  kind: "Service",
  metadata: named(fill),
  spec: {
    selector: podSelector(fill),
    ports: [
      { name: "grpc-xds", port: 15_010, targetPort: 15_010, protocol: "TCP" },
      { name: "https-dns", port: 15_012, targetPort: 15_012, protocol: "TCP" },
      { name: "https-webhook", port: 443, targetPort: 15_017, protocol: "TCP" },
      { name: "http-monitoring", port: 15_014, targetPort: 15_014, protocol: "TCP" },
      { name: "http-api", port: 8080, targetPort: 8080, protocol: "TCP" },
    ],
  },
});

const disruptionBudget = (fill: Fill): Manifest => ({
  apiVersion: "policy/v1",
  kind: "PodDisruptionBudget",
  metadata: named(fill),
  spec: { maxUnavailable: 1, selector: { matchLabels: podSelector(fill) } },
});

const autoscaler = (fill: Fill): Manifest => ({
  apiVersion: "autoscaling/v2",
  kind: "HorizontalPodAutoscaler",
  metadata: named(fill),
  spec: {
    scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: `istiod${fill.suffix}` },
    minReplicas: fill.plain("replicas"),
    maxReplicas: fill.plain("maxReplicas"),
    metrics: [{ type: "Resource", resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 80 } } }],
  },
});

/** What sidecars, the API server and monitors dial is open; nothing else. */
export const networkPolicy = (fill: Fill): Manifest => ({
  apiVersion: "networking.k8s.io/v1",
  kind: "NetworkPolicy",
  metadata: named(fill),
  spec: {
    podSelector: { matchLabels: podSelector(fill) },
    policyTypes: ["Ingress"],
    ingress: [{ ports: [15_010, 15_012, 15_014, 15_017, 8080].map((port) => ({ port, protocol: "TCP" })) }],
  },
});

export const controlPlaneObjects = (fill: Fill): readonly Manifest[] => [
  deployment(fill),
  service(fill),
  disruptionBudget(fill),
  autoscaler(fill),
];
