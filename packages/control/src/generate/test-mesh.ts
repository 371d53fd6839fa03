/** A small mesh for tests: YAML and registered instances in, a model and its generator out. */
import assert from "node:assert/strict";
import { parseConfig } from "@weft/config/parse-config";
import { createGraph } from "@weft/core/collection";
import { type ConfigItem, configItem, sameConfigItem } from "../model/config-item.ts";
import { profileDefaults } from "../model/mesh-defaults.ts";
import { createMeshModel } from "../model/mesh-model.ts";
import type { MeshSettings } from "../model/mesh-settings.ts";
import { embeddedView } from "../registries/embedded/embedded-view.ts";
import { createEmbeddedRegistry } from "../registries/embedded/registry.ts";
import { memoryStore } from "../registries/embedded/store.ts";
import { kubernetesRegistry } from "../registries/files/kubernetes.ts";
import { serviceEntryRegistry } from "../registries/files/service-entries.ts";
import { createGenerator } from "./generator.ts";
import { parseProxyFacts } from "./proxy-facts.ts";

export interface InstanceInput {
  readonly service: string;
  readonly id: string;
  readonly namespace?: string;
  readonly [field: string]: unknown;
}

/** The profile is Istio's unless a test says another. Everything is committed; call `commit` after changing configuration or registrations. */
export const testMesh = (
  input: {
    readonly yaml?: string;
    readonly instances?: readonly InstanceInput[];
    readonly mesh?: Partial<MeshSettings>;
  } = {},
) => {
  const graph = createGraph();
  const config = graph.source<ConfigItem>("config", { equal: sameConfigItem });
  const clock = { now: 0, nowMs: () => clock.now, wallMs: () => 1_700_000_000_000 + clock.now };
  const registry = createEmbeddedRegistry({ store: memoryStore(), clock });
  const apply = (yaml: string): void => {
    const { objects, findings } = parseConfig(yaml, "test.yaml", config.size);
    assert.deepEqual(
      findings.filter(({ level }) => level === "error"),
      [],
    );
    for (const object of objects) config.put(configItem(object));
  };
  const register = ({ service, id, namespace = "default", ...body }: InstanceInput): void =>
    void registry.put({ namespace, service, id }, { address: "10.0.0.1", ...body });
  apply(input.yaml ?? "");
  for (const instance of input.instances ?? []) register(instance);
  const embedded = embeddedView(graph, registry, { domain: "cluster.local", changed: () => {} });
  const registries = [
    kubernetesRegistry(graph, config, "cluster.local"),
    serviceEntryRegistry(graph, config, embedded.endpoints),
    embedded,
  ];
  const model = createMeshModel(graph, {
    config,
    registries,
    mesh: { defaults: profileDefaults("istio"), ...input.mesh },
  });
  const generator = createGenerator(model);
  const commit = () => {
    const { failures } = graph.commit();
    assert.deepEqual(failures, []);
    return generator.refresh();
  };
  commit();
  return { graph, config, registry, model, generator, clock, apply, register, commit };
};

/** The facts of a proxy by its node metadata. */
export const testProxy = (
  metadata: Readonly<Record<string, unknown>> = {},
  id = "sidecar~10.0.0.9~web-1.default~default.svc.cluster.local",
  authenticated = true,
) =>
  parseProxyFacts(
    { id, metadata: { NAMESPACE: "default", WEFT_VERSION: "0.1.0", INTERCEPTION_MODE: "NONE", ...metadata } },
    authenticated,
  );

/** All YAML a test needs for one service of Kubernetes with its endpoints. */
export const kubernetesService = (
  name: string,
  options: { readonly ip: string; readonly port: number; readonly portName?: string },
): string => `
---
apiVersion: v1
kind: Service
metadata: { name: ${name}, namespace: default }
spec:
  clusterIP: ${options.ip}
  ports: [{ name: ${options.portName ?? "http"}, port: ${options.port}, targetPort: 8080 }]
---
apiVersion: v1
kind: Endpoints
metadata: { name: ${name}, namespace: default }
subsets:
  - addresses: [{ ip: 10.1.0.1 }, { ip: 10.1.0.2 }]
    ports: [{ name: ${options.portName ?? "http"}, port: 8080 }]
`;
