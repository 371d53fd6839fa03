/** What the control plane knows, from configuration and registries to what each proxy should have. */
import { createGraph, type Graph, type Source } from "@weft/core/collection";
import type { Clock, Logger, Random, SetTimer } from "@weft/core/world";
import { createGenerator } from "./generate/generator.ts";
import type { Metrics } from "./metrics/metrics.ts";
import type { AllocationStore } from "./model/address-allocator.ts";
import { type ConfigItem, sameConfigItem } from "./model/config-item.ts";
import { createMeshModel, type MeshModel } from "./model/mesh-model.ts";
import type { ReportedHealth } from "./model/service.ts";
import type { SharedAddresses } from "./model/shared-addresses.ts";
import { createPublisher, type Publisher } from "./push/publisher.ts";
import type { PushMetrics } from "./push/push-metrics.ts";
import { type EmbeddedView, embeddedView } from "./registries/embedded/embedded-view.ts";
import type { RegistryBook } from "./registries/embedded/registry.ts";
import { beside, createFolderRegistries } from "./registries/files/folder-registries.ts";
import type { NamedFolder } from "./registries/files/folder-url.ts";
import { kubernetesRegistry } from "./registries/files/kubernetes.ts";
import { serviceEntryRegistry } from "./registries/files/service-entries.ts";
import { allConfiguration, createClusters, storeOver, withClusters } from "./registries/kubernetes/clusters.ts";
import type { NamedCluster } from "./registries/kubernetes/kubernetes-url.ts";
import type { MeshConfigPlace } from "./registries/kubernetes/mesh-config-map.ts";
import type { NamedRegistry } from "./registries/outside/named-registries.ts";
import type { NamedTarget } from "./registries/outside/named-targets.ts";
import { createOutsideRegistries, type OutsideRegistries } from "./registries/outside/outside-registries.ts";
import { collectSourceMetrics } from "./registries/outside/source-metrics.ts";
import { collectWriteMetrics, openWriteBacks, type WriteBacks } from "./registries/outside/write-backs.ts";
import { type ChangePersistence, type ConfigStore, createConfigStore } from "./store/config-store.ts";

export interface MeshState extends Disposable {
  readonly graph: Graph;
  readonly model: MeshModel;
  readonly store: ConfigStore;
  readonly publisher: Publisher;
  readonly outside: OutsideRegistries;
  /** What registers at weft itself. */
  readonly embedded: Pick<EmbeddedView, "held">;
  readonly writeBacks: WriteBacks;
  /** Names of the clusters' namespaces. */
  readonly namespaces: () => readonly string[];
  /** What proxies find failed, to be written; the next commit shows it. */
  readonly reported: Source<ReportedHealth>;
  /** Applies what sources were written, and has it pushed. */
  commit(): void;
  /** As `commit`, once for all changes of this turn. */
  commitSoon(): void;
  /** As `commit`, where that was to be done soon; nothing where it was done meanwhile. */
  commitWaiting(): void;
}

export interface MeshStateOptions {
  readonly trustDomain: string;
  readonly rootNamespace: string;
  readonly persistence: ChangePersistence;
  /** The registry beside the files' objects. */
  readonly registry: Pick<RegistryBook, "watch" | "list">;
  /** Outside registries, where their last good views are kept, and those that `registry` is written into. */
  readonly outside?: {
    readonly registries: readonly NamedRegistry[];
    readonly folder: string;
    readonly targets?: readonly NamedTarget[];
    /** Folders of YAML that are registries. */
    readonly folders?: readonly NamedFolder[];
    /** Kubernetes clusters, which have configuration too. */
    readonly clusters?: readonly NamedCluster[];
    /** Where the first of them has the mesh's settings. */
    readonly meshConfig?: MeshConfigPlace | undefined;
  };
  /** Where virtual addresses are kept over a restart. */
  readonly addresses?: AllocationStore;
  /** Gives them instead, where other control planes have to agree. */
  readonly sharedAddresses?: SharedAddresses | undefined;
  /** With more services, our own sidecars are given only what their workloads use. */
  readonly onDemandAbove?: number;
  readonly clock: Clock;
  readonly setTimer: SetTimer;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly pushMetrics: PushMetrics;
}

/** Has the model look again whenever addresses were given. */
const givenBy = (graph: Graph, allocator: SharedAddresses, commitSoon: () => void) => {
  const given = graph.source<{ readonly key: string; readonly place: string }>("virtual addresses");
  allocator.follow((changes) => {
    for (const { key, after } of changes) {
      if (after) given.put({ key, place: after.value });
      else given.drop(key);
    }
    commitSoon();
  });
  return { allocator, given };
};

