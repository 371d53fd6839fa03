/** Transport sockets towards upstream: plaintext or TLS, and which of them a host gets. */
import { ConfigError } from "@weft/core/config-error";
import type { Cluster_TransportSocketMatchJson } from "@weft/xds/gen/envoy/config/cluster/v3/cluster";
import type { TransportSocketJson } from "@weft/xds/gen/envoy/config/core/v3/base";
import type { UpstreamTlsContextJson } from "@weft/xds/gen/envoy/extensions/transport_sockets/tls/v3/tls";
import { openAny } from "../compile/any.ts";
import { member, refuseOthers, required, within } from "../compile/fields.ts";
import { compileUpstreamProxyProtocol, upstreamProxyProtocolType } from "../proxy-protocol/upstream-header.ts";
import type { TransportMatch, UpstreamTransport } from "./cluster.ts";
import type { Host } from "./host.ts";
import { compileTlsCommon } from "./tls-context.ts";

const tlsType = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";
const rawType = "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer";
const plaintext: UpstreamTransport = { kind: "plaintext" };

const compileTls = (json: UpstreamTlsContextJson): UpstreamTransport => {
  refuseOthers(json, "UpstreamTlsContext", "", ["commonTlsContext", "sni"]);
  const { otherCertificates, ...common } = compileTlsCommon(json.commonTlsContext ?? {}, "commonTlsContext");
  if (otherCertificates.length > 0) throw new ConfigError("commonTlsContext", "a client has one certificate at most");
  return { kind: "tls", sni: json.sni ?? "", ...common };
};

/** Compiles a transport socket; none is plaintext. */
export const compileTransport = (json: TransportSocketJson | undefined, at: string): UpstreamTransport => {
  if (!json) return plaintext;
  refuseOthers(json, "TransportSocket", at, ["name", "typedConfig"]);
  if (!json.typedConfig) {
    if (json.name === "envoy.transport_sockets.raw_buffer") return plaintext;
    throw new ConfigError(member(at, "typedConfig"), "is required");
  }
  const here = member(at, "typedConfig");
  const { typeName, raw } = openAny(json.typedConfig, here);
  if (typeName === rawType) return plaintext;
  if (typeName === upstreamProxyProtocolType) return within(here, () => compileProxied(raw));
  if (typeName !== tlsType) throw new ConfigError(here, `${typeName} is not supported`);
  return within(here, () => compileTls(raw));
};

const compileProxied = (json: object): UpstreamTransport => {
  const { header, inner } = compileUpstreamProxyProtocol(json);
  const transport = compileTransport(inner, "transportSocket");
  if (transport.proxyProtocol) throw new ConfigError("transportSocket", "holds another PROXY protocol header");
  return { ...transport, proxyProtocol: header };
};

export const compileTransportMatches = (
  list: readonly Cluster_TransportSocketMatchJson[] | undefined,
): readonly TransportMatch[] =>
  (list ?? []).map((json, index) => {
    const at = `transportSocketMatches[${index}]`;
    refuseOthers(json, "TransportSocketMatch", at, ["name", "match", "transportSocket"]);
    const match = Object.fromEntries(Object.entries(json.match ?? {}).map(([key, value]) => [key, String(value)]));
    return {
      name: required(json.name, member(at, "name")),
      match,
      transport: compileTransport(json.transportSocket, member(at, "transportSocket")),
    };
  });

/** The first match whose criteria the host's metadata meets, else the cluster's own transport. */
export const chooseTransport = (
  host: Host,
  matches: readonly TransportMatch[],
  fallback: UpstreamTransport,
): UpstreamTransport => {
  const metadata = host.metadata["envoy.transport_socket_match"] ?? {};
  const met = ({ match }: TransportMatch): boolean =>
    Object.entries(match).every(([key, value]) => Object.hasOwn(metadata, key) && String(metadata[key]) === value);
  return matches.find(met)?.transport ?? fallback;
};
