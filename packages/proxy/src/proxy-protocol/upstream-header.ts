import { ConfigError } from "@weft/core/config-error";
import { encodeProxyV1, encodeProxyV2 } from "@weft/protocols/proxy-protocol/encode";
import type { ProxyAddresses, Tlv } from "@weft/protocols/proxy-protocol/header";
import type { TransportSocketJson } from "@weft/xds/gen/envoy/config/core/v3/base";
import type { ProxyProtocolUpstreamTransportJson } from "@weft/xds/gen/envoy/extensions/transport_sockets/proxy_protocol/v3/upstream_proxy_protocol";
import { member, oneOf, refuseOthers } from "../compile/fields.ts";
import type { DownstreamInfo } from "../http/exchange.ts";
import { compilePassTlvs, type PassesTlv } from "./pass-tlvs.ts";

export const upstreamProxyProtocolType =
  "envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport";

/** The header that goes ahead of everything else on a connection to a host. */
export interface UpstreamProxyProtocol {
  readonly version: "V1" | "V2";
  readonly passes: PassesTlv;
  /** Equal for two that write the same. */
  readonly key: string;
}

/** Compiles the wrapping transport socket; the wrapped one is given back as configured. */
export const compileUpstreamProxyProtocol = (
  json: ProxyProtocolUpstreamTransportJson,
): { readonly header: UpstreamProxyProtocol; readonly inner: TransportSocketJson } => {
  refuseOthers(json, "ProxyProtocolUpstreamTransport", "", ["config", "transportSocket"]);
  if (!json.transportSocket) throw new ConfigError("transportSocket", "is required");
  const config = json.config ?? {};
  refuseOthers(config, "ProxyProtocolConfig", "config", ["version", "passThroughTlvs"]);
  return {
    header: {
      version: oneOf(config.version, ["V1", "V2"], "V1", member("config", "version")),
      passes: compilePassTlvs(config.passThroughTlvs, member("config", "passThroughTlvs")),
      key: JSON.stringify(config),
    },
    inner: json.transportSocket,
  };
};

const noTlvs: readonly Tlv[] = [];

/**
 * The header for a connection made on behalf of `downstream`. Made on nobody's behalf, version 2 says LOCAL, and version
 * 1, which cannot, tells the connection's own ends.
 */
export const upstreamHeader = (
  { version, passes }: UpstreamProxyProtocol,
  downstream: DownstreamInfo | undefined,
  own: () => ProxyAddresses,
): Buffer => {
  const ends = downstream && {
    source: { host: downstream.remoteHost, port: downstream.remotePort },
    destination: { host: downstream.localHost, port: downstream.localPort },
  };
  if (version === "V1") return encodeProxyV1(ends ?? own());
  return encodeProxyV2(ends, (downstream?.proxied?.tlvs ?? noTlvs).filter(passes));
};
