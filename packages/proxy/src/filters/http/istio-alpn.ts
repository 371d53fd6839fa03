/** Offers upstream the ALPN names by which the peer's inbound listener tells mesh HTTP from other TLS. */
import { ConfigError } from "@weft/core/config-error";
import { refuseOthers } from "../../compile/fields.ts";
import type { AlpnOverride } from "../../http/exchange.ts";
import type { HttpFilterKind } from "./filter.ts";

interface AlpnConfig {
  readonly alpnOverride?: readonly { readonly upstreamProtocol?: string; readonly alpnOverride?: readonly string[] }[];
}

const istioDefault: AlpnOverride = {
  http10: ["istio-http/1.0", "istio", "http/1.0"],
  http11: ["istio-http/1.1", "istio", "http/1.1"],
  http2: ["istio-h2", "istio", "h2"],
};

const members: ReadonlyMap<string, keyof AlpnOverride> = new Map([
  ["HTTP10", "http10"],
  ["HTTP11", "http11"],
  ["HTTP2", "http2"],
]);

const compileOverride = (json: AlpnConfig): AlpnOverride => {
  refuseOthers(json, "AlpnFilterConfig", "", ["alpnOverride"]);
  if (!json.alpnOverride) return istioDefault;
  const override: { -readonly [K in keyof AlpnOverride]: AlpnOverride[K] } = { http10: [], http11: [], http2: [] };
  for (const [index, { upstreamProtocol = "HTTP10", alpnOverride = [] }] of json.alpnOverride.entries()) {
    const member = members.get(upstreamProtocol);
    if (!member) throw new ConfigError(`alpnOverride[${index}].upstreamProtocol`, `${upstreamProtocol} is not known`);
    override[member] = alpnOverride;
  }
  return override;
};

export const istioAlpn: HttpFilterKind = {
  name: "istio.alpn",
  typeName: "istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig",
  aliases: ["envoy.filters.http.alpn"],
  configure(raw) {
    const override = compileOverride(raw as AlpnConfig);
    return () => ({
      onRequest(exchange) {
        exchange.upstreamAlpn = override;
        return undefined;
      },
    });
  },
};
