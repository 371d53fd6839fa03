import { ConfigError } from "@weft/core/config-error";
import type {
  ListenerFilterChainMatchPredicateJson,
  ListenerFilterJson,
} from "@weft/xds/gen/envoy/config/listener/v3/listener_components";
import type { OriginalSrcJson } from "@weft/xds/gen/envoy/extensions/filters/listener/original_src/v3/original_src";
import { openAny } from "../compile/any.ts";
import { member, refuseOthers, unsigned, within } from "../compile/fields.ts";
import type { Stats } from "../observe/stats.ts";
import {
  compileProxyProtocolFilter,
  type ProxyProtocolFilter,
  proxyProtocolFilterName,
  proxyProtocolFilterType,
} from "../proxy-protocol/listener-filter.ts";

/** Connections to hosts are to come from the client's address, with this mark. */
export interface OriginalSource {
  readonly mark: number;
  /** The address is the one a PROXY protocol header told, where there was one; else that of the socket. */
  readonly asTold: boolean;
}

/** What the listener filters ask for, all together. */
export interface ListenerFilters {
  readonly readsOriginalDst: boolean;
  /** What a connection may or must begin with, ahead of everything else. */
  readonly proxyProtocol: ProxyProtocolFilter | undefined;
  readonly originalSource: OriginalSource | undefined;
  readonly inspectsTls: boolean;
  readonly inspectsHttp: boolean;
  /** Destination ports whose connections are not inspected: their servers speak first. */
  readonly exempt: (port: number) => boolean;
}

const filterPrefix = "envoy.extensions.filters.listener.";

/** Compiles the listener filters; throws ConfigError for one that is not supported. */
export const compileListenerFilters = (list: readonly ListenerFilterJson[], stats: Stats): ListenerFilters => {
  let readsOriginalDst = false;
  let proxyProtocol: ProxyProtocolFilter | undefined;
  let originalSource: OriginalSource | undefined;
  let inspectsTls = false;
  let inspectsHttp = false;
  let exempt = neverExempt;
  for (const [index, json] of list.entries()) {
    const at = `listenerFilters[${index}]`;
    refuseOthers(json, "ListenerFilter", at, ["name", "typedConfig", "filterDisabled"]);
    const { typeName, raw } = json.typedConfig ? openAny(json.typedConfig, at) : { typeName: json.name ?? "", raw: {} };
    if (typeName === proxyProtocolFilterType || typeName === proxyProtocolFilterName) {
      if (json.filterDisabled) throw new ConfigError(member(at, "filterDisabled"), "is not supported for this filter");
      proxyProtocol = within(member(at, "typedConfig"), () => compileProxyProtocolFilter(raw, stats));
      continue;
    }
    if (typeName.startsWith(`${filterPrefix}original_src`) || typeName.endsWith("original_src")) {
      if (json.filterDisabled) throw new ConfigError(member(at, "filterDisabled"), "is not supported for this filter");
      const mark = within(member(at, "typedConfig"), () => compileMark(raw));
      originalSource = { mark, asTold: proxyProtocol !== undefined };
      continue;
    }
    if (json.filterDisabled) exempt = compileExemption(json.filterDisabled, member(at, "filterDisabled"));
    if (typeName.startsWith(`${filterPrefix}original_dst`) || typeName.endsWith("original_dst")) {
      readsOriginalDst = true;
    } else if (typeName.startsWith(`${filterPrefix}tls_inspector`) || typeName.endsWith("tls_inspector")) {
      inspectsTls = true;
    } else if (typeName.startsWith(`${filterPrefix}http_inspector`) || typeName.endsWith("http_inspector")) {
      inspectsHttp = true;
    } else throw new ConfigError(at, `the listener filter "${json.name}" (${typeName}) is not supported`);
  }
  return { readsOriginalDst, proxyProtocol, originalSource, inspectsTls, inspectsHttp, exempt };
};

const markMost = 0xffff_ffff;

const compileMark = (json: OriginalSrcJson): number => {
  refuseOthers(json, "OriginalSrc", "", ["mark"]);
  const mark = unsigned(json.mark, "mark") ?? 0;
  if (mark > markMost) throw new ConfigError("mark", "is more than 32 bits");
  return mark;
};

const neverExempt: ListenerFilters["exempt"] = () => false;

/** The predicate that disables an inspector for some destination ports. */
const compileExemption = (json: ListenerFilterChainMatchPredicateJson, at: string): ListenerFilters["exempt"] => {
  refuseOthers(json, "ListenerFilterChainMatchPredicate", at, [
    "orMatch",
    "andMatch",
    "notMatch",
    "anyMatch",
    "destinationPortRange",
  ]);
  const { destinationPortRange: range, notMatch } = json;
  if (range) return (port) => port >= (range.start ?? 0) && port < (range.end ?? 0);
  if (notMatch) {
    const inner = compileExemption(notMatch, member(at, "notMatch"));
    return (port) => !inner(port);
  }
  const all = (rules: readonly ListenerFilterChainMatchPredicateJson[] | undefined, name: string) =>
    (rules ?? []).map((rule, index) => compileExemption(rule, `${at}.${name}.rules[${index}]`));
  const some = all(json.orMatch?.rules, "orMatch");
  const every = all(json.andMatch?.rules, "andMatch");
  if (some.length > 0) return (port) => some.some((test) => test(port));
  if (every.length > 0) return (port) => every.every((test) => test(port));
  return () => json.anyMatch === true;
};
