/** What a proxy sees of the mesh where it dials out: everything exported to it, or what its Sidecar imports. */
import type { SidecarEgress } from "@weft/config/kinds/sidecar";
import { hostMatches, intersectHosts, visibleIn } from "../model/hostname.ts";
import type { MeshModel } from "../model/mesh-model.ts";
import type { Service } from "../model/service.ts";
import type { Sidecar } from "../model/sidecars.ts";
import type { VirtualServiceRule } from "../model/virtual-services.ts";
import { exportsOf } from "../model/visible-services.ts";

/** One egress listener of a Sidecar, or all there is. */
export interface EgressView {
  /** Absent where no Sidecar lists any. */
  readonly listener: SidecarEgress | undefined;
  /** By hostname, in that order; behind a listener with a port, with only that port. */
  readonly services: ReadonlyMap<string, Service>;
  readonly rules: readonly VirtualServiceRule[];
}

export interface Egress {
  readonly views: readonly EgressView[];
  /** Services the proxy has clusters for: those imported, and those that routes of imported hosts lead to. */
  readonly services: ReadonlyMap<string, Service>;
  /** Ports there are clusters for, of the services that are not imported whole. */
  readonly ports: ReadonlyMap<string, ReadonlySet<number>>;
}

export const egressOf = (model: MeshModel, namespace: string, sidecar: Sidecar | undefined): Egress => {
  const visible = model.visibleServices(namespace);
  const rules = model.rules().meshRules(namespace);
  const listeners = sidecar?.spec.egress ?? [];
  if (listeners.length === 0) {
    return { views: [{ listener: undefined, services: visible, rules }], services: visible, ports: new Map() };
  }
  const all = [...model.services.values()].filter((one) =>
    visibleIn(exportsOf(one, model.mesh), one.namespace, namespace),
  );
  const views = listeners.map((listener) => viewOf(listener, { all, rules, namespace }));
  return { views, ...everyService(views, model, namespace) };
};

interface Host {
  readonly namespace: string;
  readonly host: string;
}

const parseHosts = (hosts: readonly string[], own: string): { readonly into: Host[]; readonly out: Host[] } => {
  const into: Host[] = [];
  const out: Host[] = [];
  for (const entry of hosts) {
    const slash = entry.indexOf("/");
    const [written, host] = [entry.slice(0, Math.max(slash, 0)), entry.slice(slash + 1).toLowerCase()];
    const excluded = written.startsWith("~");
    const name = excluded ? written.slice(1) || "*" : written || "*";
    (excluded ? out : into).push({ namespace: name === "." ? own : name, host });
  }
  return { into, out };
};

const inNamespace = (host: Host, namespace: string): boolean => host.namespace === "*" || host.namespace === namespace;

const viewOf = (
  listener: SidecarEgress,
  from: { readonly all: readonly Service[]; readonly rules: readonly VirtualServiceRule[]; readonly namespace: string },
): EgressView => {
  const { into, out } = parseHosts(listener.hosts, from.namespace);
  const excluded = (host: string, namespace: string): boolean =>
    out.some((one) => inNamespace(one, namespace) && hostMatches(one.host, host));
  const exact = Map.groupBy(
    into.filter(({ host }) => !host.startsWith("*")),
    ({ host }) => host,
  );
  const wild = into.filter(({ host }) => host.startsWith("*"));
  const imported = ({ hostname, namespace }: Service): boolean =>
    !excluded(hostname, namespace) &&
    ((exact.get(hostname.toLowerCase()) ?? []).some((one) => inNamespace(one, namespace)) ||
      wild.some((one) => inNamespace(one, namespace) && hostMatches(one.host, hostname)));
  const best = new Map<string, Service>();
  for (const service of from.all) {
    if (!imported(service)) continue;
    const seen = atPort(service, listener.port?.number);
    const known = best.get(service.hostname);
    if (seen && (!known || isPreferred(service, known, from.namespace))) best.set(service.hostname, seen);
  }
  const rules = from.rules.filter(({ object, hosts }) =>
    hosts.some(
      (host) =>
        !excluded(host, object.namespace) &&
        into.some((one) => inNamespace(one, object.namespace) && intersectHosts(one.host, host) !== undefined),
    ),
  );
  return { listener, services: sorted(best), rules };
};

const sorted = (services: ReadonlyMap<string, Service>): ReadonlyMap<string, Service> =>
  new Map([...services].sort(([a], [b]) => (a < b ? -1 : 1)));

const atPort = (service: Service, port: number | undefined): Service | undefined => {
  if (port === undefined) return service;
  const ports = service.ports.filter(({ number }) => number === port);
  if (ports.length === 0) return undefined;
  return ports.length === service.ports.length ? service : { ...service, ports };
};

/** The same name in several namespaces: the workload's own counts, then the oldest. */
const isPreferred = (a: Service, b: Service, namespace: string): boolean => {
  if ((a.namespace === namespace) !== (b.namespace === namespace)) return a.namespace === namespace;
  const [ageA, ageB] = [a.createdAt ?? "~", b.createdAt ?? "~"];
  return ageA === ageB ? a.key < b.key : ageA < ageB;
};

const everyService = (
  views: readonly EgressView[],
  model: MeshModel,
  namespace: string,
): Pick<Egress, "services" | "ports"> => {
  const found = new Map<string, Service>();
  const ports = new Map<string, Set<number> | undefined>();
  const visible = model.visibleServices(namespace);
  for (const { listener, services } of views) {
    for (const [hostname, service] of services) {
      const whole = model.services.get(service.key) ?? service;
      const known = found.get(hostname);
      if (known && known.key !== whole.key) continue;
      found.set(hostname, whole);
      if (listener?.port === undefined) ports.set(hostname, undefined);
      else if (!known) ports.set(hostname, new Set(service.ports.map(({ number }) => number)));
      else for (const { number } of service.ports) ports.get(hostname)?.add(number);
    }
  }
  for (const { rules } of views) {
    for (const host of rules.flatMap(destinationHosts)) {
      const service = visible.get(host);
      if (!service) continue;
      if (!found.has(host)) found.set(host, service);
      ports.set(host, undefined);
    }
  }
  const some = [...ports].filter((entry): entry is [string, Set<number>] => entry[1] !== undefined);
  return { services: sorted(found), ports: new Map(some) };
};

const destinationHosts = ({ http, tls, tcp }: VirtualServiceRule): readonly string[] => [
  ...http.flatMap(({ rule }) => [
    ...(rule.route ?? []).map(({ destination }) => destination.host),
    ...(rule.mirror ? [rule.mirror.host] : []),
    ...(rule.mirrors ?? []).map(({ destination }) => destination.host),
  ]),
  ...[...tls, ...tcp].flatMap(({ route }) => (route ?? []).map(({ destination }) => destination.host)),
];
