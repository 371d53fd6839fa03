/** What the client's proxy does with a request, from the listener to the choice of hosts. */
import type { DownstreamTlsInfo } from "@weft/proxy/http/exchange";
import type { ConnectionFacts } from "@weft/proxy/listeners/filter-chain-match";
import type { RouteConfigurationJson } from "@weft/xds/gen/envoy/config/route/v3/route";
import { type Decision, decide } from "./decide.ts";
import { type Entrance, enter, type Way, wayOut } from "./entrance.ts";
import type { OfflineProxy } from "./offline-proxy.ts";
import { isAddress, type Question } from "./question.ts";

export interface ClientSide {
  readonly way: Way;
  /** The address dialled; `undefined` where the configuration does not tell what the name resolves to. */
  readonly address: string | undefined;
  /** Absent where no chain takes the connection. */
  readonly entrance: Entrance | undefined;
  /** Absent where the chain does not speak HTTP. */
  readonly decision: Decision | undefined;
}

/** The client is on the proxy's own machine. */
const clientAddress = { sourceHost: "127.0.0.1", sourcePort: 50_000 };

/** A client without a certificate of its own. */
const tlsOf = (sni: string): DownstreamTlsInfo => ({
  ...{ sni, alpn: "http/1.1", version: "TLSv1.3", peerUris: [], peerDnsNames: [], peerSubject: "" },
  ...{ peerFingerprint: "", peerPem: "", localUris: [] },
});

/** Listens nowhere: a destination that no configuration names. */
const nowhere = "192.0.2.1";

export const clientSide = (proxy: OfflineProxy, question: Question): ClientSide => {
  const address = isAddress(question.host) ? question.host : addressOf(proxy, question);
  const way = wayOut(proxy, address ?? nowhere, question.port);
  if (way.kind === "none") return { way, address, entrance: undefined, decision: undefined };
  const own = way.listener.config.addresses[0];
  const destination =
    way.kind === "explicit" && own !== undefined ? own : { host: address ?? nowhere, port: question.port };
  const arrive = (facts: Pick<ConnectionFacts, "serverName" | "transportProtocol" | "applicationProtocols">) => ({
    facts: { destinationHost: destination.host, destinationPort: destination.port, ...clientAddress, ...facts },
    tls: facts.transportProtocol === "tls" ? tlsOf(facts.serverName) : undefined,
    redirected: way.kind === "intercepted",
  });
  const plain = arrive({ serverName: "", transportProtocol: "raw_buffer", applicationProtocols: ["http/1.1"] });
  const name = question.host.toLowerCase();
  const secure = arrive({ serverName: name, transportProtocol: "tls", applicationProtocols: ["h2", "http/1.1"] });
  // A port that takes no plaintext is called by TLS, as clients of gateways do.
  const entered = question.tls ? undefined : enter(proxy, way.listener, plain);
  const takesPlain = entered !== undefined && entered.chain.tls === undefined;
  const entrance = takesPlain ? entered : enter(proxy, way.listener, secure);
  const { http, downstream } = entrance ?? {};
  const decision =
    http && downstream
      ? decide(proxy, { settings: http.settings, table: http.table, request: question.request, downstream })
      : undefined;
  return { way, address, entrance, decision };
};

/** The virtual address that the port's route table, or a listener of the service's own, has for the name. */
const addressOf = ({ resources }: OfflineProxy, { host, port }: Question): string | undefined => {
  const lower = host.toLowerCase();
  const inTable = (table: RouteConfigurationJson | undefined): string | undefined =>
    table?.virtualHosts
      ?.find(({ domains = [] }) => domains.includes(lower))
      ?.domains?.map((domain) => domain.replace(/^\[|\]$/g, ""))
      .find(isAddress);
  const routed = inTable(resources.routes.get(String(port)));
  if (routed !== undefined) return routed;
  const own = resources.listeners.find(({ address, filterChains = [] }) => {
    const socket = address?.socketAddress;
    if (socket?.portValue !== port || socket.address === "0.0.0.0" || socket.address === "::") return false;
    const [, name = ""] = new RegExp(`outbound\\|${port}\\|[^|"]*\\|([^"]+)"`).exec(JSON.stringify(filterChains)) ?? [];
    return name === lower || name.startsWith(`${lower}.`);
  });
  return own?.address?.socketAddress?.address;
};
