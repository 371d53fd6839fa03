/** The model: what configuration and registries mean together, kept current by the graph. */
import type { ConfigOf } from "@weft/config/config-object";
import type { Finding } from "@weft/config/finding";
import type { Collection, Graph, Keyed } from "@weft/core/collection";
import { sameValue } from "@weft/core/equal";
import {
  type AddressAllocator,
  type AllocationStore,
  createAddressAllocator,
  type VirtualAddresses,
} from "./address-allocator.ts";
import { byKind, type ConfigItem, ofKind } from "./config-item.ts";
import { mergeServices, type RegistryView } from "./merged-services.ts";
import { applyMeshConfig, meshConfigOf } from "./mesh-config.ts";
import { meshDefaultsOf } from "./mesh-defaults.ts";
import { defaultMeshSettings, type MeshSettings } from "./mesh-settings.ts";
import type { EndpointRecord, ReportedHealth, Service, ServiceEndpoints } from "./service.ts";
import { type TrafficRules, trafficRules } from "./traffic-rules.ts";
import { createVisibleServices } from "./visible-services.ts";

export interface ModelSources {
  readonly config: Collection<ConfigItem>;
  readonly registries: readonly RegistryView[];
  /** What proxies find failed, by service. */
  readonly reported?: Collection<ReportedHealth>;
  /** Settings the control plane was started with; a MeshConfig object goes before them. */
  readonly mesh?: Partial<MeshSettings>;
  /** Where virtual addresses are kept over a restart. */
  readonly addresses?: AllocationStore;
  /** Who gives addresses instead, and the collection that changes when it gave some. */
  readonly sharedAddresses?: { readonly allocator: AddressAllocator; readonly given: Collection<Keyed> } | undefined;
}

/** What changed since it was last asked. */
export interface ModelChange {
  /** Keys of services of which only endpoints changed: nothing but their ClusterLoadAssignments can differ. */
  readonly endpoints: ReadonlySet<string>;
  /** Addresses at which endpoints came, went or changed: the proxies there may have other inbound ports. */
  readonly addresses: ReadonlySet<string>;
  /** Services or configuration changed: anything may differ. */
  readonly other: boolean;
}

export interface MeshModel {
  /** As configuration has it now; the same object while it says the same. */
  readonly mesh: MeshSettings;
  readonly services: Collection<Service>;
  readonly endpoints: Collection<ServiceEndpoints>;
  readonly config: Collection<ConfigItem>;
  /** Services clients of a namespace can see, one per hostname: their own namespace's first, then the oldest. In order of key. */
  visibleServices(namespace: string): ReadonlyMap<string, Service>;
  /** Addresses made up for a service that has none of its own, for clients whose DNS is ours; else none. */
  virtualAddresses(service: Service): VirtualAddresses | undefined;
  rules(): TrafficRules;
  peerAuthentications(): readonly ConfigOf<"PeerAuthentication">[];
  authorizationPolicies(): readonly ConfigOf<"AuthorizationPolicy">[];
  localRateLimits(): readonly ConfigOf<"LocalRateLimit">[];
  /** Endpoint records at an address: what a proxy there serves. */
  endpointsAt(address: string): readonly EndpointRecord[];
  /** What sources disagree on about the same service. */
  findings(): readonly Finding[];
  /** Changes since the last call; the first call says everything changed. */
  takeChange(): ModelChange;
  /** Grows with every change that is not of endpoints only; what is computed from the model holds while it stays. */
  readonly epoch: () => number;
}

/** Builds the derived collections. Nothing is current before the graph's next commit. */
export const createMeshModel = (graph: Graph, sources: ModelSources): MeshModel => {
  const started: MeshSettings = { ...defaultMeshSettings, ...sources.mesh };
  const { services, endpoints, byAddress } = mergeServices(graph, { ...sources, mesh: started });
  const kinds = byKind(sources.config);
  const state = trackChanges({ services, endpoints, config: sources.config }, sources.sharedAddresses?.given);
  const allocator = sources.sharedAddresses?.allocator ?? createAddressAllocator(sources.addresses);
  let settings = started;
  const meshNow = (): MeshSettings => {
    const configs = ofKind(kinds.lookup("MeshConfig"), "MeshConfig");
    const now: MeshSettings = {
      ...applyMeshConfig(started, meshConfigOf(configs, started.rootNamespace)),
      defaults: meshDefaultsOf(
        started.defaults,
        ofKind(kinds.lookup("MeshDefaults"), "MeshDefaults"),
        started.rootNamespace,
      ),
    };
    if (!sameValue(settings, now)) settings = now;
    return settings;
  };
  const mesh = (): MeshSettings => state.ofConfig("mesh", meshNow);
  const visible = createVisibleServices(services, mesh);

  return {
    get mesh() {
      return mesh();
    },
    services,
    endpoints,
    config: sources.config,
    visibleServices: visible,
    virtualAddresses: ({ key }) =>
      state
        .ofServices("addresses", () =>
          allocator.allocate([...services.values()].filter(wantsAddress).map((service) => service.key)),
        )
        .get(key),
    rules: () => state.ofConfig("rules", () => trafficRules(sources.config, mesh())),
    peerAuthentications: () =>
      state.ofConfig("peer", () => ofKind(kinds.lookup("PeerAuthentication"), "PeerAuthentication")),
    authorizationPolicies: () =>
      state.ofConfig("authorization", () => ofKind(kinds.lookup("AuthorizationPolicy"), "AuthorizationPolicy")),
    localRateLimits: () => state.ofConfig("limits", () => ofKind(kinds.lookup("LocalRateLimit"), "LocalRateLimit")),
    findings: () => state.ofServices("findings", () => [...services.values()].flatMap(conflictFindings)),
    endpointsAt: (address) => byAddress.lookup(address),
    takeChange: state.take,
    epoch: state.epoch,
  };
};

