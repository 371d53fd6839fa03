/** Which listeners calls out of a workload need, and which route tables those ask for. */
import type { Finding } from "@weft/config/finding";
import type { SidecarEgress } from "@weft/config/kinds/sidecar";
import type { FilterJson } from "@weft/xds/gen/envoy/config/listener/v3/listener_components";
import { isHttp, isTls, type Protocol, parseProtocol } from "../model/protocol.ts";
import type { Service, ServicePort } from "../model/service.ts";
import { type ChainConditions, takesAll, withoutOverlap } from "./chain-match.ts";
import type { EgressView } from "./egress.ts";
import { note } from "./resource-set.ts";
import type { Scope } from "./scope.ts";
import { serviceAddresses } from "./service-addresses.ts";
import { rulesForConnections, tcpChains } from "./tcp-routes.ts";

export interface PortMember {
  readonly service: Service;
  readonly port: ServicePort;
}

/** A chain of a listener to be: filters in place, or a connection manager with the route table of that name. */
export type PlannedChain = ChainConditions &
  (
    | { readonly kind: "tcp"; readonly owner: string; readonly filters: FilterJson[] }
    | { readonly kind: "http"; readonly table: string }
  );

export interface PlannedListener {
  readonly bind: string;
  readonly port: number;
  /** Has a socket of its own, and is not only handed connections. */
  readonly bindToPort: boolean;
  readonly chains: readonly PlannedChain[];
  readonly grpcWeb: boolean;
  /** Every service behind it says that it speaks HTTP, so clients begin. */
  readonly clientFirst: boolean;
}

/** A route table: of all services of a port, or of one service's sniffed port. */
export interface PlannedTable {
  readonly name: string;
  readonly view: EgressView;
  readonly port: number;
  readonly members: readonly PortMember[];
  readonly single: boolean;
}

export interface OutboundPlan {
  readonly listeners: readonly PlannedListener[];
  readonly tables: readonly PlannedTable[];
}

export const anyIPv4 = "0.0.0.0";

interface Entry {
  readonly bind: string;
  readonly port: number;
  readonly bindToPort: boolean;
  protocol: Protocol;
  /** Made for a port that a Sidecar lists: what it does not import stays out. */
  locked: boolean;
  chains: PlannedChain[];
  members: PortMember[];
  /** Whose connections are told apart here by nothing, so that those of the first are taken for all. */
  plain: Set<string> | undefined;
}

interface Plan {
  readonly scope: Scope;
  readonly notes: Finding[];
  readonly entries: Map<string, Entry>;
  readonly tables: Map<string, PlannedTable & { readonly members: PortMember[] }>;
}

/**
 * Listeners by Istio's rules: HTTP of a port shares one listener and one table, connections are told apart by address,
 * and where both meet at one place the bytes decide. In explicit mode only listeners with a port of their own are made.
 */
export const planOutbound = (scope: Scope, notes: Finding[]): OutboundPlan => {
  const plan: Plan = { scope, notes, entries: new Map(), tables: new Map() };
  const explicit = scope.proxy.mode === "NONE";
  for (const view of scope.egress.views) {
    const { listener } = view;
    const bindToPort = explicit || listener?.captureMode === "NONE" || listener?.bind?.startsWith("unix://") === true;
    const bind = listener?.bind || (bindToPort ? "127.0.0.1" : undefined);
    if (listener?.port?.number !== undefined) {
      addPort(plan, view, { port: listenerPort(listener, listener.port.number), bind, bindToPort });
      continue;
    }
    if (explicit) continue;
    for (const entry of plan.entries.values()) entry.locked = true;
    for (const service of view.services.values()) {
      for (const port of service.ports) add(plan, view, { service, port, bind, bindToPort });
    }
  }
  return {
    listeners: [...plan.entries.values()].map((entry) => finished(entry, plan)),
    tables: [...plan.tables.values()],
  };
};

const listenerPort = ({ port }: SidecarEgress, number: number): ServicePort => ({
  number,
  name: port?.name ?? "",
  protocol: parseProtocol(port?.protocol ?? ""),
  targetPort: number,
});

