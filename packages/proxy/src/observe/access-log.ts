/** Access logs: formats are compiled once, lines go to a sink that the engine gives. */
import { ConfigError } from "@weft/core/config-error";
import type { AccessLogJson } from "@weft/xds/gen/envoy/config/accesslog/v3/accesslog";
import type { SubstitutionFormatStringJson } from "@weft/xds/gen/envoy/config/core/v3/substitution_format_string";
import type { FileAccessLogJson } from "@weft/xds/gen/envoy/extensions/access_loggers/file/v3/file";
import { openAny } from "../compile/any.ts";
import { member, refuseOthers, required, within } from "../compile/fields.ts";
import type { CompileTools } from "../compile/tools.ts";
import type { DownstreamInfo, Exchange } from "../http/exchange.ts";
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

interface JsonOptions {
  /** Keep numbers as numbers; the older `json_format` of file logs writes strings. */
  readonly typed: boolean;
  readonly omitEmpty: boolean;
}

/** Nothing of it can be read as anything but itself within quotation marks. */
const plain = /^[\x20-\x21\x23-\x5b\x5d-\x7e]*$/;
const upperControls = /[\x7f-\x9f]/g;
const escapeControl = (char: string): string => `\\u00${char.charCodeAt(0).toString(16)}`;
const quoted = (text: string): string =>
  plain.test(text) ? `"${text}"` : JSON.stringify(text).replace(upperControls, escapeControl);

/** A value as JSON text. */
const jsonText = (value: string | number | undefined): string => {
  if (typeof value === "string") return quoted(value);
  return value === undefined ? "null" : String(value);
};

/** Compiles a value to what writes its JSON text; `null` is for what has no value. */
const compileJsonValue = (json: unknown, at: string, options: JsonOptions): Line => {
  if (typeof json === "string") {
    const value = options.typed ? compileTypedFormat(json, at) : compileFormat(json, { missing: "-" }, at);
    return (source) => jsonText(value(source));
  }
  if (Array.isArray(json)) {
    const items = json.map((item, index) => compileJsonValue(item, `${at}[${index}]`, options));
    return (source) => `[${items.map((item) => item(source)).join(",")}]`;
  }
  if (typeof json !== "object" || json === null) {
    const text = JSON.stringify(json);
    return () => text;
  }
  const members = Object.entries(json).map(
    ([key, value]) =>
      ({ key: `${JSON.stringify(key)}:`, value: compileJsonValue(value, `${at}.${key}`, options) }) as const,
  );
  const { omitEmpty } = options;
  return (source) => {
    let out = "{";
    for (const { key, value } of members) {
      const text = value(source);
      if (omitEmpty && text === "null") continue;
      out += out.length === 1 ? key + text : `,${key}${text}`;
    }
    return `${out}}`;
  };
};

const compileJson = (json: unknown, at: string, options: JsonOptions): Line => {
  const value = compileJsonValue(json, at, options);
  return (source) => `${value(source)}\n`;
};

const compileText = (format: string, at: string, omitEmpty: boolean): Line =>
  compileFormat(format, { missing: omitEmpty ? "" : "-", escaped: true }, at);

/** A format as text or as JSON with a line's end. */
export const compileLogFormat = (json: SubstitutionFormatStringJson, at: string): Line => {
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
