/** Access logs: formats are compiled once, lines go to a sink that the engine gives. */
import { ConfigError } from "@weft/core/config-error";
import type { LineOut } from "@weft/core/line-out";
import type { AccessLogJson } from "@weft/xds/gen/envoy/config/accesslog/v3/accesslog";
import type { SubstitutionFormatStringJson } from "@weft/xds/gen/envoy/config/core/v3/substitution_format_string";
import type { FileAccessLogJson } from "@weft/xds/gen/envoy/extensions/access_loggers/file/v3/file";
import { openAny } from "../compile/any.ts";
import { member, refuseOthers, required, within } from "../compile/fields.ts";
import type { CompileTools } from "../compile/tools.ts";
import type { DownstreamInfo, Exchange } from "../http/exchange.ts";
import { compileLogFilter } from "./access-log-filter.ts";
import type { FormatSource } from "./format-operators.ts";
import { compileJsonLine, compileLogFormat, compileTextLine, type PutLine } from "./log-format.ts";
import type { TcpExchange } from "./tcp-exchange.ts";

/** Where the lines of `/dev/stdout`, `/dev/stderr` or a file's path go. */
export type OpenLog = (path: string) => LineOut;

export interface AccessLogTools extends CompileTools {
  readonly open: OpenLog;
}

/** Called when an exchange is over. */
export interface AccessLog {
  readonly http: (exchange: Exchange) => void;
  readonly tcp: (tcp: TcpExchange) => void;
}

/** Envoy's format where a configuration gives none. */
export const defaultFormat =
  '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" ' +
  "%RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION% " +
  '%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" ' +
  '"%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%"\n';

const compileFile = (json: FileAccessLogJson): PutLine => {
  refuseOthers(json, "FileAccessLog", "", ["path", "format", "jsonFormat", "typedJsonFormat", "logFormat"]);
  if (json.logFormat) return compileLogFormat(json.logFormat, "logFormat");
  if (json.typedJsonFormat)
    return compileJsonLine(json.typedJsonFormat, "typedJsonFormat", { typed: true, omitEmpty: false });
  if (json.jsonFormat) return compileJsonLine(json.jsonFormat, "jsonFormat", { typed: false, omitEmpty: false });
  return compileTextLine(json.format || defaultFormat, "format", false);
};

const prefix = "envoy.extensions.access_loggers.";

/** Where a logger writes and what. */
const compileLogger = (typeName: string, raw: Readonly<Record<string, unknown>>): { path: string; put: PutLine } => {
  if (typeName === `${prefix}file.v3.FileAccessLog`) {
    const json = raw as FileAccessLogJson;
    return { path: required(json.path, "path"), put: compileFile(json) };
  }
  const streams = new Map([
    [`${prefix}stream.v3.StdoutAccessLog`, "/dev/stdout"],
    [`${prefix}stream.v3.StderrAccessLog`, "/dev/stderr"],
  ]);
  const path = streams.get(typeName);
  if (path === undefined) throw new ConfigError("", `the access logger ${typeName} is not supported`);
  refuseOthers(raw, "StreamAccessLog", "", ["logFormat"]);
  const format = raw.logFormat as SubstitutionFormatStringJson | undefined;
  return { path, put: format ? compileLogFormat(format, "logFormat") : compileTextLine(defaultFormat, "", false) };
};

type Write = (source: FormatSource) => void;

const compileOne = (json: AccessLogJson, at: string, tools: AccessLogTools): Write => {
  refuseOthers(json, "AccessLog", at, ["name", "filter", "typedConfig"]);
  const here = member(at, "typedConfig");
  const { typeName, raw } = openAny(json.typedConfig, here);
  const { path, put } = within(here, () => compileLogger(typeName, raw));
  const filter = json.filter && compileLogFilter(json.filter, member(at, "filter"), tools);
  const out = tools.open(path);
  return (source) => {
    if ((filter && !filter(source)) || !out.begin()) return;
    put(source, out);
    out.end();
  };
};

/** Compiles a list of access logs; `undefined` when there are none, so that callers can skip the work. */
export const compileAccessLog = (
  list: readonly AccessLogJson[] | undefined,
  at: string,
  tools: AccessLogTools,
): AccessLog | undefined => {
  const writes = (list ?? []).map((json, index) => compileOne(json, `${at}[${index}]`, tools));
  if (writes.length === 0) return undefined;
  const { clock } = tools;
  // One for all lines: each is written before the next one begins.
  const source: FormatSource = {
    request: undefined,
    response: undefined,
    downstream: nowhere,
    outcome: undefined,
    startWallMs: 0,
    nowWallMs: 0,
  };
  const write = (downstream: DownstreamInfo, outcome: Exchange | TcpExchange): void => {
    source.downstream = downstream;
    source.outcome = outcome;
    source.nowWallMs = clock.wallMs();
    source.startWallMs = source.nowWallMs - (clock.nowMs() - outcome.startMs);
    for (const one of writes) one(source);
  };
  return {
    http: (exchange) => {
      source.request = exchange.request;
      source.response = exchange.response;
      write(exchange.downstream, exchange);
    },
    tcp: (tcp) => {
      source.request = undefined;
      source.response = undefined;
      write(tcp.downstream, tcp);
    },
  };
};

const nowhere = {} as DownstreamInfo;
