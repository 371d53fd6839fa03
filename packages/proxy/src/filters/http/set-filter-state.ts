/** Leaves texts made of the request for others, as filter state: for logs, and for what chooses the upstream. */
import { ConfigError } from "@weft/core/config-error";
import type { FilterStateValueJson } from "@weft/xds/gen/envoy/extensions/filters/common/set_filter_state/v3/value";
import type { ConfigJson } from "@weft/xds/gen/envoy/extensions/filters/http/set_filter_state/v3/set_filter_state";
import { refuseOthers, required } from "../../compile/fields.ts";
import type { Exchange } from "../../http/exchange.ts";
import { stateOf } from "../../http/request-state.ts";
import { compileFormat } from "../../observe/format.ts";
import type { FilterTools, HttpFilterKind } from "./filter.ts";

/** Names whose values are text, or mean something here. Others would be set and never heard of again. */
const textFactories: ReadonlySet<string> = new Set(["envoy.string", "envoy.hashable_string"]);
const understood: ReadonlySet<string> = new Set([
  "envoy.network.application_protocols",
  "envoy.upstream.dynamic_host",
  "envoy.upstream.dynamic_port",
]);

type Write = (exchange: Exchange, text: string) => void;

/** The list goes behind two bytes of length (RFC 7301 section 3.1). */
const alpnBytesMax = 65_535;

/**
 * ALPN names offered upstream, whatever version is spoken. They are the same for all requests: connections that offer
 * other names are other connections, of which requests could make ever more.
 */
const compileAlpn = (text: string, at: string): Write => {
  if (text.includes("%")) throw new ConfigError(at, "must name the protocols: they cannot be made of the request");
  const names = text.split(",");
  // Each stands behind a byte of length.
  if (names.some((name) => !/^[!-~]{1,255}$/.test(name)))
    throw new ConfigError(at, "must be names of 1 to 255 visible characters with commas between them");
  if (text.length + 1 > alpnBytesMax) throw new ConfigError(at, `is longer than ${alpnBytesMax} bytes`);
  const offered = { http10: names, http11: names, http2: names };
  return (exchange) => {
    exchange.upstreamAlpn = offered;
  };
};

const compileValue = (json: FilterStateValueJson, at: string, { clock }: FilterTools) => {
  // Who shares it makes a difference only to listeners within the proxy, of which there are none.
  refuseOthers(json, "FilterStateValue", at, [
    "objectKey",
    "factoryKey",
    "formatString",
    "readOnly",
    "sharedWithUpstream",
    "skipIfEmpty",
  ]);
  const key = required(json.objectKey, `${at}.objectKey`);
  const factory = json.factoryKey || key;
  if (!textFactories.has(factory) && !understood.has(factory))
    throw new ConfigError(`${at}.objectKey`, `"${factory}" has no object factory`);
  const formatAt = `${at}.formatString`;
  const format = required(json.formatString, formatAt);
  const text = format.textFormatSource?.inlineString ?? format.textFormat;
  if (text === undefined) throw new ConfigError(formatAt, "needs a text format");
  const fill = compileFormat(text, { missing: "-" }, formatAt);
  const write: Write =
    factory === "envoy.network.application_protocols"
      ? compileAlpn(text, formatAt)
      : (exchange, value) => void stateOf(exchange).filterState.set(key, value);
  const skips = json.skipIfEmpty === true;
  return (exchange: Exchange): void => {
    const { request, downstream } = exchange;
    const nowWallMs = clock.wallMs();
    const value = fill({
      request,
      response: undefined,
      downstream,
      outcome: exchange,
      startWallMs: nowWallMs,
      nowWallMs,
    });
    if (value === "" && skips) return;
    write(exchange, value);
  };
};

export const setFilterState: HttpFilterKind = {
  name: "envoy.filters.http.set_filter_state",
  typeName: "envoy.extensions.filters.http.set_filter_state.v3.Config",
  configure(raw) {
    const json = raw as ConfigJson;
    refuseOthers(json, "SetFilterState", "", ["onRequestHeaders"]);
    return (tools) => {
      const values = (json.onRequestHeaders ?? []).map((each, index) =>
        compileValue(each, `onRequestHeaders[${index}]`, tools),
      );
      return {
        onRequest(exchange) {
          for (const set of values) set(exchange);
          return undefined;
        },
      };
    };
  },
};
