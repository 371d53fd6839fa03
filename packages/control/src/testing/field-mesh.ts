/** A mesh in which every field of configuration has something to act on, and the proxies that would show it. */
import { type ConfigObject, compareAge } from "@weft/config/config-object";
import { parseConfig } from "@weft/config/parse-config";
import { createGraph } from "@weft/core/collection";
import { createGenerator } from "../generate/generator.ts";
import { type NodeJson, parseProxyFacts } from "../generate/proxy-facts.ts";
import { type ConfigItem, configItem, sameConfigItem } from "../model/config-item.ts";
import { createMeshModel } from "../model/mesh-model.ts";
import { kubernetesRegistry } from "../registries/files/kubernetes.ts";
import { serviceEntryRegistry } from "../registries/files/service-entries.ts";

const document = (kind: string, name: string, spec: string, namespace = "default") => `---
apiVersion: networking.istio.io/v1
kind: ${kind}
metadata: {name: ${name}, namespace: ${namespace}}
spec: ${spec}
`;

const yaml = [
  document(
    "ServiceEntry",
    "app",
    `{hosts: [app.default.svc.cluster.local], location: MESH_INTERNAL, resolution: STATIC, addresses: [10.9.0.1],
  ports: [{number: 80, name: http, protocol: HTTP}, {number: 90, name: grpc, protocol: GRPC},
    {number: 3306, name: tcp, protocol: TCP}],
  endpoints: [{address: 10.0.0.1, labels: {version: v1, app: app}, locality: r1/z1/s1},
    {address: 10.0.0.2, labels: {version: v2, app: app, rack: a}, locality: r2/z2/s2},
    {address: 10.0.0.3, labels: {version: v2, app: app, rack: b}, locality: r3/z3/s3}]}`,
  ),
  document(
    "ServiceEntry",
    "secure",
    `{hosts: [secure.example, a.secure.example], location: MESH_EXTERNAL, resolution: DNS,
  ports: [{number: 443, name: tls, protocol: TLS}]}`,
  ),
  document(
    "ServiceEntry",
    "db",
    `{hosts: [db.default.svc.cluster.local], location: MESH_INTERNAL, resolution: STATIC, addresses: [10.9.0.9],
  ports: [{number: 5432, name: tcp, protocol: TCP}], endpoints: [{address: 10.0.0.6}]}`,
  ),
  document(
    "VirtualService",
    "db",
    `{hosts: [db.default.svc.cluster.local],
  tcp: [{route: [{destination: {host: app.default.svc.cluster.local, subset: v1, port: {number: 3306}}}]}]}`,
  ),
  document("DestinationRule", "kube", "{host: kube, trafficPolicy: {connectionPool: {tcp: {maxConnections: 77}}}}"),
  document(
    "ServiceEntry",
    "picked",
    `{hosts: [picked.example], location: MESH_INTERNAL, resolution: STATIC, workloadSelector: {labels: {app: entry}},
  ports: [{number: 80, name: http, protocol: HTTP}]}`,
  ),
  document("WorkloadEntry", "plain", "{address: 10.0.0.7, labels: {app: app}, ports: {http: 9999}}"),
  document("WorkloadEntry", "web", "{address: 10.0.0.8, labels: {app: web}}"),
  document(
    "VirtualService",
    "to-subset",
    `{hosts: [kube.default.svc.cluster.local],
  http: [{route: [{destination: {host: app.default.svc.cluster.local, subset: v1, port: {number: 80}}}]}]}`,
  ),
  document(
    "Gateway",
    "edge",
    "{selector: {istio: edge}, servers: [{port: {number: 8080, name: http, protocol: HTTP}, hosts: ['*']}]}",
  ),
  document("VirtualService", "inner", "{http: [{directResponse: {status: 204}}]}"),
  document("VirtualService", "inner-other", "{http: [{directResponse: {status: 205}}]}"),
  document("VirtualService", "inner", "{http: [{directResponse: {status: 206}}]}", "other"),
  `---
apiVersion: v1
kind: Service
metadata: {name: kube}
spec: {clusterIP: 10.9.0.2, selector: {app: kube}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Endpoints
metadata: {name: kube}
subsets: [{addresses: [{ip: 10.0.0.5}], ports: [{name: http, port: 8080}]}]
`,
  `---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: plain}
spec: {selector: {matchLabels: {tier: plain}}, mtls: {mode: DISABLE}}
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: patience}
spec:
  priority: 20
  configPatches:
  - applyTo: CLUSTER
    match: {cluster: {service: app.default.svc.cluster.local, portNumber: 90}}
    patch: {operation: MERGE, value: {connect_timeout: 8s}}
`,
  ...["cert", "one", "two"].map(
    (name) => `---
apiVersion: v1
kind: Secret
metadata: {name: ${name}}
stringData: {tls.crt: "-----BEGIN ${name} chain", tls.key: "-----BEGIN ${name} key", ca.crt: "-----BEGIN ${name} ca"}
`,
  ),
].join("");