interface Place {
  readonly port: ServicePort;
  readonly bind: string | undefined;
  readonly bindToPort: boolean;
}

const addPort = (plan: Plan, view: EgressView, place: Place): void => {
  for (const service of view.services.values()) add(plan, view, { ...place, service });
};

interface Input extends Place {
  readonly service: Service;
}

const add = (plan: Plan, view: EgressView, input: Input): void => {
  const { port } = input;
  if (port.protocol === "udp") return;
  if (isHttp(port.protocol)) {
    put(plan, view, input, { bind: input.bind ?? anyIPv4, cidrs: [] });
    return;
  }
  for (const place of placesOf(plan.scope, input)) put(plan, view, input, place);
};

interface Spot {
  readonly bind: string;
  readonly cidrs: readonly string[];
}

/** At the service's addresses; where it has none, or ranges, at all of them. Headless services have their endpoints'. */
const placesOf = (scope: Scope, { service, bind }: Input): readonly Spot[] => {
  if (bind !== undefined) return [{ bind, cidrs: [] }];
  const own = serviceAddresses(scope, service).filter((address) => address !== anyIPv4 && address !== "::");
  const ranges = own.filter((address) => address.includes("/"));
  const single = own.filter((address) => !address.includes("/"));
  if (own.length > 0) {
    return [
      ...single.map((address) => ({ bind: address, cidrs: [] })),
      ...(ranges.length > 0 ? [{ bind: anyIPv4, cidrs: ranges }] : []),
    ];
  }
  if (!service.headless) return [{ bind: anyIPv4, cidrs: [] }];
  const addresses = (scope.model.endpoints.get(service.key)?.endpoints ?? []).map(({ address }) => address);
  return [...new Set(addresses)].sort().map((address) => ({ bind: address, cidrs: [] }));
};

type Flow = "http" | "tcp" | "auto";

const flowOf = (protocol: Protocol): Flow => (isHttp(protocol) ? "http" : protocol === "auto" ? "auto" : "tcp");

/** Protocols whose server speaks first: their ports cannot be looked at for anything else. */
const neverMixed = (a: Protocol, b: Protocol): boolean =>
  a !== b && [a, b].some((one) => one === "mongo" || one === "mysql");

const plainHttp = ["http/1.1", "h2c"];

const put = (plan: Plan, view: EgressView, input: Input, spot: Spot): void => {
  const { port, service } = input;
  const key = `${spot.bind} ${port.number}`;
  const entry = plan.entries.get(key);
  if (entry?.locked) return;
  const flow = flowOf(port.protocol);
  if (entry && neverMixed(port.protocol, entry.protocol)) {
    const text =
      `service ${service.hostname} speaks ${port.protocol} on port ${port.number}, where another speaks ` +
      `${entry.protocol}: it cannot be told apart there, so it is not reached. Give it another port or an address`;
    plan.notes.push(note("WF1534", text, undefined));
    return;
  }
  const http = flow === "tcp" ? [] : [httpChain(plan, view, input, spot)];
  const member = { service, port };
  if (entry?.plain && joins(flow, flowOf(entry.protocol)) && comesLate(entry.plain, view, input, spot)) {
    entry.plain.add(service.hostname);
    entry.members.push(member);
    plan.notes.push(leftOut(plan.scope, { bind: spot.bind, port: port.number }, service));
    return;
  }
  const carries = flow === "http" ? [] : carried(plan, view, input, spot);
  if (!entry || (flow === "auto" && isHttp(entry.protocol))) {
    const wide = flow === "http" && spot.bind === anyIPv4;
    plan.entries.set(key, {
      bind: spot.bind,
      port: port.number,
      bindToPort: input.bindToPort,
      protocol: wide ? "auto" : port.protocol,
      locked: false,
      chains: [...http, ...carries],
      members: [...(entry?.members ?? []), member],
      plain: isPlain(carries) ? new Set([service.hostname]) : undefined,
    });
    return;
  }
  entry.members.push(member);
  const known = flowOf(entry.protocol);
  if (flow === "http" && known !== "tcp") return;
  entry.chains.push(...(known === "auto" ? [] : http), ...carries);
  if (!entry.plain && isPlain(carries)) entry.plain = new Set([service.hostname]);
  if (flow !== known) entry.protocol = "auto";
};

