/** What the control plane knows, from configuration and registries to what each proxy should have. */
import { createGraph, type Graph, type Source } from "@weft/core/collection";
import type { Clock, Logger, Random, SetTimer } from "@weft/core/world";
import { createGenerator } from "./generate/generator.ts";
import type { Metrics } from "./metrics/metrics.ts";
import type { AllocationStore } from "./model/address-allocator.ts";
import { type ConfigItem, sameConfigItem } from "./model/config-item.ts";
import { createMeshModel, type MeshModel } from "./model/mesh-model.ts";
import type { ReportedHealth } from "./model/service.ts";
import { createPublisher, type Publisher } from "./push/publisher.ts";
import type { PushMetrics } from "./push/push-metrics.ts";
import { embeddedView } from "./registries/embedded/embedded-view.ts";
import type { EmbeddedRegistry } from "./registries/embedded/registry.ts";
import { kubernetesRegistry } from "./registries/files/kubernetes.ts";
import { serviceEntryRegistry } from "./registries/files/service-entries.ts";
import type { NamedRegistry } from "./registries/outside/named-registries.ts";
import { createOutsideRegistries, type OutsideRegistries } from "./registries/outside/outside-registries.ts";
import { collectSourceMetrics } from "./registries/outside/source-metrics.ts";
import { type ChangePersistence, type ConfigStore, createConfigStore } from "./store/config-store.ts";

export interface MeshState extends Disposable {
  readonly graph: Graph;
  readonly model: MeshModel;
  readonly store: ConfigStore;
  readonly publisher: Publisher;
  readonly outside: OutsideRegistries;
  /** What proxies find failed, to be written; the next commit shows it. */
  readonly reported: Source<ReportedHealth>;
  /** Applies what sources were written, and has it pushed. */
  commit(): void;
  /** As `commit`, once for all changes of this turn. */
  commitSoon(): void;
}

export interface MeshStateOptions {
  readonly trustDomain: string;
  readonly rootNamespace: string;
  readonly persistence: ChangePersistence;
  /** The registry beside the files' objects. */
  readonly registry: EmbeddedRegistry;
  /** Outside registries, and where their last good views are kept. */
  readonly outside?: { readonly registries: readonly NamedRegistry[]; readonly folder: string };
  /** Where virtual addresses are kept over a restart. */
  readonly addresses?: AllocationStore;
  readonly clock: Clock;
  readonly setTimer: SetTimer;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly pushMetrics: PushMetrics;
}

const commitSecondsBounds = [0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5];

export const createMeshState = (options: MeshStateOptions): MeshState => {
  const { clock, setTimer, log, metrics } = options;
  const { trustDomain, rootNamespace } = options;
  const graph = createGraph();
  const config = graph.source<ConfigItem>("config", { equal: sameConfigItem });
  const domain = "cluster.local";
  let soon: Disposable | undefined;
  const commitSoon = (): void => {
    soon ??= setTimer(() => commit(), 0);
  };
  const reported = graph.source<ReportedHealth>("reported health");
  const embedded = embeddedView(graph, options.registry, { domain, changed: () => commitSoon() });
  const outside = createOutsideRegistries(graph, {
    ...(options.outside ?? { registries: [], folder: "" }),
    ...{ domain, clock, setTimer, random: options.random, log },
  });
  const registries = [
    kubernetesRegistry(graph, config, domain),
    serviceEntryRegistry(graph, config, embedded.endpoints),
    embedded,
    ...outside.views,
  ];
  const model = createMeshModel(graph, {
    config,
    registries,
    reported,
    mesh: { trustDomain, rootNamespace, domain },
    ...(options.addresses ? { addresses: options.addresses } : {}),
  });
  const generator = createGenerator(model);
  const publisher = createPublisher({ generator, clock, setTimer, log, metrics: options.pushMetrics });

  const discovery = metrics.histogram(
    "istio_service_discovery_duration_seconds",
    "Seconds to take one batch of changes into services and endpoints.",
    commitSecondsBounds,
  );
  const failures = metrics.counter(
    "istio_endpoint_update_failures_total",
    "Items left at their last good form because deriving them failed.",
  );
  metrics.collect("pilot_services", "gauge", "Services known.", () => [{ value: model.services.size }]);
  collectSourceMetrics(metrics, outside, () => options.registry.list().length);
  metrics.collect("pilot_config_objects", "gauge", "Configuration objects in force.", () => [{ value: config.size }]);

  const commit = (): void => {
    soon?.[Symbol.dispose]();
    soon = undefined;
    const startedMs = clock.nowMs();
    const report = graph.commit();
    discovery.observe((clock.nowMs() - startedMs) / 1000);
    for (const { collection, key, error } of report.failures) {
      failures.add(1);
      log.error("an item stays at its last good form", { collection, key, error: String(error) });
    }
    if (report.changed) publisher.changed();
  };
  const store = createConfigStore({ source: config, commit, persistence: options.persistence, log });
  outside.open(commitSoon);
  const dispose = (): void => {
    outside[Symbol.dispose]();
    soon?.[Symbol.dispose]();
    embedded[Symbol.dispose]();
  };
  return { graph, model, store, publisher, outside, reported, commit, commitSoon, [Symbol.dispose]: dispose };
};
