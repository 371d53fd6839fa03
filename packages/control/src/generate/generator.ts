/** The one entry for the push side: proxy and model in, resources out, shared by all proxies that see the same. */
import { createHash } from "node:crypto";
import type { Finding } from "@weft/config/finding";
import { LayeredMap } from "@weft/core/layered-map";
import { VersionedMap } from "@weft/core/versioned-map";
import { type ResourceKind, resourceTypes } from "@weft/xds/resource";
import { byKind, ofKind } from "../model/config-item.ts";
import type { MeshModel, ModelChange } from "../model/mesh-model.ts";
import type { Sidecar } from "../model/sidecars.ts";
import type { TrafficRules } from "../model/traffic-rules.ts";
import { clientPart } from "./client-part.ts";
import { endpointsOfCluster } from "./endpoints.ts";
import { type PatchSite, patchGenerated } from "./envoy-filter/envoy-filters.ts";
import { createPatchReader, type PatchPlan } from "./envoy-filter/patch.ts";
import { gatewayPart } from "./gateway-part.ts";
import { grpcPart } from "./grpc-part.ts";
import { withHealthReports } from "./health-reports.ts";
import { createMemo, type Memo } from "./memo.ts";
import { parseClusterName } from "./names.ts";
import { createSizeGauge, isOnDemand, onDemandAboveDefault, partOnDemand, withListed } from "./on-demand.ts";
import { hasIPv6, type ProxyFacts } from "./proxy-facts.ts";
import type { Generated, ResourceMap, ResourceSet } from "./resource-set.ts";
import { createScope, type Scope, sidecarChoice } from "./scope.ts";
import { serverPart } from "./server-part.ts";

export interface Generator {
  /**
   * All resources of a proxy. The same object while nothing of its audience changed; resources whose content did not
   * change stay the same objects, over time and between proxies.
   */
  generate(proxy: ProxyFacts): Generated;
  /** The ClusterLoadAssignments alone of a proxy that was generated for, where they are all in what it shares with others. */
  endpointsOf(proxy: ProxyFacts): ResourceMap<"endpoints"> | undefined;
  /** Proxies with equal keys get the same resources. Configuration can change the key of a proxy. */
  audienceOf(proxy: ProxyFacts): string;
  /**
   * Takes over what the last commits changed. With `other` false, only the ClusterLoadAssignments of the services in
   * `endpoints`, and the inbound ports of proxies at `addresses`, can differ from what was generated before.
   */
  refresh(): GeneratedChange;
}

export interface GeneratedChange extends ModelChange {
  /** Names of the ClusterLoadAssignments that were made anew; with `other` any may have been. */
  readonly names: ReadonlySet<string>;
  /** What is one workload's own may be otherwise. */
  readonly own: boolean;
}

/** Generates for one proxy without keeping anything, for commands and tests. */
export const generateResources = (model: MeshModel, proxy: ProxyFacts): Generated =>
  createGenerator(model).generate(proxy);

interface Part {
  readonly generated: Generated;
  readonly scope: Scope;
  /** Cluster names by hostname, of those that have endpoints. */
  readonly byHost: () => ReadonlyMap<string, readonly string[]>;
}

export interface GeneratorOptions {
  /** With more services than this, our own sidecars that can are given only what their workloads use. */
  readonly onDemandAbove?: number;
}

