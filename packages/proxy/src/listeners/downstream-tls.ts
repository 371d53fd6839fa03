import { ConfigError } from "@weft/core/config-error";
import type { TransportSocketJson } from "@weft/xds/gen/envoy/config/core/v3/base";
import type { DownstreamTlsContextJson } from "@weft/xds/gen/envoy/extensions/transport_sockets/tls/v3/tls";
import { compileTlsCommon, type TlsCommon } from "../clusters/tls-context.ts";
import { openAny } from "../compile/any.ts";
import { member, refuseOthers, required, within } from "../compile/fields.ts";

/** Server side TLS of a filter chain as configured; keys and roots are looked up when a connection comes. */
export interface DownstreamTls extends TlsCommon {
  readonly requireClientCertificate: boolean;
  readonly requireSni: boolean;
}

const tlsType = "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext";
const rawType = "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer";

const compile = (json: DownstreamTlsContextJson): DownstreamTls => {
  refuseOthers(json, "DownstreamTlsContext", "", ["commonTlsContext", "requireClientCertificate", "requireSni"]);
  const common = compileTlsCommon(json.commonTlsContext ?? {}, "commonTlsContext");
  if (common.certificate === undefined) throw new ConfigError("commonTlsContext", "a server needs a certificate");
  return {
    ...common,
    requireClientCertificate: json.requireClientCertificate === true,
    requireSni: json.requireSni === true,
  };
};

/** Compiles a filter chain's transport socket; `undefined` is plaintext. */
export const compileDownstreamTls = (json: TransportSocketJson | undefined, at: string): DownstreamTls | undefined => {
  if (!json) return undefined;
  refuseOthers(json, "TransportSocket", at, ["name", "typedConfig"]);
  if (!json.typedConfig && json.name === "envoy.transport_sockets.raw_buffer") return undefined;
  const here = member(at, "typedConfig");
  const { typeName, raw } = openAny(required(json.typedConfig, here), here);
  if (typeName === rawType) return undefined;
  if (typeName !== tlsType) throw new ConfigError(here, `${typeName} is not supported`);
  return within(here, () => compile(raw));
};
