/** What a check does at a host, and what it takes for good. */
import { ConfigError } from "@weft/core/config-error";
import type { Clock } from "@weft/core/world";
import type {
  HealthCheck_GrpcHealthCheckJson,
  HealthCheck_HttpHealthCheckJson,
  HealthCheck_PayloadJson,
  HealthCheck_TcpHealthCheckJson,
  HealthCheckJson,
} from "@weft/xds/gen/envoy/config/core/v3/health_check";
import type { Int64RangeJson } from "@weft/xds/gen/envoy/type/v3/range";
import { member, oneOf, refuseOthers, required, unsigned } from "../compile/fields.ts";
import { compileStringMatcher } from "../matching/string-matcher.ts";
import { compileHeaderEdits, type EditHeaders } from "../routing/header-edits.ts";

export type ProbeSettings = HttpProbeSettings | GrpcProbeSettings | TcpProbeSettings;

export interface HttpProbeSettings {
  readonly kind: "http";
  readonly version: "http1" | "http2";
  readonly method: string;
  /** Empty: the cluster's name. */
  readonly authority: string;
  readonly path: string;
  readonly edit: EditHeaders;
  readonly body: Buffer;
  readonly expects: (status: number) => boolean;
  /** These do not make a host unhealthy at once. */
  readonly retriable: (status: number) => boolean;
  /** What the server must call itself (`x-envoy-upstream-healthchecked-cluster`). */
  readonly service: ((name: string) => boolean) | undefined;
  /** What must be in the body, in that order. */
  readonly receive: readonly Buffer[];
  readonly bodyBytesMax: number;
}

export interface GrpcProbeSettings {
  readonly kind: "grpc";
  readonly service: string;
  readonly authority: string;
  readonly edit: EditHeaders;
}

export interface TcpProbeSettings {
  readonly kind: "tcp";
  readonly send: Buffer | undefined;
  readonly receive: readonly Buffer[];
}

const defaultBodyBytes = 1024;
/** Bytes that a TCP check keeps to look for what it expects. */
export const tcpBytesMax = 64 * 1024;

/** Text is in hexadecimal digits. */
const payload = (json: HealthCheck_PayloadJson, at: string): Buffer => {
  if (json.binary !== undefined) return Buffer.from(json.binary, "base64");
  const text = required(json.text, member(at, "text"));
  if (!/^([0-9a-fA-F]{2})+$/.test(text)) throw new ConfigError(member(at, "text"), `"${text}" is not hexadecimal`);
  return Buffer.from(text, "hex");
};

const payloads = (list: readonly HealthCheck_PayloadJson[] | undefined, at: string): readonly Buffer[] =>
  (list ?? []).map((json, index) => payload(json, `${at}[${index}]`));

/** Whether the parts are in the bytes one after the other, with anything between them. */
export const containsInOrder = (bytes: Buffer, parts: readonly Buffer[]): boolean => {
  let from = 0;
  for (const part of parts) {
    const at = bytes.indexOf(part, from);
    if (at < 0) return false;
    from = at + part.length;
  }
  return true;
};

const ranges = (list: readonly Int64RangeJson[] | undefined, at: string): readonly (readonly [number, number])[] =>
  (list ?? []).map(({ start, end }, index) => {
    const from = unsigned(start, `${at}[${index}].start`) ?? 0;
    const to = unsigned(end, `${at}[${index}].end`) ?? 0;
    if (from < 100 || to > 600 || from >= to) {
      throw new ConfigError(`${at}[${index}]`, `${from} to ${to} is not a range of statuses from 100 to 600`);
    }
    return [from, to];
  });

const within = (list: readonly (readonly [number, number])[]) => (status: number) =>
  list.some(([from, to]) => status >= from && status < to);

