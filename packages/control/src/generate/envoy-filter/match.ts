/** Whether a patch is for a resource or a part of one, as Istio decides it. */
import { parseClusterName } from "../names.ts";
import type { Json, Patch, PatchContext } from "./patch.ts";

/** A part of a resource, read loosely: what is not there is undefined. */
export const at = (value: unknown, ...steps: readonly (string | number)[]): unknown => {
  let here = value;
  for (const step of steps) here = typeof here === "object" && here !== null ? (here as Json)[step] : undefined;
  return here;
};
export const listAt = (value: unknown, field: string): readonly Json[] => (at(value, field) as Json[]) ?? [];

export const matchesContext = ({ match }: Patch, context: PatchContext): boolean =>
  match.context === undefined || match.context === "ANY" || match.context === context;

/** What is added without a side is added to where the workload dials out, and to gateways. */
export const addsIn = (patch: Patch, context: PatchContext): boolean =>
  matchesContext(patch, context) && (context !== "SIDECAR_INBOUND" || patch.match.context === "SIDECAR_INBOUND");

export const contextOfCluster = (name: string): PatchContext =>
  name.startsWith("inbound|") || name.startsWith("Inbound") ? "SIDECAR_INBOUND" : "SIDECAR_OUTBOUND";

export const matchesCluster = ({ match }: Patch, cluster: Json): boolean => {
  const wanted = match.cluster;
  if (!wanted) return true;
  const name = String(cluster.name ?? "");
  if (wanted.name) return wanted.name === name;
  const parts = parseClusterName(name);
  const services = (at(cluster, "metadata", "filterMetadata", "istio", "services") as Json[] | undefined) ?? [];
  const hosts = parts?.direction === "inbound" ? services.map(({ host }) => host) : [parts?.hostname];
  return (
    (!wanted.subset || wanted.subset === parts?.subset) &&
    (!wanted.service || hosts.includes(wanted.service)) &&
    (!wanted.portNumber || wanted.portNumber === parts?.port)
  );
};

const isVirtual = ({ name }: Json): boolean => name === "virtualInbound" || name === "virtualOutbound";

/** Ports a listener is for: its own, and the application's that it leads to. */
const portsOf = (listener: Json): readonly unknown[] => [
  at(listener, "address", "socketAddress", "portValue"),
  ...listAt(listener, "filterChains").flatMap((chain) =>
    listAt(chain, "filters").map(({ typedConfig }) => {
      const name = at(typedConfig, "routeConfig", "name") ?? at(typedConfig, "cluster");
      const parts = typeof name === "string" ? parseClusterName(name) : undefined;
      return parts?.direction === "inbound" ? parts.port : undefined;
    }),
  ),
];

export const matchesListener = ({ match, applyTo }: Patch, listener: Json): boolean => {
  const wanted = match.listener;
  if (!wanted) return true;
  if (wanted.name && wanted.name !== listener.name) return false;
  // Within the listeners of interception ports are conditions of their chains.
  if (applyTo !== "LISTENER" && isVirtual(listener)) return true;
  return !wanted.portNumber || portsOf(listener).includes(wanted.portNumber);
};

export const matchesChain = ({ match }: Patch, listener: Json, chain: Json): boolean => {
  const wanted = match.listener;
  if (!wanted) return true;
  const conditions = (chain.filterChainMatch ?? {}) as Json;
  if (isVirtual(listener) && wanted.portNumber && conditions.destinationPort !== wanted.portNumber) return false;
  const { name, sni, transportProtocol, applicationProtocols, destinationPort } = wanted.filterChain ?? {};
  const protocols = listOf(conditions.applicationProtocols);
  return (
    (!name || name === chain.name) &&
    (!sni || listOf(conditions.serverNames).includes(sni)) &&
    (!transportProtocol || transportProtocol === conditions.transportProtocol) &&
    (!applicationProtocols || applicationProtocols.split(",").every((one) => protocols.includes(one))) &&
    (!destinationPort || destinationPort === conditions.destinationPort)
  );
};

const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);

export const networkFilterName = ({ match }: Patch): string | undefined => match.listener?.filterChain?.filter?.name;
export const httpFilterName = ({ match }: Patch): string | undefined =>
  match.listener?.filterChain?.filter?.subFilter?.name;

/** `https.PORT.PORTNAME.GATEWAY.NAMESPACE` or `http.PORT`. */
const gatewayTable = (name: string) => {
  const [, port, portName, gateway, namespace] = name.split(".");
  return { port: Number(port), portName, gateway: gateway && namespace ? `${namespace}/${gateway}` : undefined };
};

/** The one table of explicit mode is for all ports, which its virtual hosts tell apart. */
const isForAllPorts = ({ name }: Json): boolean => name === "http_proxy";

export const matchesTable = ({ match, applyTo }: Patch, table: Json, context: PatchContext): boolean => {
  const wanted = match.routeConfiguration;
  if (!wanted) return true;
  const name = String(table.name ?? "");
  if (wanted.name && wanted.name !== name) return false;
  if (context === "GATEWAY") {
    const { port, portName, gateway } = gatewayTable(name);
    return (
      (!wanted.portNumber || wanted.portNumber === port) &&
      (!wanted.portName || wanted.portName === portName) &&
      (!wanted.gateway || wanted.gateway === gateway)
    );
  }
  if (!wanted.portNumber || (isForAllPorts(table) && applyTo !== "ROUTE_CONFIGURATION")) return true;
  return wanted.portNumber === (parseClusterName(name)?.port ?? Number(name));
};

export const matchesHost = ({ match }: Patch, table: Json, host: Json): boolean => {
  const wanted = match.routeConfiguration;
  const { portNumber, vhost } = wanted ?? {};
  if (portNumber && isForAllPorts(table) && !String(host.name).endsWith(`:${portNumber}`)) return false;
  if (vhost?.domainName && !listOf(host.domains).includes(vhost.domainName)) return false;
  return !vhost?.name || vhost.name === host.name;
};

const actions: ReadonlyMap<string, string> = new Map([
  ["ROUTE", "route"],
  ["REDIRECT", "redirect"],
  ["DIRECT_RESPONSE", "directResponse"],
]);

export const wantsRoute = ({ match }: Patch): boolean => match.routeConfiguration?.vhost?.route !== undefined;

export const matchesRoute = ({ match }: Patch, route: Json): boolean => {
  const { name, action } = match.routeConfiguration?.vhost?.route ?? {};
  if (name && name !== route.name) return false;
  const field = actions.get(action ?? "ANY");
  return field === undefined || route[field] !== undefined;
};
