/** An outside registry's instances in force as services and endpoints of the model; one change touches one service. */
import { formatAddress } from "@weft/core/address";
import type { Graph, Source } from "@weft/core/collection";
import type { RegistryView } from "../../model/merged-services.ts";
import { protocolOfPort } from "../../model/protocol.ts";
import { type EndpointRecord, hasMeshTls, type ServicePort, type ServiceRecord } from "../../model/service.ts";
import type { InForce } from "./held-instances.ts";
import type { SourceInstance } from "./source-events.ts";

/**
 * The rank of the first outside registry; each further one, in the order of their flags, has one more. So files come
 * first, then what registers at weft itself, then the registries as they were named.
 */
export const outsideRank = 40;

/** Endpoints of a service that are used; those with the greatest keys are left out. */
export const serviceInstancesMax = 10_000;

/** Instance labels that name the gRPC services spoken, separated by commas. */
const grpcServicesLabel = "grpc-services";
const workloadLabel = "workload";
const namesShownMax = 5;
/** Names that cannot be used and become the same (those of Chinese letters all become none), each told by itself. */
export const unusableNamesMax = 100;

export interface OutsideView extends RegistryView {
  readonly instances: Source<InForce>;
  /** What is wrong with services, each with a code, in the order of their names. */
  problems(): readonly ServiceProblem[];
}

export interface ServiceProblem {
  readonly code: string;
  /** `NAMESPACE/SERVICE`, as it is called in the mesh; of a name that cannot be used, as the registry has it. */
  readonly service: string;
  readonly problem: string;
}

/** Who has a service's name in the mesh, and how far its instances are taken. */
interface ServiceClaim {
  readonly key: string;
  readonly namespace: string;
  readonly name: string;
  /** `NAMESPACE/SERVICE` as the registry has it. */
  readonly raw: string;
  /** Instances with greater keys are too many. */
  readonly lastKey: string | undefined;
  readonly problems: readonly ServiceProblem[];
}

/** Written to by whoever follows the source; the next commit of the graph shows it. */
export const outsideView = (
  graph: Graph,
  options: { readonly name: string; readonly domain: string; readonly rank: number },
): OutsideView => {
  const { name: source, domain, rank } = options;
  const instances = graph.source<InForce>(`${source} instances`, {
    equal: (a, b) => a.instance === b.instance && a.held === b.held,
  });
  const byName = instances.index("name", ({ instance }) => [meshName(instance)]);
  const claims = graph.group(`${source} claims`, byName, (key, members) => claimOf(key, members));
  const taken = (claim: ServiceClaim | undefined, { key, instance }: InForce): boolean =>
    claim !== undefined && rawName(instance) === claim.raw && (claim.lastKey === undefined || key <= claim.lastKey);
  const unusable = new Map<string, readonly ServiceProblem[]>();
  claims.watch((changes) => {
    for (const { key, after } of changes) {
      if (after && after.problems.length > 0) unusable.set(key, after.problems);
      else unusable.delete(key);
    }
  });

  const services = graph.group(`${source} services`, byName, (key, members, fetch) => {
    const claim = fetch.get(claims, key);
    if (!claim || claim.name === "") return undefined;
    const own = members.filter((member) => taken(claim, member)).map(({ instance }) => instance);
    return serviceRecord(claim, own, { source, domain, rank });
  });
  const endpoints = graph.derive(`${source} endpoints`, instances, (item, fetch) => {
    const claim = fetch.get(claims, meshName(item.instance));
    return claim && claim.name !== "" && taken(claim, item) ? endpointRecord(claim, item, { source, domain }) : [];
  });
  return {
    ...{ name: source, services, endpoints, instances },
    problems: () => [...unusable].sort(([a], [b]) => (a < b ? -1 : 1)).flatMap(([, problems]) => problems),
  };
};

const rawName = ({ namespace, service }: SourceInstance): string => `${namespace}/${service}`;

/** Lower case, with `-` for what DNS does not have: `com.acme.Catalog_v2` is `com-acme-catalog-v2`. */
export const dnsLabel = (text: string): string =>
  text
    .slice(0, 1_024)
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-+|-+$/g, "");

const meshName = ({ namespace, service }: SourceInstance): string => `${dnsLabel(namespace)}/${dnsLabel(service)}`;

const isDnsLabel = (text: string): boolean => text.length <= 63 && /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/.test(text);

/** Of several names that become one, the one written so has it, else the first. */
const claimOf = (key: string, members: readonly InForce[]): ServiceClaim | undefined => {
  const raws = [...new Set(members.map(({ instance }) => rawName(instance)))].sort();
  const raw = raws.find((one) => one === key) ?? raws[0];
  if (raw === undefined) return undefined;
  const [namespace = "", name = ""] = key.split("/");
  if (!isDnsLabel(namespace) || !isDnsLabel(name)) {
    return { key, namespace, name: "", raw, lastKey: undefined, problems: unusableNames(raws) };
  }
  const problems: ServiceProblem[] = [];
  const others = raws.filter((one) => one !== raw);
  if (others.length > 0) {
    const shown = others.slice(0, namesShownMax).join(", ");
    const rest = others.length > namesShownMax ? ` and ${others.length - namesShownMax} more` : "";
    const left = others.length === 1 ? "is left out" : "are left out";
    problems.push({ code: "WF2113", service: key, problem: `is the name of ${raw}; ${shown}${rest} ${left}` });
  }
  const own = members.filter(({ instance }) => rawName(instance) === raw);
  const lastKey = own.length > serviceInstancesMax ? own[serviceInstancesMax - 1]?.key : undefined;
  if (lastKey !== undefined) {
    const problem = `has ${own.length} instances; the first ${serviceInstancesMax} are used`;
    problems.push({ code: "WF2114", service: key, problem });
  }
  problems.push(...protocolConflicts(key, own), ...sameAddresses(key, own));
  return { key, namespace, name, raw, lastKey, problems };
};