/** Notes what commits change, and forgets what was computed from the state before. */
const trackChanges = (from: Pick<MeshModel, "services" | "endpoints" | "config">, given?: Collection<Keyed>) => {
  /** What was computed from either: a new service is no reason to read all rules again. */
  const [ofConfig, ofServices] = [createCache(), createCache()];
  let touched = new Set<string>();
  let addresses = new Set<string>();
  let other = true;
  let epoch = 0;
  const everything = (): void => {
    other = true;
    epoch++;
  };
  from.services.watch(() => {
    everything();
    ofServices.clear();
  });
  from.config.watch(() => {
    everything();
    ofConfig.clear();
    ofServices.clear();
  });
  given?.watch(() => {
    everything();
    ofServices.clear();
  });
  from.endpoints.watch((changes) => {
    for (const { key, before, after } of changes) {
      touched.add(key);
      noteAddresses(before, after, addresses);
      // Their addresses are in clusters or listeners, not in a ClusterLoadAssignment.
      const service = from.services.get(key);
      if (service && (service.resolution !== "eds" || service.headless)) everything();
    }
  });
  return {
    epoch: () => epoch,
    /** What `make` gives, kept until configuration changes. */
    ofConfig: ofConfig.of,
    /** The same, kept until services or configuration change. */
    ofServices: ofServices.of,
    take(): ModelChange {
      const change = { endpoints: touched, addresses, other };
      touched = new Set();
      addresses = new Set();
      other = false;
      return change;
    },
  };
};

const createCache = () => {
  const cache = new Map<string, unknown>();
  return {
    clear: () => cache.clear(),
    of<T>(name: string, make: () => T): T {
      if (!cache.has(name)) cache.set(name, make());
      return cache.get(name) as T;
    },
  };
};

const conflictFindings = ({ hostname, namespace, conflicts }: Service): readonly Finding[] =>
  conflicts.map((problem) => ({
    code: "WF8020",
    level: "warning",
    message: `service ${hostname}: ${problem}`,
    kind: "Service",
    namespace,
    name: hostname,
    file: "",
    line: 0,
    column: 0,
    also: [],
  }));

/** What is unchanged stands mostly in its former place, and is passed over there. */
const noteAddresses = (
  before: ServiceEndpoints | undefined,
  after: ServiceEndpoints | undefined,
  addresses: Set<string>,
): void => {
  const [old, now] = [before?.endpoints ?? none, after?.endpoints ?? none];
  let from = 0;
  while (from < old.length && from < now.length && old[from] === now[from]) from++;
  let [oldEnd, nowEnd] = [old.length, now.length];
  while (oldEnd > from && nowEnd > from && old[oldEnd - 1] === now[nowEnd - 1]) {
    oldEnd--;
    nowEnd--;
  }
  const [gone, come] = [new Set(old.slice(from, oldEnd)), new Set(now.slice(from, nowEnd))];
  for (const endpoint of gone.symmetricDifference(come)) addresses.add(endpoint.address);
};

const none: readonly EndpointRecord[] = [];

/** As Istio, for what the registry knows too, which gives out no addresses: only where a name is looked up, and what is dialled is not what decides. */
const wantsAddress = ({ addresses, sources, resolution, hostname, autoAddress }: Service): boolean =>
  autoAddress &&
  addresses.length === 0 &&
  (sources[0] === "ServiceEntry" || sources[0] === "Registry") &&
  resolution !== "passthrough" &&
  (!hostname.startsWith("*") || resolution === "dynamicDns");