const methods = ["METHOD_UNSPECIFIED", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"] as const;
const bodiless: ReadonlySet<string> = new Set(["GET", "HEAD", "DELETE", "TRACE"]);

const compileHttp = (json: HealthCheck_HttpHealthCheckJson, at: string, clock: Clock): HttpProbeSettings => {
  refuseOthers(json, "HttpHealthCheck", at, [
    "host",
    "path",
    "send",
    "receive",
    "responseBufferSize",
    "requestHeadersToAdd",
    "requestHeadersToRemove",
    "expectedStatuses",
    "retriableStatuses",
    "codecClientType",
    "serviceNameMatcher",
    "method",
  ]);
  const path = required(json.path, member(at, "path"));
  if (/[\s\0]/.test(path)) throw new ConfigError(member(at, "path"), "is not a path");
  const word = oneOf(json.method, methods, "GET", member(at, "method"));
  const method = word === "METHOD_UNSPECIFIED" ? "GET" : word;
  const body = json.send ? payload(json.send, member(at, "send")) : Buffer.alloc(0);
  if (body.length > 0 && bodiless.has(method)) throw new ConfigError(member(at, "send"), `does not go with ${method}`);
  const expected = ranges(json.expectedStatuses, member(at, "expectedStatuses"));
  const codec = oneOf(json.codecClientType, ["HTTP1", "HTTP2"], "HTTP1", member(at, "codecClientType"));
  const receive = payloads(json.receive, member(at, "receive"));
  const size = unsigned(json.responseBufferSize, member(at, "responseBufferSize")) ?? defaultBodyBytes;
  const total = receive.reduce((sum, { length }) => sum + length, 0);
  if (size !== 0 && total > size) throw new ConfigError(member(at, "receive"), `is longer than ${size} bytes`);
  const name = json.serviceNameMatcher;
  return {
    kind: "http",
    version: codec === "HTTP2" ? "http2" : "http1",
    method,
    authority: json.host ?? "",
    path,
    edit: compileHeaderEdits({
      add: json.requestHeadersToAdd,
      remove: json.requestHeadersToRemove,
      direction: "request",
      clock,
      at,
    }),
    body,
    expects: within(expected.length === 0 ? [[200, 201]] : expected),
    retriable: within(ranges(json.retriableStatuses, member(at, "retriableStatuses"))),
    service: name && compileStringMatcher(name, member(at, "serviceNameMatcher")),
    receive,
    bodyBytesMax: size === 0 ? tcpBytesMax : Math.min(size, tcpBytesMax),
  };
};

const compileGrpc = (json: HealthCheck_GrpcHealthCheckJson, at: string, clock: Clock): GrpcProbeSettings => {
  refuseOthers(json, "GrpcHealthCheck", at, ["serviceName", "authority", "initialMetadata"]);
  return {
    kind: "grpc",
    service: json.serviceName ?? "",
    authority: json.authority ?? "",
    edit: compileHeaderEdits({ add: json.initialMetadata, remove: undefined, direction: "request", clock, at }),
  };
};

const compileTcp = (json: HealthCheck_TcpHealthCheckJson, at: string): TcpProbeSettings => {
  refuseOthers(json, "TcpHealthCheck", at, ["send", "receive"]);
  return {
    kind: "tcp",
    send: json.send && payload(json.send, member(at, "send")),
    receive: payloads(json.receive, member(at, "receive")),
  };
};

export const compileProbe = (json: HealthCheckJson, at: string, clock: Clock): ProbeSettings => {
  if (json.httpHealthCheck) return compileHttp(json.httpHealthCheck, member(at, "httpHealthCheck"), clock);
  if (json.grpcHealthCheck) return compileGrpc(json.grpcHealthCheck, member(at, "grpcHealthCheck"), clock);
  if (json.tcpHealthCheck) return compileTcp(json.tcpHealthCheck, member(at, "tcpHealthCheck"));
  throw new ConfigError(at, "needs httpHealthCheck, grpcHealthCheck or tcpHealthCheck");
};
