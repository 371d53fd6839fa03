/** The servers of all Gateways that select a proxy, merged by port: which may stand together, and which are left out. */
import type { ConfigOf } from "@weft/config/config-object";
import type { Finding } from "@weft/config/finding";
import type { GatewayServer } from "@weft/config/kinds/gateway";
import { intersectHosts } from "../model/hostname.ts";
import { isHttp, isTls, type Protocol, parseProtocol } from "../model/protocol.ts";
import { noteAt } from "./resource-set.ts";
import type { Scope } from "./scope.ts";

export interface ServerHost {
  /** Where a VirtualService must be for it; `undefined` is anywhere. */
  readonly namespace: string | undefined;
  readonly host: string;
}

export interface BoundServer {
  readonly gateway: ConfigOf<"Gateway">;
  readonly server: GatewayServer;
  /** Its place in the Gateway. */
  readonly index: number;
  /** `NAMESPACE/NAME` of the Gateway. */
  readonly id: string;
  readonly protocol: Protocol;
  readonly hosts: readonly ServerHost[];
  /** Route table; empty for servers that carry connections. */
  readonly table: string;
}

/** Servers that share a listener. */
export interface ListenerServers {
  readonly address: string;
  readonly port: number;
  readonly servers: readonly BoundServer[];
}

/** Takes requests, not connections: HTTP, or HTTPS that ends here. */
export const takesRequests = ({ protocol, server }: BoundServer): boolean =>
  isHttp(protocol) || (protocol === "https" && endsTls(server));

export const endsTls = ({ port, tls }: GatewayServer): boolean =>
  isTls(parseProtocol(port.protocol)) &&
  tls?.mode !== undefined &&
  tls.mode !== "PASSTHROUGH" &&
  tls.mode !== "AUTO_PASSTHROUGH";

/** Has its own TLS conditions, so that several can stand on one port. */
export const isTlsServer = ({ protocol, server }: BoundServer): boolean =>
  server.tls !== undefined && !isHttp(protocol);

/**
 * By port and address. Plain HTTP servers join, TLS servers stand beside each other while their hosts differ; the older
 * Gateway's server stays where two cannot be told apart, and the other is reported.
 */
export const mergedServers = (scope: Scope, notes: Finding[]): readonly ListenerServers[] => {
  const merged = new Map<string, ListenerServers & { readonly servers: BoundServer[] }>();
  const hostsTaken = new Map<string, BoundServer>();
  for (const gateway of scope.model.rules().gatewaysFor(scope.proxy.labels)) {
    for (const [index, server] of (gateway.spec.servers ?? []).entries()) {
      const { address, port, tablePort } = placeOf(scope, server);
      const bound = boundServer(gateway, index, tablePort);
      const key = `${address} ${port}`;
      const entry = merged.get(key) ?? { address, port, servers: [] };
      const conflict = conflictOf(bound, entry.servers) ?? takenHost(bound, key, hostsTaken);
      if (conflict) {
        notes.push(noteAt(conflict.code, conflict.message, { object: gateway, path: ["spec", "servers", index] }));
        continue;
      }
      entry.servers.push(bound);
      merged.set(key, entry);
    }
  }
  return [...merged.values()];
};

const boundServer = (gateway: ConfigOf<"Gateway">, index: number, tablePort: number): BoundServer => {
  const server = gateway.spec.servers?.[index] as GatewayServer;
  const protocol = parseProtocol(server.port.protocol);
  const bind = server.bind ? `.${server.bind}` : "";
  const { name, namespace } = gateway;
  const secure = protocol === "https" && endsTls(server);
  return {
    gateway,
    server,
    index,
    id: `${namespace}/${name}`,
    protocol,
    hosts: server.hosts.map((entry) => serverHost(entry, namespace)),
    table: isHttp(protocol)
      ? `http.${tablePort}${bind}`
      : secure
        ? `https.${server.port.number}.${server.port.name}.${name}.${namespace}${bind}`
        : "",
  };
};

const serverHost = (entry: string, own: string): ServerHost => {
  const slash = entry.indexOf("/");
  const namespace = slash < 0 ? "*" : entry.slice(0, slash);
  const host = entry.slice(slash + 1).toLowerCase();
  return { namespace: namespace === "*" ? undefined : namespace === "." ? own : namespace, host };
};

/** The node may map a port, since a gateway on a laptop cannot have port 80; a service in front of it maps it too. */
const placeOf = ({ model, proxy }: Scope, { bind, port }: GatewayServer) => {
  const anywhere = proxy.mode === "NONE" ? "127.0.0.1" : "0.0.0.0";
  const mapped = proxy.inbound.find(({ appPort }) => appPort === port.number);
  if (mapped) return { address: bind || mapped.address, port: mapped.port, tablePort: port.number };
  const records = proxy.addresses.flatMap((address) => model.endpointsAt(address));
  const target = records.find(({ servicePort }) => servicePort === port.number)?.port ?? port.number;
  return { address: bind || anywhere, port: target, tablePort: target };
};

interface Conflict {
  readonly code: string;
  readonly message: string;
}

const conflictOf = (bound: BoundServer, others: readonly BoundServer[]): Conflict | undefined => {
  const plain = others.find((other) => !isTlsServer(other));
  if (!plain || (isHttp(plain.protocol) && isHttp(bound.protocol))) return undefined;
  const { number, protocol } = bound.server.port;
  const message =
    `port ${number} has a ${plain.server.port.protocol} server of Gateway ${plain.id}, beside which a ${protocol} server ` +
    "cannot be told apart: this one is left out";
  return { code: "WF1538", message };
};

/** Envoy refuses two chains for one server name, so a name is the first server's. */
const takenHost = (bound: BoundServer, place: string, taken: Map<string, BoundServer>): Conflict | undefined => {
  if (bound.server.tls === undefined) return undefined;
  const keys = bound.hosts.map(({ namespace, host }) => `${place} ${namespace ?? ""}/${host}`);
  const sni = isTlsServer(bound) ? bound.hosts.map(({ host }) => `${place} tls ${host}`) : [];
  const holder = [...keys, ...sni].flatMap((key) => taken.get(key) ?? [])[0];
  if (holder) {
    const message =
      `host ${bound.hosts.map(({ host }) => host).join(", ")} is served on port ${bound.server.port.number} by Gateway ` +
      `${holder.id} already: this server is left out`;
    return { code: "WF1539", message };
  }
  for (const key of [...keys, ...sni]) taken.set(key, bound);
  return undefined;
};

/** Hosts that a server and a VirtualService have in common, each the narrower of the two. */
export const sharedHosts = (
  { hosts }: BoundServer,
  rule: { readonly hosts: readonly string[]; readonly object: { readonly namespace: string } },
): readonly string[] => [
  ...new Set(
    hosts
      .filter(({ namespace }) => namespace === undefined || namespace === rule.object.namespace)
      .flatMap(({ host }) => rule.hosts.flatMap((wanted) => intersectHosts(host, wanted) ?? [])),
  ),
];

/** `*` matches every name, so it is no condition. */
export const serverNames = ({ hosts }: BoundServer): readonly string[] => {
  const names = [...new Set(hosts.map(({ host }) => host))].sort();
  return names.includes("*") ? [] : names;
};
