/** How a connection manager rewrites the answers the proxy makes itself: Envoy's `local_reply_config`. */
import { ConfigError } from "@weft/core/config-error";
import type { DataSourceJson } from "@weft/xds/gen/envoy/config/core/v3/base";
import type { SubstitutionFormatStringJson } from "@weft/xds/gen/envoy/config/core/v3/substitution_format_string";
import type {
  LocalReplyConfigJson,
  ResponseMapperJson,
} from "@weft/xds/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager";
import { member, refuseOthers, required, unsigned } from "../compile/fields.ts";
import type { CompileTools } from "../compile/tools.ts";
import { compileLogFilter, type LogFilter } from "../observe/access-log-filter.ts";
import type { FormatSource } from "../observe/format-operators.ts";
import { compileLogFormat } from "../observe/log-format.ts";
import { createTextOut } from "../observe/text-out.ts";
import { compileHeaderEdits, type EditHeaders, noEdit } from "../routing/header-edits.ts";
import type { Exchange } from "./exchange.ts";

/** What becomes of an answer. */
export interface RewrittenReply {
  readonly status: number;
  readonly body: string | Uint8Array;
  readonly contentType: string;
}

/** Rewrites an answer whose status stands in `exchange.response` already; its headers are edited in place. */
export type RewriteReply = (exchange: Exchange, body: string | Uint8Array) => RewrittenReply;

interface Format {
  readonly contentType: string;
  readonly fill: (source: FormatSource) => string;
}

interface Mapper {
  readonly takes: LogFilter;
  readonly status: number | undefined;
  readonly body: string | Uint8Array | undefined;
  readonly format: Format | undefined;
  readonly edit: EditHeaders;
}

const plain = "text/plain";

/** Compiles it; `undefined` where nothing is rewritten. */
export const compileLocalReplies = (
  json: LocalReplyConfigJson | undefined,
  at: string,
  tools: CompileTools,
): RewriteReply | undefined => {
  if (!json) return undefined;
  refuseOthers(json, "LocalReplyConfig", at, ["mappers", "bodyFormat"]);
  const mappers = (json.mappers ?? []).map((each, index) => compileMapper(each, `${at}.mappers[${index}]`, tools));
  const format = json.bodyFormat && compileFormat(json.bodyFormat, member(at, "bodyFormat"));
  if (mappers.length === 0 && format === undefined) return undefined;
  const { clock } = tools;
  return (exchange, given) => {
    const { request, response, downstream } = exchange;
    const nowWallMs = clock.wallMs();
    const startWallMs = nowWallMs - (clock.nowMs() - exchange.startMs);
    const source: FormatSource = { request, response, downstream, outcome: exchange, startWallMs, nowWallMs };
    const mapper = mappers.find(({ takes }) => takes(source));
    const body = mapper?.body ?? given;
    if (mapper?.status !== undefined) response.status = mapper.status;
    mapper?.edit(response.headers, downstream, request, exchange);
    const chosen = mapper?.format ?? format;
    if (chosen === undefined) return { status: response.status, body, contentType: plain };
    source.localReplyBody = typeof body === "string" ? body : Buffer.from(body).toString();
    return { status: response.status, body: chosen.fill(source), contentType: chosen.contentType };
  };
};

const compileFormat = (json: SubstitutionFormatStringJson, at: string): Format => {
  const put = compileLogFormat(json, at);
  return {
    contentType: json.contentType || (json.jsonFormat ? "application/json" : plain),
    fill: (source) => {
      const out = createTextOut();
      put(source, out);
      return out.take();
    },
  };
};

const compileMapper = (json: ResponseMapperJson, at: string, tools: CompileTools): Mapper => {
  refuseOthers(json, "ResponseMapper", at, ["filter", "statusCode", "body", "bodyFormatOverride", "headersToAdd"]);
  const status = unsigned(json.statusCode, member(at, "statusCode"));
  if (status !== undefined && (status < 200 || status > 599))
    throw new ConfigError(member(at, "statusCode"), "must be from 200 to 599");
  return {
    takes: compileLogFilter(required(json.filter, member(at, "filter")), member(at, "filter"), tools),
    status,
    body: json.body && compileBody(json.body, member(at, "body")),
    format: json.bodyFormatOverride && compileFormat(json.bodyFormatOverride, member(at, "bodyFormatOverride")),
    edit: json.headersToAdd?.length
      ? compileHeaderEdits({
          add: json.headersToAdd,
          remove: undefined,
          direction: "response",
          clock: tools.clock,
          at: member(at, "headersToAdd"),
        })
      : noEdit,
  };
};

/** More of a body than this is refused, as in Envoy. */
const bodyBytesMax = 4096;

const compileBody = (json: DataSourceJson, at: string): string | Uint8Array => {
  refuseOthers(json, "DataSource", at, ["inlineString", "inlineBytes"]);
  const body = json.inlineString ?? Buffer.from(required(json.inlineBytes, at), "base64");
  if (Buffer.byteLength(body) > bodyBytesMax) throw new ConfigError(at, `is larger than ${bodyBytesMax} bytes`);
  return body;
};
