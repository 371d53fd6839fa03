/** Access logs: formats are compiled once, lines go to a sink that the engine gives. */
import { ConfigError } from "@weft/core/config-error";
import type { AccessLogJson } from "@weft/xds/gen/envoy/config/accesslog/v3/accesslog";
import type { SubstitutionFormatStringJson } from "@weft/xds/gen/envoy/config/core/v3/substitution_format_string";
import type { FileAccessLogJson } from "@weft/xds/gen/envoy/extensions/access_loggers/file/v3/file";
import { openAny } from "../compile/any.ts";
import { member, refuseOthers, required, within } from "../compile/fields.ts";
import type { CompileTools } from "../compile/tools.ts";
import type { Exchange } from "../http/exchange.ts";
import { compileLogFilter } from "./access-log-filter.ts";
import { compileFormat, compileTypedFormat } from "./format.ts";
import type { FormatSource } from "./format-operators.ts";
import type { TcpExchange } from "./tcp-exchange.ts";

/** `/dev/stdout`, `/dev/stderr` or a file's path. */
export type LogSink = (path: string, line: string) => void;

export interface AccessLogTools extends CompileTools {
  readonly sink: LogSink;
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

type Line = (source: FormatSource) => string;
type Value = (source: FormatSource) => unknown;

interface JsonOptions {
  /** Keep numbers as numbers; the older `json_format` of file logs writes strings. */
  readonly typed: boolean;
  readonly omitEmpty: boolean;
}

const compileJsonValue = (json: unknown, at: string, options: JsonOptions): Value => {
  if (typeof json === "string") {
    if (options.typed) return compileTypedFormat(json, at);
    return compileFormat(json, { missing: "-" }, at);
  }
  if (Array.isArray(json)) {
    const items = json.map((item, index) => compileJsonValue(item, `${at}[${index}]`, options));
    return (source) => items.map((item) => item(source) ?? null);
  }
  if (typeof json !== "object" || json === null) return () => json;
  const members = Object.entries(json).map(
    ([key, value]) => [key, compileJsonValue(value, `${at}.${key}`, options)] as const,
  );
  return (source) => {
    const pairs = members.map(([key, value]) => [key, value(source) ?? null] as const);
    return Object.fromEntries(options.omitEmpty ? pairs.filter(([, value]) => value !== null) : pairs);
  };
};

const compileJson = (json: unknown, at: string, options: JsonOptions): Line => {
  const value = compileJsonValue(json, at, options);
  return (source) => `${JSON.stringify(value(source))}\n`;
};

const compileText = (format: string, at: string, omitEmpty: boolean): Line =>
  compileFormat(format, { missing: omitEmpty ? "" : "-" }, at);

const compileLogFormat = (json: SubstitutionFormatStringJson, at: string): Line => {
  refuseOthers(json, "SubstitutionFormatString", at, [
    "textFormat",
    "jsonFormat",
    "textFormatSource",
    "omitEmptyValues",
  ]);
  const omitEmpty = json.omitEmptyValues === true;
  if (json.jsonFormat) return compileJson(json.jsonFormat, member(at, "jsonFormat"), { typed: true, omitEmpty });
  if (json.textFormat !== undefined) return compileText(json.textFormat, member(at, "textFormat"), omitEmpty);
  const source = json.textFormatSource;
  const sourceAt = member(at, "textFormatSource");
  if (source) refuseOthers(source, "DataSource", sourceAt, ["inlineString"]);
  return compileText(required(source?.inlineString, sourceAt), sourceAt, omitEmpty);
};

const compileFile = (json: FileAccessLogJson): Line => {
  refuseOthers(json, "FileAccessLog", "", ["path", "format", "jsonFormat", "typedJsonFormat", "logFormat"]);
  if (json.logFormat) return compileLogFormat(json.logFormat, "logFormat");
  if (json.typedJsonFormat)
    return compileJson(json.typedJsonFormat, "typedJsonFormat", { typed: true, omitEmpty: false });
  if (json.jsonFormat) return compileJson(json.jsonFormat, "jsonFormat", { typed: false, omitEmpty: false });
  return compileText(json.format || defaultFormat, "format", false);
};

const prefix = "envoy.extensions.access_loggers.";

/** Where a logger writes and what. */
const compileLogger = (typeName: string, raw: Readonly<Record<string, unknown>>): { path: string; line: Line } => {
  if (typeName === `${prefix}file.v3.FileAccessLog`) {
    const json = raw as FileAccessLogJson;
    return { path: required(json.path, "path"), line: compileFile(json) };
  }
  const streams = new Map([
    [`${prefix}stream.v3.StdoutAccessLog`, "/dev/stdout"],
    [`${prefix}stream.v3.StderrAccessLog`, "/dev/stderr"],
  ]);
  const path = streams.get(typeName);
  if (path === undefined) throw new ConfigError("", `the access logger ${typeName} is not supported`);
  refuseOthers(raw, "StreamAccessLog", "", ["logFormat"]);
  const format = raw.logFormat as SubstitutionFormatStringJson | undefined;
  return { path, line: format ? compileLogFormat(format, "logFormat") : compileText(defaultFormat, "", false) };
};

type Write = (source: FormatSource) => void;

const compileOne = (json: AccessLogJson, at: string, tools: AccessLogTools): Write => {
  refuseOthers(json, "AccessLog", at, ["name", "filter", "typedConfig"]);
  const here = member(at, "typedConfig");
  const { typeName, raw } = openAny(json.typedConfig, here);
  const { path, line } = within(here, () => compileLogger(typeName, raw));
  const filter = json.filter && compileLogFilter(json.filter, member(at, "filter"), tools);
  const { sink } = tools;
  return (source) => {
    if (!filter || filter(source)) sink(path, line(source));
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
  const write = (source: FormatSource): void => {
    for (const one of writes) one(source);
  };
  const times = (startMs: number) => {
    const nowWallMs = clock.wallMs();
    return { startWallMs: nowWallMs - (clock.nowMs() - startMs), nowWallMs };
  };
  return {
    http: (exchange) => {
      const { request, response, downstream } = exchange;
      write({ request, response, downstream, outcome: exchange, ...times(exchange.startMs) });
    },
    tcp: (tcp) => {
      const { downstream } = tcp;
      write({ request: undefined, response: undefined, downstream, outcome: tcp, ...times(tcp.startMs) });
    },
  };
};