const unusableNames = (raws: readonly string[]): readonly ServiceProblem[] => {
  const problem = "cannot be a name of the mesh: a service and its namespace are 1 to 63 letters, digits and dashes";
  const more = raws.length - unusableNamesMax;
  return raws.slice(0, unusableNamesMax).map((service, at) => ({
    ...{ code: "WF2113", service },
    problem: at === unusableNamesMax - 1 && more > 0 ? `${problem}; nor can ${more} more` : problem,
  }));
};

const portOf = ({ port, servicePort }: SourceInstance): number => servicePort ?? port;
const protocolOf = ({ protocol }: SourceInstance): string => protocol ?? "";

const protocolConflicts = (key: string, members: readonly InForce[]): readonly ServiceProblem[] => {
  const first = new Map<number, string>();
  const found = new Map<number, string>();
  for (const { instance } of members) {
    const [port, said] = [portOf(instance), protocolOf(instance)];
    if (said === "") continue;
    const before = first.get(port);
    if (before === undefined) first.set(port, said);
    else if (before.toLowerCase() !== said.toLowerCase() && !found.has(port))
      found.set(port, `port ${port} is ${before} and ${said}: ${before} holds`);
  }
  return [...found.values()].map((problem) => ({ code: "WF2116", service: key, problem }));
};

/** One application that registered twice gets the calls of two; which of its records is the wrong one nobody knows. */
const sameAddresses = (key: string, members: readonly InForce[]): readonly ServiceProblem[] => {
  const first = new Map<string, string>();
  let pair = "";
  let more = -1;
  for (const { key: own, instance, held } of members) {
    if (held) continue;
    const at = `${formatAddress({ host: instance.address, port: instance.port })} for port ${portOf(instance)}`;
    const before = first.get(at);
    if (before === undefined) first.set(at, own);
    else if (more++ < 0) pair = `has ${before} and ${own}, which are both ${at}`;
  }
  if (pair === "") return [];
  return [{ code: "WF2118", service: key, problem: more > 0 ? `${pair}, and ${more} more like these` : pair }];
};

const hostnameOf = ({ name, namespace }: ServiceClaim, domain: string): string => `${name}.${namespace}.svc.${domain}`;

/** Ports are those of all instances; a port speaks what the first instance that says so says. */
const serviceRecord = (
  claim: ServiceClaim,
  members: readonly SourceInstance[],
  { source, domain, rank }: { readonly source: string; readonly domain: string; readonly rank: number },
): ServiceRecord => {
  const ports = new Map<number, ServicePort>();
  for (const instance of members) {
    const number = portOf(instance);
    const before = ports.get(number);
    if (before && (before.name !== "" || protocolOf(instance) === "")) continue;
    const name = protocolOf(instance);
    ports.set(number, { number, name, protocol: protocolOfPort({ appProtocol: name }), targetPort: number });
  }
  const hostname = hostnameOf(claim, domain);
  return {
    key: `${source}/${claim.namespace}/${hostname}`,
    source,
    rank,
    namespace: claim.namespace,
    hostname,
    name: claim.name,
    ports: [...ports.values()].sort((a, b) => a.number - b.number),
    addresses: [],
    resolution: "eds",
    location: "mesh",
    headless: false,
    exportTo: [],
    subjectAltNames: [],
    grpcServices: [...new Set(members.flatMap(grpcServices))].sort(),
    autoAddress: true,
    createdAt: undefined,
    config: undefined,
  };
};

const grpcServices = ({ labels }: SourceInstance): readonly string[] =>
  (labels[grpcServicesLabel] ?? "")
    .split(",")
    .map((name) => name.trim())
    .filter((name) => /^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$/.test(name));

const endpointRecord = (
  claim: ServiceClaim,
  { key, instance, held }: InForce,
  { source, domain }: { readonly source: string; readonly domain: string },
): EndpointRecord => {
  const { id, address, port, labels, serviceAccount, locality, weight, health } = instance;
  return {
    key: `${source}/${claim.namespace}/${key}`,
    source,
    service: `${claim.namespace}/${hostnameOf(claim, domain)}`,
    servicePort: portOf(instance),
    ...{ address, port, workloadPort: port },
    namespace: claim.namespace,
    workload: labels[workloadLabel] ?? id,
    ...{ serviceAccount, labels, locality, weight, health },
    ...(held ? { held } : {}),
    network: "",
    cluster: "",
    meshTls: hasMeshTls(labels, serviceAccount),
  };
};
