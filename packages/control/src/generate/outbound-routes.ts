/** Route tables for calls out of a workload: by port when intercepted, one for all in explicit mode. */
import type { RouteConfigurationJson } from "@weft/xds/gen/envoy/config/route/v3/route";
import type { RouteJson, VirtualHostJson } from "@weft/xds/gen/envoy/config/route/v3/route_components";
import { namesOf } from "../model/hostname.ts";
import type { Service, ServicePort } from "../model/service.ts";
import { selfHost } from "./grpc-routes.ts";
import { blackHoleCluster, httpProxyRoute, outboundCluster, passthroughCluster } from "./names.ts";
import { isRouted, type RouteContext, rulesRoutes, serviceRoutes } from "./rule-routes.ts";
import type { Scope } from "./scope.ts";

const virtualHost = (name: string, domains: readonly string[], routes: readonly RouteJson[]): VirtualHostJson => ({
  name,
  domains: [...domains],
  routes: [...routes],
  includeRequestAttemptCount: true,
});

const blockAll: RouteJson = { name: "block_all", match: { prefix: "/" }, directResponse: { status: 502 } };

/** What happens to requests for hosts the mesh does not know. */
const catchAll = (scope: Scope): VirtualHostJson => {
  const allowed = scope.model.mesh.outboundTrafficPolicy === "ALLOW_ANY";
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
 * sidecar reads it from the header added here, Envoy from the Host itself), a name cannot be.
 */
const allowAny = ({ proxy }: Scope): readonly RouteJson[] => {
  const route: RouteJson = {
    name: "allow_any",
    match: { prefix: "/" },
    route: { cluster: passthroughCluster, timeout: "0s", maxGrpcTimeout: "0s" },
  };
  if (proxy.mode !== "NONE") return [route];
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

const table = (name: string, hosts: readonly VirtualHostJson[]): RouteConfigurationJson => ({
  name,
  virtualHosts: withoutDuplicates(hosts),
  validateClusters: false,
  maxDirectResponseBodySizeBytes: 1_048_576,
});

/** Envoy refuses a table in which two hosts have the same domain; the first keeps it, a host left without any goes. */
const withoutDuplicates = (hosts: readonly VirtualHostJson[]): VirtualHostJson[] => {
  const seen = new Set<string>();
  const kept: VirtualHostJson[] = [];
  for (const host of hosts) {
    const domains = (host.domains ?? []).filter((domain) => !seen.has(domain.toLowerCase()));
    for (const domain of domains) seen.add(domain.toLowerCase());
    if (domains.length > 0) kept.push(domains.length === host.domains?.length ? host : { ...host, domains });
  }
  return kept;
};

const client = ({ model, proxy }: Scope) => ({ namespace: proxy.namespace, domain: model.mesh.domain });

/** Hosts of mesh rules that are no service, such as names that exist only to be routed; wildcards route services only. */
const bareHosts = (
  scope: Scope,
): readonly { readonly host: string; readonly rule: ReturnType<typeof meshRules>[number] }[] => {
  const services = scope.model.visibleServices(scope.proxy.namespace);
  return meshRules(scope).flatMap((rule) =>
    rule.object.spec.http?.length
      ? rule.hosts.filter((host) => !host.startsWith("*") && !services.has(host)).map((host) => ({ host, rule }))
      : [],
  );
};
const meshRules = (scope: Scope) => scope.model.rules().meshRules(scope.proxy.namespace);

/** The table of an intercepted port: Hosts are matched without their port, and virtual addresses are hosts too. */
export const portTable = (
  context: RouteContext,
  name: string,
  members: readonly { service: Service; port: ServicePort }[],
) => {
  const { scope } = context;
  const [first] = members;
  const hosts = members.map(({ service, port }) =>
    virtualHost(
      `${service.hostname}:${port.number}`,
      [...namesOf(service.hostname, client(scope)), ...service.addresses.filter((address) => !address.includes("/"))],
      serviceRoutes(context, service, port.number),
    ),
  );
  const bare = bareHosts(scope).map(({ host, rule }) =>
    virtualHost(
      `${host}:${first?.port.number ?? 80}`,
      namesOf(host, client(scope)),
      rulesRoutes(
        { scope, notes: context.notes, port: first?.port.number ?? 80, gateway: "mesh", secure: false },
        rule,
      ),
    ),
  );
  return { ...table(name, [...hosts, ...bare, catchAll(scope)]), ignorePortInHostMatching: true };
};

/** A TCP tunnel to the service, by CONNECT: what clients of TLS and of gRPC behind HTTP_PROXY ask for. */
const connectRoute = (service: Service, port: number): RouteJson => ({
  name: "connect",
  match: { connectMatcher: {} },
  route: {
    cluster: outboundCluster(service.hostname, port),
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
  for (const service of scope.model.visibleServices(scope.proxy.namespace).values()) {
    const portless = defaultPort(service);
    for (const port of service.ports) {
      if (port.protocol === "udp") continue;
      const names = [...namesOf(service.hostname, client(scope)), ...hostAddresses(service)];
      const domains = names.flatMap((name) => {
        const withPort = `${name}:${port.number}`;
        return port.number === portless ? [name, withPort] : [withPort];
      });
      const routes = isRouted(port) ? serviceRoutes(context, service, port.number) : [];
      hosts.push(
        virtualHost(`${service.hostname}:${port.number}`, domains, [connectRoute(service, port.number), ...routes]),
      );
    }
  }
  for (const { host, rule } of bareHosts(scope)) {
    const routes = rulesRoutes({ scope, notes: context.notes, port: 80, gateway: "mesh", secure: false }, rule);
    const domains = namesOf(host, client(scope)).flatMap((name) => [name, `${name}:80`]);
    hosts.push(virtualHost(`${host}:80`, domains, routes));
  }
  return table(httpProxyRoute, [...hosts, ...wrongPorts(scope), catchAll(scope)]);
};

/** Names of services with any port that is none of theirs. */
const wrongPorts = (scope: Scope): readonly VirtualHostJson[] => {
  const services = [...scope.model.visibleServices(scope.proxy.namespace).values()];
  const domains = services
    .filter(({ hostname }) => !hostname.startsWith("*"))
    .flatMap(({ hostname }) => namesOf(hostname, client(scope)).map((name) => `${name}:*`));
  const route: RouteJson = {
    name: "wrong_port",
    match: { prefix: "/" },
    directResponse: { status: 502, body: { inlineString: unknownPort } },
  };
  return domains.length === 0 ? [] : [virtualHost("wrong_port", domains, [route])];
};

const hostAddresses = ({ addresses }: Service): readonly string[] =>
  addresses
    .filter((address) => !address.includes("/") && address !== "0.0.0.0")
    .map((address) => (address.includes(":") ? `[${address}]` : address));

export const unknownTraffic = (scope: Scope): string =>
  scope.model.mesh.outboundTrafficPolicy === "ALLOW_ANY" ? passthroughCluster : blackHoleCluster;