/** A mass expiry comes one by one, and is said so often. */
const heldLogMs = 5_000;
const commitSecondsBounds = [0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5];

export const createMeshState = (options: MeshStateOptions): MeshState => {
  const { clock, setTimer, log, metrics } = options;
  const { trustDomain, rootNamespace } = options;
  const graph = createGraph();
  const stored = graph.source<ConfigItem>("config", { equal: sameConfigItem });
  const domain = "cluster.local";
  const clusters = createClusters(graph, {
    ...{ clusters: options.outside?.clusters ?? [], folder: options.outside?.folder ?? "" },
    ...{ stored, rootNamespace, meshConfig: options.outside?.meshConfig },
    ...{ domain, clock, setTimer, random: options.random, log },
  });
  const config = allConfiguration(graph, stored, clusters);
  let soon: Disposable | undefined;
  const commitSoon = (): void => {
    soon ??= setTimer(() => commit(), 0);
  };
  const reported = graph.source<ReportedHealth>("reported health");
  const embedded = embeddedView(graph, options.registry, { domain, changed: () => commitSoon() });
  const others = createOutsideRegistries(graph, {
    ...(options.outside ?? { registries: [], folder: "" }),
    ...{ domain, mesh: trustDomain, clock, setTimer, random: options.random, log },
  });
  const folders = createFolderRegistries(graph, {
    ...{ folders: options.outside?.folders ?? [], folder: options.outside?.folder ?? "" },
    ...{ domain, instances: embedded.endpoints, clock, setTimer, log },
  });
  const outside = beside(withClusters(others, clusters), folders);
  const registries = [
    kubernetesRegistry(graph, config, domain),
    serviceEntryRegistry(graph, config, embedded.endpoints),
    embedded,
    ...outside.views,
  ];
  const model = createMeshModel(graph, {
    sharedAddresses: options.sharedAddresses && givenBy(graph, options.sharedAddresses, commitSoon),
    config,
    registries,
    reported,
    mesh: { trustDomain, rootNamespace, domain },
    ...(options.addresses ? { addresses: options.addresses } : {}),
  });
  const { onDemandAbove } = options;
  const generator = createGenerator(model, onDemandAbove === undefined ? {} : { onDemandAbove });
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
  const instances = (): number => options.registry.list().length;
  collectSourceMetrics(metrics, outside, { instances, held: embedded.held });
  metrics.collect("pilot_config_objects", "gauge", "Configuration objects in force.", () => [{ value: config.size }]);

  let heldBefore = 0;
  let saidHeldMs = Number.NEGATIVE_INFINITY;
  const sayHeld = (): void => {
    const held = embedded.held();
    if (held > heldBefore && clock.nowMs() - saidHeldMs >= heldLogMs) {
      saidHeldMs = clock.nowMs();
      log.warn("WF2111 instances seem gone and are kept as a last resort", { registry: embedded.name, held });
    }
    heldBefore = held;
  };
  const commit = (): void => {
    soon?.[Symbol.dispose]();
    soon = undefined;
    const startedMs = clock.nowMs();
    const report = graph.commit();
    sayHeld();
    discovery.observe((clock.nowMs() - startedMs) / 1000);
    for (const { collection, key, error } of report.failures) {
      failures.add(1);
      log.error("an item stays at its last good form", { collection, key, error: String(error) });
    }
    if (report.changed) publisher.changed();
  };
  const store = storeOver(
    createConfigStore({ source: stored, commit, persistence: options.persistence, log }),
    clusters,
  );
  outside.open(commitSoon);
  const writeBacks = openWriteBacks({
    ...{ targets: options.outside?.targets ?? [], registry: options.registry, mesh: trustDomain },
    ...{ clock, setTimer, random: options.random, log },
  });
  collectWriteMetrics(metrics, writeBacks);
  const dispose = (): void => {
    outside[Symbol.dispose]();
    writeBacks[Symbol.dispose]();
    soon?.[Symbol.dispose]();
    embedded[Symbol.dispose]();
  };
  return {
    graph,
    model,
    store,
    publisher,
    outside,
    embedded,
    writeBacks,
    namespaces: clusters.namespaces,
    reported,
    commit,
    commitSoon,
    commitWaiting: () => void (soon && commit()),
    [Symbol.dispose]: dispose,
  };
};
