/** Route tables for calls out of a workload: by port when intercepted, one for all in explicit mode. */
import { isIPv4 } from "@weft/core/ip";
import type { RouteConfigurationJson } from "@weft/xds/gen/envoy/config/route/v3/route";
import type { RouteJson, VirtualHostJson } from "@weft/xds/gen/envoy/config/route/v3/route_components";
import { namesOf } from "../model/hostname.ts";
import type { Service } from "../model/service.ts";
import type { VirtualServiceRule } from "../model/virtual-services.ts";
import type { EgressView } from "./egress.ts";
import { selfHost } from "./grpc-routes.ts";
import { type Parts, partsOf, sameInputs } from "./kept-parts.ts";
import { noteShadowed, type RuleTable, ruleTable } from "./mesh-routes.ts";
import { httpProxyRoute, passthroughCluster } from "./names.ts";
import type { PortMember } from "./outbound-plan.ts";
import { createDomainCheck } from "./route-domains.ts";
import { connectionInputs, isRouted, type RouteContext, ruleInputs, rulesRoutes } from "./rule-routes.ts";
import type { Scope } from "./scope.ts";
import { serviceAddresses } from "./service-addresses.ts";
import { connectionTargets, rulesForConnections, type WeightedTarget } from "./tcp-routes.ts";

const virtualHost = (name: string, domains: readonly string[], routes: readonly RouteJson[]): VirtualHostJson => ({
  name,
  domains: [...domains],
  routes: [...routes],
  includeRequestAttemptCount: true,
});

const blockAll: RouteJson = { name: "block_all", match: { prefix: "/" }, directResponse: { status: 502 } };

/** What happens to requests for hosts the mesh does not know. */
const catchAll = (scope: Scope): VirtualHostJson => {
  const { allowed } = scope.unknown;
  return virtualHost(allowed ? "allow_any" : "block_all", ["*"], allowed ? allowAny(scope) : [blockAll]);
};

const addressWithPort = "(\\d{1,3}(\\.\\d{1,3}){3}|\\[[0-9a-fA-F:.]+\\]):\\d+";
const unknownName =
  "WF5013 the mesh knows no service of this name, and explicit mode resolves no other names. " +
  "Next: declare the host by a ServiceEntry, or call it without the proxy";

const unknownPort =
  "WF5014 the mesh knows the service, but it has no such port. " +
  "Next: leave the port out of the Host, or look its ports up with weft registry";

/**
 * As dialled where connections are intercepted. In explicit mode the Host is all there is: an address is dialled (our
 * sidecar reads it from the header added here, Envoy from the Host itself), a name cannot be, unless the mesh has names
 * looked up.
 */
const allowAny = ({ proxy, unknown }: Scope): readonly RouteJson[] => {
  const route: RouteJson = {
    name: "allow_any",
    match: { prefix: "/" },
    route: { cluster: unknown.names ?? unknown.cluster, timeout: "0s", maxGrpcTimeout: "0s" },
  };
  if (unknown.names !== undefined) return [route];
  if (proxy.mode !== "NONE" || unknown.cluster !== passthroughCluster) return [route];
  const toAddress: RouteJson = {
    ...route,
    match: { prefix: "/", headers: [{ name: ":authority", stringMatch: { safeRegex: { regex: addressWithPort } } }] },
    ...(proxy.native
      ? {
          requestHeadersToAdd: [
            {
              header: { key: "x-envoy-original-dst-host", value: "%REQ(:AUTHORITY)%" },
              appendAction: "OVERWRITE_IF_EXISTS_OR_ADD",
            },
          ],
        }
      : {}),
  };
  return [toAddress, { ...blockAll, directResponse: { status: 502, body: { inlineString: unknownName } } }];
};

const table = ({ memo, key }: Scope, name: string, hosts: readonly VirtualHostJson[]): RouteConfigurationJson => ({
  name,
  virtualHosts: memo.of(`domains ${name} ${key}`, [], createDomainCheck)(hosts),
  validateClusters: false,
  maxDirectResponseBodySizeBytes: 1_048_576,
});

const client = ({ model, proxy }: Scope) => ({ namespace: proxy.namespace, domain: model.mesh.domain });

/** By their names, in the order of which Envoy's hosts are. */
const sortedHosts = (hosts: readonly VirtualHostJson[]): readonly VirtualHostJson[] =>
  hosts.toSorted((a, b) => ((a.name ?? "") < (b.name ?? "") ? -1 : 1));

/** Every name of a service, the absolute one with its dot among them. */
const serviceNames = (scope: Scope, { hostname }: Service): readonly string[] => {
  const [full = hostname, ...shorter] = namesOf(hostname, client(scope));
  return hostname.startsWith("*") || isIPv4(hostname) ? [full, ...shorter] : [full, `${full}.`, ...shorter];
};

