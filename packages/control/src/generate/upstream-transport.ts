/** The transport sockets of an outbound cluster: automatic mTLS, TLS as a DestinationRule asks for it, PROXY headers. */
import type { ClientTlsSettings } from "@weft/config/kinds/destination-rule";
import type { Cluster_TransportSocketMatchJson, ClusterJson } from "@weft/xds/gen/envoy/config/cluster/v3/cluster";
import type { TransportSocketJson } from "@weft/xds/gen/envoy/config/core/v3/base";
import { any } from "@weft/xds/resource";
import type { DestinationPolicy } from "../model/destination-rules.ts";
import { isHttp, type Protocol } from "../model/protocol.ts";
import type { Service } from "../model/service.ts";
import { meshServerName } from "./names.ts";
import type { Scope } from "./scope.ts";
import { meshClientSocket, originatedTlsSocket, plaintextSocket } from "./tls-contexts.ts";
import type { PolicyBlocks } from "./traffic-policy.ts";

export interface TransportInput {
  readonly service: Service;
  readonly port: number;
  readonly protocol: Protocol;
  readonly subset: string;
  readonly policy: DestinationPolicy | undefined;
  readonly blocks: PolicyBlocks;
  /** Requests go out over HTTP/2 whatever the client speaks. */
  readonly http2: boolean;
}

/** TLS towards others than the mesh's own servers. */
export const originates = (tls: ClientTlsSettings | undefined): boolean =>
  tls?.mode === "SIMPLE" || tls?.mode === "MUTUAL";

/**
 * Secrets are read by gateways, and by sidecars that a rule selects: others may not read them, and Istio then configures
 * no TLS at all.
 */
export const losesCredential = (
  tls: ClientTlsSettings | undefined,
  kind: Scope["proxy"]["kind"],
  policy: Pick<DestinationPolicy, "selective"> | undefined,
): boolean =>
  originates(tls) &&
  Boolean(tls?.credentialName) &&
  kind === "sidecar" &&
  !policy?.selective &&
  !tls?.credentialName?.startsWith("configmap://");

/**
 * Whether the server's name and the name to verify come from each request's host, as Istio has it for HTTP.
 */
export const autoNames = (
  { proxy }: Pick<Scope, "proxy">,
  { service, protocol, policy, blocks: { tls } }: Pick<TransportInput, "service" | "protocol" | "policy" | "blocks">,
): AutoNames | undefined => {
  if (!tls || !originates(tls) || losesCredential(tls, proxy.kind, policy)) {
    // Envoy wants both wherever each host has an address of its own, TLS or not.
    return service.resolution === "dynamicDns" ? { sni: true, san: true } : undefined;
  }
  if (!isHttp(protocol) && protocol !== "auto") return undefined;
  const sni = !tls.sni;
  return { sni, san: sni && !tls.subjectAltNames?.length && !tls.insecureSkipVerify };
};

export interface AutoNames {
  readonly sni: boolean;
  readonly san: boolean;
}

/** TLS as the rule says; without one, mTLS to endpoints that have it and plaintext to those that do not. */
export const transport = (scope: Scope, input: TransportInput): Partial<ClusterJson> => {
  const { version } = input.blocks.proxyProtocol ?? {};
  const sockets = tlsSockets(scope, input);
  if (!input.blocks.proxyProtocol) return sockets;
  const wrap = (socket: TransportSocketJson): TransportSocketJson => ({
    name: "envoy.transport_sockets.upstream_proxy_protocol",
    typedConfig: any("envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport", {
      config: { version: version ?? "V1" },
      transportSocket: socket,
    }),
  });
  const { transportSocketMatches: matches } = sockets;
  if (!matches) return { transportSocket: wrap(sockets.transportSocket ?? plaintextSocket) };
  return {
    transportSocketMatches: matches.map((one) => ({
      ...one,
      ...(one.transportSocket ? { transportSocket: wrap(one.transportSocket) } : {}),
    })),
  };
};

type Sockets = Pick<ClusterJson, "transportSocket" | "transportSocketMatches">;

const tlsSockets = (scope: Scope, input: TransportInput): Sockets => {
  const { service, port, protocol, subset, blocks, http2 } = input;
  const { tls } = blocks;
  const { sdsCluster, native, kind } = scope.proxy;
  if (tls && originates(tls)) {
    if (losesCredential(tls, kind, input.policy)) return {};
    const auto = autoNames(scope, input);
    return {
      transportSocket: originatedTlsSocket(tls, {
        hostname: service.hostname,
        http2,
        identities: service.sources[0] === "ServiceEntry" ? service.identities : [],
        verifiesHost: auto?.san === true,
      }),
    };
  }
  if (tls && tls.mode !== "ISTIO_MUTUAL") return {};
  if (!sdsCluster) return {};
  const mesh = meshClientSocket({
    sdsCluster,
    native,
    identities: tls?.subjectAltNames?.length ? tls.subjectAltNames : service.identities,
    protocol,
    http2,
    sni: tls?.sni ? tls.sni : meshServerName(service.hostname, port, subset),
  });
  if (tls) return { transportSocket: mesh };
  if (service.location === "external" || !scope.model.mesh.enableAutoMtls) return {};
  const byAddress = service.resolution === "passthrough" || service.resolution === "dynamicDns";
  return byAddress || blocks.loadBalancer?.simple === "PASSTHROUGH" ? {} : { transportSocketMatches: autoMtls(mesh) };
};

const autoMtls = (mesh: TransportSocketJson): Cluster_TransportSocketMatchJson[] => [
  { name: "tlsMode-istio", match: { tlsMode: "istio" }, transportSocket: mesh },
  { name: "tlsMode-disabled", match: {}, transportSocket: plaintextSocket },
];