export const createGenerator = (model: MeshModel, options: GeneratorOptions = {}): Generator => {
  const memo = createMemo();
  const parts = new Map<string, Part>();
  /** Keys of the parts that have endpoints: what workloads serve has none, and there are as many as workloads. */
  const dialling = new Set<string>();
  const whole = new Map<string, Generated>();
  const ownAt = new Map<string, Set<string>>();
  const keys = createKeys(model, createSizeGauge(model, options.onDemandAbove ?? onDemandAboveDefault));
  const join = createJoin();

  const part = (key: string, proxy: ProxyFacts, make: (scope: Scope) => Generated): Generated => {
    const known = parts.get(key);
    if (known) return known.generated;
    const { onDemand, client } = keys.of(proxy);
    const scope = createScope(model, memo, proxy, { onDemand, key: client });
    const site: PatchSite = { kind: proxy.kind, part: key.startsWith("own ") ? "own" : "client", key, memo };
    const patched = patchGenerated(make(scope), keys.of(proxy).patches, site);
    const whole = settled(memo, key, proxy.native ? withHealthReports(memo, key, patched) : patched);
    const generated = onDemand && site.part === "client" ? partOnDemand(memo, key, whole) : whole;
    const { endpoints } = generated.resources;
    const made = endpoints.size === 0 ? generated : withEndpoints(generated, VersionedMap.first(new Map(endpoints)));
    parts.set(key, { generated: made, scope, byHost: lazily(() => namesByHost(endpoints)) });
    if (endpoints.size > 0) dialling.add(key);
    return made;
  };

  const build = (proxy: ProxyFacts): Generated => {
    const client = part(keys.of(proxy).client, proxy, proxy.kind === "grpc" ? grpcPart : clientPart);
    if (proxy.kind === "grpc") return client;
    const key = keys.of(proxy).own;
    for (const address of proxy.addresses) {
      const keys = ownAt.get(address) ?? new Set();
      ownAt.set(address, keys.add(key));
    }
    return join(client, part(key, proxy, proxy.kind === "gateway" ? gatewayPart : serverPart));
  };

  const refreshEndpoints = (services: ReadonlySet<string>): ReadonlySet<string> => {
    const hosts = [...new Set([...services].map((key) => key.slice(key.indexOf("/") + 1)))];
    const names = new Set<string>();
    for (const key of dialling) {
      const made = parts.get(key);
      if (!made) continue;
      const stale = hosts.flatMap((host) => made.byHost().get(host) ?? []);
      if (stale.length === 0) continue;
      const values = new Map(stale.map((name) => [name, endpointsOfCluster(made.scope, name)]));
      const endpoints = VersionedMap.changed(made.generated.resources.endpoints, values);
      parts.set(key, { ...made, generated: withEndpoints(made.generated, endpoints) });
      for (const name of stale) names.add(name);
    }
    return names;
  };

  const forgetOwn = (addresses: ReadonlySet<string>): boolean => {
    let own = false;
    for (const address of addresses) for (const key of ownAt.get(address) ?? []) own = parts.delete(key) || own;
    return own;
  };

  return {
    audienceOf: (proxy) => keys.of(proxy).audience,
    endpointsOf(proxy) {
      const { client, own } = keys.of(proxy);
      const shared = parts.get(client)?.generated.resources.endpoints;
      if (proxy.kind === "grpc") return shared;
      return parts.get(own)?.generated.resources.endpoints.size === 0 ? shared : undefined;
    },
    generate(proxy) {
      const key = keys.of(proxy).audience;
      let made = whole.get(key);
      if (!made) {
        made = build(proxy);
        whole.set(key, made);
      }
      return made;
    },
    refresh() {
      const change = model.takeChange();
      if (change.other) {
        parts.clear();
        dialling.clear();
        ownAt.clear();
        memo.sweep();
      }
      const names = change.other ? new Set<string>() : refreshEndpoints(change.endpoints);
      const own = change.other || (change.endpoints.size > 0 && forgetOwn(change.addresses));
      if (change.other || change.endpoints.size > 0) whole.clear();
      return { ...change, names, own };
    },
  };
};

/** Different keys of client parts that are known as one text each. */
const textsMax = 1024;

interface Keys {
  readonly rules: TrafficRules;
  readonly large: boolean;
  readonly patches: PatchPlan;
  readonly onDemand: boolean;
  readonly client: string;
  readonly own: string;
  readonly audience: string;
}

/** The keys of each proxy, made again only when the rules they depend on are others: each push asks for those of all. */
const createKeys = (model: MeshModel, isLarge: () => boolean) => {
  const known = new WeakMap<ProxyFacts, Keys>();
  const reader = createPatchReader();
  /** Keys that many proxies have are one text, which is found by what it is, not by comparing what it says. */
  const texts = new Map<string, string>();
  const intern = (text: string): string => {
    const known = texts.get(text);
    if (known !== undefined) return known;
    if (texts.size >= textsMax) texts.clear();
    texts.set(text, text);
    return text;
  };
  const kinds = byKind(model.config);
  return {
    of(proxy: ProxyFacts): Keys {
      const rules = model.rules();
      const before = known.get(proxy);
      const large = isLarge();
      if (before?.rules === rules && before.large === large) return before;
      const envoyFilters = ofKind(kinds.lookup("EnvoyFilter"), "EnvoyFilter");
      const patches = reader.planFor(envoyFilters, proxy, model.mesh.rootNamespace);
      const sidecar = sidecarChoice(model, proxy)?.sidecar;
      const onDemand = isOnDemand(proxy, sidecar, large);
      const form = onDemand ? `${patches.key} on demand` : patches.key;
      const client = intern(`${clientKey(rules, proxy, sidecar)} ${form}`);
      const own = `${ownKey(proxy)} ${form}`;
      const audience = proxy.kind === "grpc" ? client : `${client} ${own}`;
      const keys = {
        rules,
        large,
        patches,
        onDemand,
        client,
        own,
        audience: audience === before?.audience ? before.audience : audience,
      };
      known.set(proxy, keys);
      return keys;
    },
  };
};