/** Virtual addresses are hosts too; a headless service's endpoints have names below its own. */
const domainsOf = (scope: Scope, service: Service): readonly string[] => {
  const names = serviceNames(scope, service);
  return [
    ...names,
    ...(service.headless ? names.map((name) => `*.${name}`) : []),
    ...hostAddresses(serviceAddresses(scope, service)),
  ];
};

/** The table of an intercepted port: Hosts are matched without their port. */
export const portTable = (
  context: RouteContext,
  view: EgressView,
  { port, members }: { readonly port: number; readonly members: readonly PortMember[] },
): RouteConfigurationJson => {
  const { scope } = context;
  const rules = ruleTable(view);
  const parts = partsOf<VirtualHostJson>(context, `hosts of ${port}`);
  const hosts = members.map((member) => memberHost({ scope, rules, parts }, member));
  const bare = bareHosts(context, rules, port);
  return {
    ...table(scope, String(port), [...sortedHosts([...hosts, ...bare]), catchAll(scope)]),
    ignorePortInHostMatching: true,
  };
};

interface HostMaker {
  readonly scope: Scope;
  readonly rules: RuleTable;
  readonly parts: Parts<VirtualHostJson>;
}

const memberHost = ({ scope, rules, parts }: HostMaker, { service, port }: PortMember): VirtualHostJson => {
  const { model } = scope;
  // Of one behind a Sidecar's port there is a new object each time, with a part of its ports.
  const owner = model.services.get(service.key) ?? service;
  const read = rules.inputs(scope, service);
  const inputs = [owner, port.number, model.mesh, service.ports.length, addressInput(scope, service), ...read];
  return parts(owner, inputs, (context) =>
    virtualHost(
      `${service.hostname}:${port.number}`,
      domainsOf(scope, service),
      rules.routes(context, service, port.number),
    ),
  );
};

/** What `serviceAddresses` gives for a service depends on, beside the client and the service. */
const addressInput = ({ model, proxy }: Scope, service: Service): unknown =>
  service.addresses.length > 0 || !proxy.dnsCapture ? undefined : model.virtualAddresses(service);

/** Hosts of rules that are no service: on the ports of services the same rule is for, else on port 80. */
const bareHosts = (context: RouteContext, rules: RuleTable, port: number): readonly VirtualHostJson[] => {
  const { scope } = context;
  const holders = new Map<string, VirtualServiceRule>();
  const parts = partsOf<BareRoutes>(context, `bare hosts of ${port}`);
  return rules.bare.flatMap(({ host, rule, ports }): readonly VirtualHostJson[] => {
    if (ports.size > 0 ? !ports.has(port) : port !== 80) return [];
    const { routes, hosts } = parts(rule, [scope.model.mesh, ...ruleInputs(scope, rule)], (own) => ({
      routes: rulesRoutes({ ...own, port, gateway: "mesh", secure: false }, rule),
      hosts: new Map(),
    }));
    if (routes.length === 0) return [];
    const holder = holders.get(host);
    if (holder) {
      noteShadowed(context, holder, { rule, host });
      return [];
    }
    holders.set(host, rule);
    const made = hosts.get(host) ?? virtualHost(`${host}:${port}`, namesOf(host, client(scope)), routes);
    hosts.set(host, made);
    return [made];
  });
};

/** Of a rule at a port, and the hosts that have them. */
interface BareRoutes {
  readonly routes: readonly RouteJson[];
  readonly hosts: Map<string, VirtualHostJson>;
}

/** The table of a sniffed port at one service's own address: whatever the Host says, the service is meant. */
export const serviceTable = (context: RouteContext, view: EgressView, member: PortMember): RouteConfigurationJson => {
  const { service, port } = member;
  const name = `${service.hostname}:${port.number}`;
  const routes = ruleTable(view).routes(context, service, port.number);
  return { ...table(context.scope, name, [virtualHost(name, ["*"], routes)]), ignorePortInHostMatching: true };
};

/** A TCP tunnel to the service, by CONNECT: what clients of TLS and of gRPC behind HTTP_PROXY ask for. */
const connectRoute = (clusters: readonly WeightedTarget[]): RouteJson => ({
  name: "connect",
  match: { connectMatcher: {} },
  route: {
    ...(clusters.length === 1
      ? { cluster: clusters[0]?.name ?? "" }
      : { weightedClusters: { clusters: clusters.map(({ name, weight }) => ({ name, weight })) } }),
    timeout: "0s",
    upgradeConfigs: [{ upgradeType: "CONNECT", connectConfig: {} }],
  },
});

/** Without a port in the Host a service's only HTTP port is meant, else port 80. */
const defaultPort = (service: Service): number | undefined => {
  const routed = service.ports.filter(isRouted);
  return routed.length === 1 ? routed[0]?.number : routed.find(({ number }) => number === 80)?.number;
};