const locality = { region: "r1", zone: "z1", subZone: "s1" };
const sidecar = (ip: string, namespace: string, metadata: object): NodeJson => ({
  id: `sidecar~${ip}~web-1.${namespace}~${namespace}.svc.cluster.local`,
  locality,
  metadata: {
    NAMESPACE: namespace,
    WEFT_VERSION: "1",
    ISTIO_VERSION: "1.31.0",
    LABELS: { app: "web", version: "v1" },
    ...metadata,
  },
});

/** An Envoy under the same control plane: it has keys of its own. */
const envoy = { WEFT_VERSION: undefined, WEFT_SDS: "sds" };

/** A client in each mode, one of another namespace, the app's own, edge proxies, Envoys, a gRPC program. */
const nodes: readonly NodeJson[] = [
  sidecar("10.0.0.9", "default", { INTERCEPTION_MODE: "NONE" }),
  sidecar("10.0.0.10", "default", { INTERCEPTION_MODE: "REDIRECT" }),
  sidecar("10.0.0.11", "other", { INTERCEPTION_MODE: "NONE", LABELS: { app: "none" } }),
  sidecar("10.0.0.1", "default", { INTERCEPTION_MODE: "REDIRECT", LABELS: { app: "app", version: "v1" } }),
  sidecar("10.0.0.12", "default", {
    INTERCEPTION_MODE: "NONE",
    LABELS: { app: "app" },
    WEFT_INBOUND: [{ address: "127.0.0.1", port: 9001, appPort: 8080, protocol: "http", name: "http" }],
  }),
  sidecar("10.0.0.14", "default", { INTERCEPTION_MODE: "REDIRECT", LABELS: { tier: "plain" } }),
  sidecar("10.0.0.13", "default", { INTERCEPTION_MODE: "REDIRECT", ...envoy }),
  {
    id: "router~10.0.0.21~edge-2.default~default.svc.cluster.local",
    locality,
    metadata: { NAMESPACE: "default", LABELS: { istio: "edge", app: "edge" }, ...envoy },
  },
  {
    id: "router~10.0.0.20~edge-1.default~default.svc.cluster.local",
    locality,
    metadata: { NAMESPACE: "default", WEFT_VERSION: "1", LABELS: { istio: "edge", app: "edge" } },
  },
  { id: "grpc-client", locality, metadata: { GENERATOR: "grpc", NAMESPACE: "default" } },
];

/** Everything all proxies get, as one text that is equal when all of it is. */
export type OutcomeOf = (objects: readonly ConfigObject[]) => string;

/** The mesh, kept: each call has its objects beside those of the mesh, and takes them out again before the next. */
export const fieldMesh = (): OutcomeOf => {
  const graph = createGraph();
  const config = graph.source<ConfigItem>("config", { equal: sameConfigItem });
  const put = (object: ConfigObject): void => config.put(configItem(object));
  const base = parseConfig(yaml, "mesh.yaml").objects.toSorted(compareAge);
  for (const object of base) put(object);
  const registries = [kubernetesRegistry(graph, config, "cluster.local"), serviceEntryRegistry(graph, config)];
  const model = createMeshModel(graph, { config, registries });
  const generator = createGenerator(model);
  const proxies = nodes.map((node) => parseProxyFacts(node, true));
  let added: readonly ConfigItem[] = [];
  return (objects) => {
    for (const { key } of added) config.drop(key);
    added = objects.map(configItem);
    for (const item of added) config.put(item);
    const { failures } = graph.commit();
    if (failures.length > 0) return JSON.stringify(failures);
    generator.refresh();
    return JSON.stringify(
      proxies.map((proxy) =>
        Object.values(generator.generate(proxy).resources).map((resources) =>
          [...resources].sort(([a], [b]) => (a < b ? -1 : 1)),
        ),
      ),
    );
  };
};