/** Everything that calls out of the workload depend on. */
const clientKey = (rules: TrafficRules, proxy: ProxyFacts, sidecar: Sidecar | undefined): string => {
  const labels = [...rules.clientLabels].sort().map((name) => proxy.labels[name] ?? null);
  const intercepted = proxy.mode === "NONE" ? null : [proxy.outbound.port, hasIPv6(proxy)];
  return `client ${JSON.stringify([
    proxy.kind,
    proxy.authenticated,
    proxy.namespace,
    intercepted,
    proxy.native,
    proxy.sdsCluster ?? null,
    rules.readsLocality ? proxy.locality : "",
    proxy.dnsCapture && [hasIPv6(proxy), proxy.dnsAddress ?? null],
    labels,
    sidecar ? `${sidecar.namespace}/${sidecar.name}` : null,
  ])}`;
};

/** Everything that is one workload's own. */
const ownKey = ({
  kind,
  authenticated,
  namespace,
  mode,
  native,
  sdsCluster,
  labels,
  addresses,
  inbound,
  outbound,
}: ProxyFacts): string =>
  `own ${JSON.stringify([
    kind,
    authenticated,
    namespace,
    mode,
    native,
    sdsCluster ?? null,
    Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)),
    addresses,
    inbound,
    outbound,
  ])}`;

const withEndpoints = (made: Generated, endpoints: ResourceMap<"endpoints">): Generated => ({
  ...made,
  resources: { ...made.resources, endpoints },
});

const namesByHost = (endpoints: ResourceMap<"endpoints">): ReadonlyMap<string, readonly string[]> =>
  Map.groupBy(endpoints.keys(), (name) => parseClusterName(name)?.hostname ?? "");

/**
 * The part with every resource that came out as it was before replaced by the object of before. What is one workload's
 * own is known by its content, so that workloads which have the same share it.
 */
const settled = (memo: Memo, key: string, { resources, notes, matched }: Generated): Generated => {
  const own = key.startsWith("own ");
  const idOf = (kind: ResourceKind, name: string, json: unknown): string =>
    own
      ? `own ${kind} ${createHash("sha256").update(JSON.stringify(json)).digest("base64")}`
      : `${key} ${kind} ${name}`;
  const same = <K extends ResourceKind>(kind: K): ResourceMap<K> =>
    new Map(
      [...(resources[kind] as ResourceMap<K>)].map(([name, json]) => [
        name,
        memo.of(idOf(kind, name, json), own ? [] : [json], () => json),
      ]),
    );
  return {
    resources: {
      cluster: own ? same("cluster") : resources.cluster,
      endpoints: resources.endpoints,
      listener: same("listener"),
      route: same("route"),
      secret: same("secret"),
    },
    notes: distinct(notes),
    ...(matched ? { matched } : {}),
  };
};

const distinct = (notes: readonly Finding[]): readonly Finding[] => [
  ...new Map(notes.map((one) => [identityOf(one), one])).values(),
];

const identities = new WeakMap<Finding, string>();

const identityOf = (one: Finding): string => {
  const known = identities.get(one) ?? `${one.code} ${one.kind}/${one.namespace}/${one.name} ${one.message}`;
  identities.set(one, known);
  return known;
};

const lazily = <T>(make: () => T): (() => T) => {
  let made: { readonly value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
};

const allNotes = (a: readonly Finding[], b: readonly Finding[]): (() => readonly Finding[]) =>
  lazily(() => distinct([...a, ...b]));

/** Joins parts; the same two maps of a kind give the same map, so that what did not change is seen not to have. */
const createJoin = () => {
  type Layer = ReadonlyMap<string, unknown>;
  const known = new WeakMap<Layer, WeakMap<Layer, Layer>>();
  // The same secret may be read on both sides; everything else has names of its own there.
  const joined = (a: Layer, b: Layer, kind: ResourceKind): Layer => {
    if (b.size === 0) return a;
    if (a.size === 0) return b;
    const over = known.get(a) ?? new WeakMap<Layer, Layer>();
    known.set(a, over);
    const made = over.get(b) ?? (kind === "secret" ? new Map([...a, ...b]) : LayeredMap.of(a, b));
    over.set(b, made);
    return made;
  };
  // Nothing of the first part but its notes: its endpoints would stay, with all that came after them.
  const last = new WeakMap<
    Generated,
    { readonly shared: readonly Finding[]; readonly notes: () => readonly Finding[] }
  >();
  return (a: Generated, b: Generated): Generated => {
    const before = last.get(b);
    const layered: Record<string, Layer> = {};
    for (const { kind } of resourceTypes) layered[kind] = joined(a.resources[kind], b.resources[kind], kind);
    const notes = before?.shared === a.notes ? before.notes : allNotes(a.notes, b.notes);
    const matched = new Set([...(a.matched ?? []), ...(b.matched ?? [])]);
    const { onDemand } = a.resources;
    const resources = {
      ...layered,
      ...(onDemand ? { onDemand: withListed(onDemand, b) } : {}),
    } as unknown as ResourceSet;
    const made = {
      resources,
      // Asked for by people only, and there may be thousands.
      get notes() {
        return notes();
      },
      ...(matched.size > 0 ? { matched } : {}),
    };
    last.set(b, { shared: a.notes, notes });
    return made;
  };
};
