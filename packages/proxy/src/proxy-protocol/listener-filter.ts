import { ConfigError } from "@weft/core/config-error";
import { decodeProxyHeader } from "@weft/protocols/proxy-protocol/decode";
import type { ProxyHeader, ProxyVersion, Tlv } from "@weft/protocols/proxy-protocol/header";
import type { ProxyProtocolJson } from "@weft/xds/gen/envoy/extensions/filters/listener/proxy_protocol/v3/proxy_protocol";
import { member, oneOf, refuseOthers, required } from "../compile/fields.ts";
import type { ProxiedInfo } from "../http/exchange.ts";
import type { Counter, Stats } from "../observe/stats.ts";
import { compilePassTlvs, type PassesTlv, tlvTypeOf } from "./pass-tlvs.ts";

export const proxyProtocolFilterName = "envoy.filters.listener.proxy_protocol";
export const proxyProtocolFilterType = "envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol";

/** What the first bytes of a connection mean to the filter. */
export type ProxyVerdict =
  | { readonly kind: "need-more" }
  /** The connection goes on behind `length` bytes; without a header that is 0. */
  | { readonly kind: "go-on"; readonly header: ProxyHeader | undefined; readonly length: number }
  | { readonly kind: "refuse" };

/** A compiled proxy_protocol listener filter; immutable. */
export interface ProxyProtocolFilter {
  /** Connections without a header are served too. */
  readonly allowsNone: boolean;
  /** Judges all bytes so far, and counts what is decided. */
  readonly judge: (bytes: Buffer) => ProxyVerdict;
  /** What a connection keeps of its header. */
  readonly keep: (header: ProxyHeader) => Pick<ProxiedInfo, "metadata" | "tlvs">;
}

interface Rule {
  readonly type: number;
  readonly namespace: string;
  readonly key: string;
}

interface VersionCounters {
  readonly found: Counter;
  readonly disallowed: Counter;
  readonly error: Counter;
}

const needMore: ProxyVerdict = { kind: "need-more" };
const refuse: ProxyVerdict = { kind: "refuse" };
const withoutHeader: ProxyVerdict = { kind: "go-on", header: undefined, length: 0 };
const versions: readonly ProxyVersion[] = ["v1", "v2"];

/** Compiles the filter; throws ConfigError for what it would not honour. */
export const compileProxyProtocolFilter = (json: ProxyProtocolJson, stats: Stats): ProxyProtocolFilter => {
  refuseOthers(json, "ProxyProtocol", "", [
    "rules",
    "allowRequestsWithoutProxyProtocol",
    "passThroughTlvs",
    "disallowedVersions",
    "statPrefix",
  ]);
  const disallowed = new Set(
    (json.disallowedVersions ?? []).map((version, index) =>
      oneOf(version, ["V1", "V2"], "V1", `disallowedVersions[${index}]`) === "V1" ? "v1" : "v2",
    ),
  );
  const allowsNone = json.allowRequestsWithoutProxyProtocol === true;
  const prefix = json.statPrefix ? `proxy_proto.${json.statPrefix}.` : "proxy_proto.";
  return {
    allowsNone,
    judge: compileJudge({ allowsNone, disallowed, prefix, stats }),
    keep: compileKeep(compileRules(json.rules), compilePassTlvs(json.passThroughTlvs, "passThroughTlvs")),
  };
};

const compileRules = (list: ProxyProtocolJson["rules"]): readonly Rule[] =>
  (list ?? []).map((json, index) => {
    const at = `rules[${index}]`;
    refuseOthers(json, "ProxyProtocolRule", at, ["tlvType", "onTlvPresent"]);
    const here = member(at, "onTlvPresent");
    const { onTlvPresent: present } = json;
    if (!present) throw new ConfigError(here, "is required");
    refuseOthers(present, "ProxyProtocolKeyValuePair", here, ["metadataNamespace", "key"]);
    return {
      type: tlvTypeOf(json.tlvType, member(at, "tlvType")),
      namespace: present.metadataNamespace || proxyProtocolFilterName,
      key: required(present.key, member(here, "key")),
    };
  });

interface JudgeSettings {
  readonly allowsNone: boolean;
  readonly disallowed: ReadonlySet<ProxyVersion>;
  readonly prefix: string;
  readonly stats: Stats;
}

const compileJudge = ({ allowsNone, disallowed, prefix, stats }: JudgeSettings): ProxyProtocolFilter["judge"] => {
  const countersOf = (version: ProxyVersion): VersionCounters => ({
    found: stats.counter(`${prefix}versions.${version}.found`),
    disallowed: stats.counter(`${prefix}versions.${version}.disallowed`),
    error: stats.counter(`${prefix}versions.${version}.error`),
  });
  const counters = { v1: countersOf("v1"), v2: countersOf("v2") };
  const noneAllowed = stats.counter(`${prefix}not_found_allowed`);
  const noneDisallowed = stats.counter(`${prefix}not_found_disallowed`);
  // Where headers may be missing, one of a disallowed version is not looked for: its bytes are the connection's own.
  const looksFor = allowsNone ? versions.filter((version) => !disallowed.has(version)) : versions;
  return (bytes) => {
    const decoded = decodeProxyHeader(bytes, looksFor);
    switch (decoded.kind) {
      case "need-more":
        return needMore;
      case "none":
        (allowsNone ? noneAllowed : noneDisallowed).add(1);
        return allowsNone ? withoutHeader : refuse;
      case "error":
        counters[decoded.version].error.add(1);
        return refuse;
      case "header": {
        const { version } = decoded.header;
        const refused = disallowed.has(version);
        counters[version][refused ? "disallowed" : "found"].add(1);
        return refused ? refuse : { kind: "go-on", header: decoded.header, length: decoded.length };
      }
    }
  };
};

const noTlvs: readonly Tlv[] = [];
const noMetadata: ProxiedInfo["metadata"] = {};

const compileKeep =
  (rules: readonly Rule[], passes: PassesTlv): ProxyProtocolFilter["keep"] =>
  ({ tlvs }) => {
    if (tlvs.length === 0) return { metadata: noMetadata, tlvs: noTlvs };
    const spaces = new Map<string, Map<string, unknown>>();
    for (const { type, namespace, key } of rules) {
      const found = tlvs.find((tlv) => tlv.type === type);
      if (found === undefined) continue;
      const space = spaces.get(namespace) ?? new Map<string, unknown>();
      spaces.set(namespace, space.set(key, found.value.toString("utf8")));
    }
    const metadata = Object.fromEntries([...spaces].map(([name, space]) => [name, Object.fromEntries(space)]));
    return { metadata, tlvs: tlvs.filter(passes) };
  };
