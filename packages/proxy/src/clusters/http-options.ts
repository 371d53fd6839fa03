/** How a cluster speaks HTTP: from its typed extension options, or from the older fields of the cluster itself. */
import { ConfigError } from "@weft/core/config-error";
import type { ClusterJson } from "@weft/xds/gen/envoy/config/cluster/v3/cluster";
import type {
  HttpProtocolOptionsJson as CommonJson,
  Http1ProtocolOptionsJson,
  Http2ProtocolOptionsJson,
  UpstreamHttpProtocolOptionsJson,
} from "@weft/xds/gen/envoy/config/core/v3/protocol";
import type { HttpProtocolOptionsJson } from "@weft/xds/gen/envoy/extensions/upstreams/http/v3/http_protocol_options";
import { openAny } from "../compile/any.ts";
import { durationMs, member, refuseOthers, unsigned, within } from "../compile/fields.ts";
import type { UpstreamHttp, UpstreamNames } from "./cluster.ts";

const optionsName = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
const defaultIdleTimeoutMs = 3_600_000;
const defaultKeepaliveTimeoutMs = 10_000;

type Protocol = UpstreamHttp["protocol"];

/** The names that requests are for, as what servers are asked for by TLS. */
const compileNames = (json: UpstreamHttpProtocolOptionsJson | undefined, at: string): UpstreamNames | undefined => {
  if (!json) return undefined;
  refuseOthers(json, "UpstreamHttpProtocolOptions", at, ["autoSni", "autoSanValidation", "overrideAutoSniHeader"]);
  const names = { sni: json.autoSni === true, san: json.autoSanValidation === true };
  return names.sni || names.san ? { ...names, header: (json.overrideAutoSniHeader ?? "").toLowerCase() } : undefined;
};

/** The parts from which the settings are put together, wherever they stood. */
interface Parts {
  readonly protocol: Protocol;
  readonly common: CommonJson;
  readonly commonAt: string;
  readonly http2: Http2ProtocolOptionsJson;
  readonly http2At: string;
  readonly maxRequests: number | undefined;
  readonly names: UpstreamNames | undefined;
}

const checkHttp1 = (json: Http1ProtocolOptionsJson | undefined, at: string): void => {
  if (json) refuseOthers(json, "Http1ProtocolOptions", at, []);
};

const assemble = ({ protocol, common, commonAt, http2, http2At, maxRequests, names }: Parts): UpstreamHttp => {
  refuseOthers(common, "CommonHttpProtocolOptions", commonAt, [
    "idleTimeout",
    "maxConnectionDuration",
    "maxRequestsPerConnection",
  ]);
  refuseOthers(http2, "Http2ProtocolOptions", http2At, ["maxConcurrentStreams", "connectionKeepalive"]);
  const keepalive = http2.connectionKeepalive;
  const keepaliveAt = member(http2At, "connectionKeepalive");
  if (keepalive) refuseOthers(keepalive, "KeepaliveSettings", keepaliveAt, ["interval", "timeout", "intervalJitter"]);
  const intervalMs = durationMs(keepalive?.interval, member(keepaliveAt, "interval"));
  const idleMs = durationMs(common.idleTimeout, member(commonAt, "idleTimeout")) ?? defaultIdleTimeoutMs;
  const requests = unsigned(common.maxRequestsPerConnection, member(commonAt, "maxRequestsPerConnection"));
  return {
    protocol,
    names,
    // 0 is no limit in both fields, and the newer one wins.
    maxRequestsPerConnection: (requests ?? maxRequests) || Number.POSITIVE_INFINITY,
    idleTimeoutMs: idleMs === 0 ? Number.POSITIVE_INFINITY : idleMs,
    maxConnectionDurationMs: durationMs(common.maxConnectionDuration, member(commonAt, "maxConnectionDuration")),
    maxConcurrentStreams:
      unsigned(http2.maxConcurrentStreams, member(http2At, "maxConcurrentStreams")) ?? 2_147_483_647,
    keepalive:
      intervalMs === undefined
        ? undefined
        : {
            intervalMs,
            timeoutMs: durationMs(keepalive?.timeout, `${keepaliveAt}.timeout`) ?? defaultKeepaliveTimeoutMs,
          },
  };
};

const fromOptions = (json: HttpProtocolOptionsJson, maxRequests: number | undefined): UpstreamHttp => {
  refuseOthers(json, "HttpProtocolOptions", "", [
    "commonHttpProtocolOptions",
    "upstreamHttpProtocolOptions",
    "explicitHttpConfig",
    "useDownstreamProtocolConfig",
    "autoConfig",
    "httpFilters",
  ]);
  for (const [index, filter] of (json.httpFilters ?? []).entries()) {
    if (filter.name === "envoy.filters.http.upstream_codec") continue;
    throw new ConfigError(`httpFilters[${index}]`, `the upstream HTTP filter "${filter.name}" is not supported`);
  }
  const { explicitHttpConfig: explicit, useDownstreamProtocolConfig: downstream, autoConfig: auto } = json;
  const name = explicit ? "explicitHttpConfig" : downstream ? "useDownstreamProtocolConfig" : "autoConfig";
  const chosen: NonNullable<typeof downstream> = explicit ?? downstream ?? auto ?? {};
  const used = ["httpProtocolOptions", "http2ProtocolOptions"] as const;
  refuseOthers(chosen, "HttpConfig", name, used);
  checkHttp1(chosen.httpProtocolOptions, `${name}.httpProtocolOptions`);
  const fixed: Protocol = explicit?.http2ProtocolOptions ? "http2" : "http1";
  return assemble({
    protocol: downstream ? "downstream" : auto ? "auto" : fixed,
    common: json.commonHttpProtocolOptions ?? {},
    commonAt: "commonHttpProtocolOptions",
    http2: chosen.http2ProtocolOptions ?? {},
    http2At: `${name}.http2ProtocolOptions`,
    maxRequests,
    names: compileNames(json.upstreamHttpProtocolOptions, "upstreamHttpProtocolOptions"),
  });
};

/** Compiles the HTTP settings of a cluster; HTTP/1.1 when it has none. */
export const compileUpstreamHttp = (json: ClusterJson): UpstreamHttp => {
  const maxRequests = unsigned(json.maxRequestsPerConnection, "maxRequestsPerConnection");
  let options: HttpProtocolOptionsJson | undefined;
  let at = "";
  for (const [key, value] of Object.entries(json.typedExtensionProtocolOptions ?? {})) {
    at = `typedExtensionProtocolOptions["${key}"]`;
    const { typeName, raw } = openAny(value, at);
    if (typeName !== optionsName) throw new ConfigError(at, `${typeName} is not supported`);
    options = raw;
  }
  if (options) {
    const found = options;
    return within(at, () => fromOptions(found, maxRequests));
  }
  checkHttp1(json.httpProtocolOptions, "httpProtocolOptions");
  const fixed: Protocol = json.http2ProtocolOptions ? "http2" : "http1";
  return assemble({
    protocol: json.protocolSelection === "USE_DOWNSTREAM_PROTOCOL" ? "downstream" : fixed,
    common: json.commonHttpProtocolOptions ?? {},
    commonAt: "commonHttpProtocolOptions",
    http2: json.http2ProtocolOptions ?? {},
    http2At: "http2ProtocolOptions",
    maxRequests,
    names: compileNames(json.upstreamHttpProtocolOptions, "upstreamHttpProtocolOptions"),
  });
};