/** The one table of explicit mode: every service by every name, with and without port; the listener's own address. */
export const httpProxyTable = (context: RouteContext): RouteConfigurationJson => {
  const { scope } = context;
  const hosts: VirtualHostJson[] = [selfHost(context)];
  const seen = new Set<string>();
  const parts = partsOf<readonly VirtualHostJson[]>(context, "hosts");
  const bare = partsOf<readonly VirtualHostJson[]>(context, "bare hosts with port");
  for (const view of scope.egress.views) {
    const rules = ruleTable(view);
    for (const service of view.services.values()) {
      if (!seen.has(service.hostname)) hosts.push(...knownHosts({ scope, rules, parts }, view, service));
      seen.add(service.hostname);
    }
    for (const host of bareHosts(context, rules, 80)) hosts.push(...bare(host, [], () => [withPort80(host)]));
  }
  return table(scope, httpProxyRoute, [...hosts, ...wrongPorts(context), catchAll(scope)]);
};

const withPort80 = (host: VirtualHostJson): VirtualHostJson => ({
  ...host,
  domains: (host.domains ?? []).flatMap((name) => [name, `${name}:80`]),
});

const knownHosts = (
  { scope, rules, parts }: Omit<HostMaker, "parts"> & { readonly parts: Parts<readonly VirtualHostJson[]> },
  view: EgressView,
  service: Service,
): readonly VirtualHostJson[] => {
  const { model } = scope;
  const inputs = [
    ...[model.mesh, view.listener, service.ports.length],
    ...rules.inputs(scope, service),
    ...rulesForConnections(view, service).flatMap((rule) => connectionInputs(scope, rule)),
  ];
  const owner = model.services.get(service.key) ?? service;
  return parts(owner, inputs, (context) => serviceHosts(context, view, service));
};

const serviceHosts = (context: RouteContext, view: EgressView, service: Service): readonly VirtualHostJson[] => {
  const rules = ruleTable(view);
  const { scope } = context;
  const portless = defaultPort(service);
  const names = [...serviceNames(scope, service), ...hostAddresses(service.addresses)];
  return service.ports.flatMap((port) => {
    if (port.protocol === "udp") return [];
    const domains = names.flatMap((name) => {
      const withPort = `${name}:${port.number}`;
      return port.number === portless ? [name, withPort] : [withPort];
    });
    const routes = isRouted(port) ? rules.routes(context, service, port.number) : [];
    const targets = connectionTargets(scope, { service, port, rules: rulesForConnections(view, service) });
    return [virtualHost(`${service.hostname}:${port.number}`, domains, [connectRoute(targets), ...routes])];
  });
};

const wrongPort: RouteJson = {
  name: "wrong_port",
  match: { prefix: "/" },
  directResponse: { status: 502, body: { inlineString: unknownPort } },
};

/** Names of services with any port that is none of theirs: few hosts, of which one more service changes one. */
const wrongPorts = (context: RouteContext): readonly VirtualHostJson[] => {
  const { scope } = context;
  const domains = new Map<string, string[]>();
  const parts = partsOf<readonly string[]>(context, "names with any port");
  const services = new Map(scope.egress.views.flatMap(({ services }) => [...services]));
  for (const service of services.values()) {
    const { hostname } = service;
    if (hostname.startsWith("*")) continue;
    const owner = scope.model.services.get(service.key) ?? service;
    const names = parts(owner, [scope.model.mesh], () => namesOf(hostname, client(scope)).map((name) => `${name}:*`));
    // Where hosts are asked for one by one, one for several services would be more than was asked for.
    const host = scope.onDemand ? ` ${hostname}` : services.size > oneHostMax ? groupOf(hostname) : "";
    const known = domains.get(host);
    if (known) known.push(...names);
    else domains.set(host, [...names]);
  }
  const known = scope.memo.of(`wrong ports ${scope.key}`, [], () => new Map<string, VirtualHostJson>());
  const hosts = [...domains].map(([host, all]) => {
    const name = `wrong_port${host}`;
    const before = known.get(name);
    return before && sameInputs(before.domains ?? [], all) ? before : virtualHost(name, all, [wrongPort]);
  });
  known.clear();
  for (const host of hosts) known.set(host.name ?? "", host);
  return hosts;
};

/** More services than these have their names in several hosts. */
const oneHostMax = 256;
const groups = 64;

/** The same for the same name, wherever it is asked. */
const groupOf = (hostname: string): string => {
  let hash = 0;
  for (let at = 0; at < hostname.length; at++) hash = (hash * 31 + hostname.charCodeAt(at)) | 0;
  return ` ${Math.abs(hash) % groups}`;
};

const hostAddresses = (addresses: readonly string[]): readonly string[] =>
  addresses
    .filter((address) => !address.includes("/") && address !== "0.0.0.0")
    .map((address) => (address.includes(":") ? `[${address}]` : address));