/** What comes changes nothing of how a place is looked at. */
const joins = (flow: Flow, known: Flow): boolean =>
  flow !== "http" && (flow === known || (flow === "tcp" && known === "auto"));

const isPlain = (chains: readonly PlannedChain[]): boolean =>
  chains.some((chain) => chain.kind === "tcp" && takesAll(chain));

/** Whether all that the service could have here is a chain for whatever comes, of which another has one already. */
const comesLate = (plain: ReadonlySet<string>, view: EgressView, { service, port }: Input, spot: Spot): boolean =>
  spot.cidrs.length === 0 &&
  !isTls(port.protocol) &&
  !plain.has(service.hostname) &&
  rulesForConnections(view, service).length === 0;

/** HTTP of a place; its table gets the service. Sniffed services at an address of their own have one each. */
const httpChain = (plan: Plan, view: EgressView, { port, service }: Input, spot: Spot): PlannedChain => {
  const single = port.protocol === "auto" && spot.bind !== anyIPv4;
  const unix = spot.bind.startsWith("unix://");
  const name = single ? `${service.hostname}:${port.number}` : unix ? spot.bind : String(port.number);
  const table = plan.tables.get(name);
  const member = { service, port };
  if (!table) plan.tables.set(name, { name, view, port: port.number, members: [member], single });
  else if (!single && table.view === view) table.members.push(member);
  const looks = spot.bind === anyIPv4 || port.protocol === "auto";
  const conditions = looks ? { alpn: plainHttp, transport: "raw_buffer" } : { alpn: [], transport: "" };
  return { kind: "http", table: name, serverNames: [], cidrs: [], ...conditions };
};

const carried = (plan: Plan, view: EgressView, { port, service }: Input, spot: Spot): readonly PlannedChain[] =>
  tcpChains(plan.scope, {
    service,
    port,
    cidrs: spot.cidrs,
    shared: spot.bind === anyIPv4 || serviceAddresses(plan.scope, service).length === 0,
    rules: rulesForConnections(view, service),
  }).map((chain) => ({ kind: "tcp", owner: service.hostname, alpn: [], transport: "", ...chain }));

const finished = ({ bind, port, bindToPort, chains, members }: Entry, { notes }: Plan): PlannedListener => ({
  bind,
  port,
  bindToPort,
  grpcWeb: members.some((member) => member.port.protocol === "grpc-web"),
  clientFirst: members.every((member) => isHttp(member.port.protocol)),
  chains: withoutOverlap(distinctChains(chains), (chain, what) => {
    const names = what.filter((name) => name !== "").join(", ");
    const owner = chain.kind === "http" ? "HTTP" : chain.owner;
    notes.push(takenNote({ bind, port }, owner, names));
  }),
});

type At = Pick<PlannedListener, "bind" | "port">;

const takenNote = ({ bind, port }: At, owner: string, names: string): Finding => {
  const text =
    `on port ${port} of ${bind} connections${names ? ` to ${names}` : ""} are another's already, so what is meant for ` +
    `${owner} is left out. Give the service an address or a port of its own`;
  return note("WF1534", text, undefined);
};

/** The same note for the same service: there may be one for each that a mesh has. */
const leftOut = ({ memo, model }: Scope, at: At, service: Service): Finding => {
  const known = memo.of(`left out at ${at.bind} ${at.port}`, [], () => new WeakMap<object, Finding>());
  const owner = model.services.get(service.key) ?? service;
  const made = known.get(owner) ?? takenNote(at, service.hostname, "");
  known.set(owner, made);
  return made;
};

/** All HTTP of a place asks for one table, and a rule for several services says the same for each: once is enough. */
const distinctChains = (chains: readonly PlannedChain[]): readonly PlannedChain[] => {
  if (chains.length < 2) return chains;
  const seen = new Set<string>();
  return chains.filter((chain) => {
    const key = chain.kind === "http" ? "http" : JSON.stringify({ ...chain, owner: "" });
    const fresh = !seen.has(key);
    seen.add(key);
    return fresh;
  });
};
