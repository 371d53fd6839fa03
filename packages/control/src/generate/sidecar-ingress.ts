/** The ports a Sidecar opens to the mesh, which stand instead of those its workload's services say. */
import type { Finding } from "@weft/config/finding";
import type { ConnectionPoolSettings } from "@weft/config/kinds/destination-rule";
import type { SidecarIngress } from "@weft/config/kinds/sidecar";
import { parseAddress } from "@weft/core/address";
import type { AddressJson } from "@weft/xds/gen/envoy/config/core/v3/address";
import type { TransportSocketJson } from "@weft/xds/gen/envoy/config/core/v3/base";
import type { SecretJson } from "@weft/xds/gen/envoy/extensions/transport_sockets/tls/v3/secret";
import { isHttp, type Protocol, parseProtocol, protocolOfPort } from "../model/protocol.ts";
import type { TlsMode } from "../model/workload-policies.ts";
import { serverSocket } from "./gateway-tls.ts";
import { noteAt } from "./resource-set.ts";
import type { Scope } from "./scope.ts";

export interface IngressPort {
  readonly address: string;
  readonly port: number;
  /** Has a listener of its own, in intercepted mode too. */
  readonly binds: boolean;
  readonly endpoint: AddressJson;
  readonly protocol: Protocol;
  readonly connectionPool: ConnectionPoolSettings | undefined;
  /** TLS other than the mesh's. */
  readonly tls: TransportSocketJson | undefined;
  readonly secrets: readonly SecretJson[];
}

interface Context {
  readonly notes: Finding[];
  /** Where the node itself says that a port of the workload is taken. */
  readonly listensAt: (port: number) => string | undefined;
  readonly tlsMode: (port: number) => TlsMode;
}

/** `undefined` where no Sidecar says anything of ingress. */
export const sidecarIngress = (scope: Scope, context: Context): readonly IngressPort[] | undefined => {
  const listeners = scope.sidecar?.sidecar.spec.ingress;
  return listeners?.length
    ? listeners.flatMap((listener, index) => ingressPort(scope, listener, { ...context, index }) ?? [])
    : undefined;
};

/** Limits for all ports of the workload; a port's own stand before them. */
export const inboundPool = (scope: Scope, port: number): ConnectionPoolSettings | undefined => {
  const spec = scope.sidecar?.sidecar.spec;
  return spec?.ingress?.find((one) => one.port.number === port)?.connectionPool ?? spec?.inboundConnectionPool;
};

const ingressPort = (
  scope: Scope,
  listener: SidecarIngress,
  { notes, listensAt, tlsMode, index }: Context & { readonly index: number },
): IngressPort | undefined => {
  const object = scope.sidecar?.sidecar;
  const { number } = listener.port;
  if (!object || number === undefined) return undefined;
  const path = ["spec", "ingress", index];
  const { proxy } = scope;
  const binds = proxy.mode === "NONE" || listener.captureMode === "NONE";
  const own = proxy.addresses[0];
  const wide = proxy.mode === "NONE" ? (own ?? "127.0.0.1") : "0.0.0.0";
  const address = listener.bind || listensAt(number) || wide;
  const endpoint = endpointOf(listener.defaultEndpoint, { port: number, own: own ?? "127.0.0.1" });
  const target = endpoint.socketAddress;
  if (binds && target?.portValue === number && (target.address === address || isAny(address))) {
    const text = `the listener at ${address}:${number} would dial itself: write defaultEndpoint with the application's port`;
    notes.push(noteAt("WF1544", `${text}. It is left out`, { object, path }, "error"));
    return undefined;
  }
  const declared = listener.port.protocol ? parseProtocol(listener.port.protocol) : undefined;
  const protocol = declared ?? protocolOfPort({ name: listener.port.name });
  const common = { address, port: number, binds, endpoint, connectionPool: inboundPool(scope, number) };
  const { tls } = listener;
  if (!tls) return { ...common, protocol, tls: undefined, secrets: [] };
  const inside = protocol === "https" ? "http" : protocol === "tls" ? "tcp" : protocol;
  if (tlsMode(number) !== "DISABLE") {
    const text =
      "the mesh's own TLS is on for this port, so ingress.tls is not used: PeerAuthentication DISABLE frees it";
    notes.push(noteAt("WF1545", text, { object, path: [...path, "tls"] }));
    return { ...common, protocol: inside, tls: undefined, secrets: [] };
  }
  const made = serverSocket(scope, { tls, requests: isHttp(inside) });
  if (made.kind === "none") {
    notes.push(noteAt("WF7011", made.why, { object, path: [...path, "tls"] }, "error"));
    return undefined;
  }
  return { ...common, protocol: inside, tls: made.socket, secrets: made.secrets };
};

const isAny = (address: string): boolean => address === "0.0.0.0" || address === "::";

const socket = (address: string, portValue: number): AddressJson => ({ socketAddress: { address, portValue } });

/** The application: at a Unix socket, at this machine's own address, or where `0.0.0.0` says, at the workload's. */
const endpointOf = (
  text: string | undefined,
  { port, own }: { readonly port: number; readonly own: string },
): AddressJson => {
  if (!text) return socket(own.includes(":") ? "::1" : "127.0.0.1", port);
  if (text.startsWith("unix://")) return { pipe: { path: text.slice("unix://".length) } };
  const parsed = parseAddress(text);
  if (!parsed) return socket("127.0.0.1", port);
  return socket(isAny(parsed.host) ? own : parsed.host, parsed.port);
};
