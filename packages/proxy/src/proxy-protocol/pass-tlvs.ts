import { ConfigError } from "@weft/core/config-error";
import type { Tlv } from "@weft/protocols/proxy-protocol/header";
import type { ProxyProtocolPassThroughTLVsJson } from "@weft/xds/gen/envoy/config/core/v3/proxy_protocol";
import { member, oneOf, refuseOthers, unsigned } from "../compile/fields.ts";

/** Whether an extension goes on to the next proxy. */
export type PassesTlv = (tlv: Tlv) => boolean;

export const tlvTypeOf = (value: number | undefined, at: string): number => {
  const type = unsigned(value, at) ?? 0;
  if (type > 255) throw new ConfigError(at, `${type} is not a TLV type from 0 to 255`);
  return type;
};

/** Compiles the choice of extensions that are passed on; without one none is. */
export const compilePassTlvs = (json: ProxyProtocolPassThroughTLVsJson | undefined, at: string): PassesTlv => {
  if (!json) return () => false;
  refuseOthers(json, "ProxyProtocolPassThroughTLVs", at, ["matchType", "tlvType"]);
  const kind = oneOf(json.matchType, ["INCLUDE_ALL", "INCLUDE"], "INCLUDE_ALL", member(at, "matchType"));
  const types = new Set(
    (json.tlvType ?? []).map((type, index) => tlvTypeOf(type, `${member(at, "tlvType")}[${index}]`)),
  );
  return kind === "INCLUDE_ALL" ? () => true : ({ type }) => types.has(type);
};
