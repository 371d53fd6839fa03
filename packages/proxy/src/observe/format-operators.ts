/** One entry per command operator of Envoy's format strings. Where one more operator goes: the table at the end. */
import { formatAddress } from "@weft/core/address";
import { ConfigError } from "@weft/core/config-error";
import { grpcStatusOfHttp } from "@weft/protocols/grpc/status";
import type { RequestHead, ResponseHead } from "@weft/protocols/http/head";
import type { Cluster } from "../clusters/cluster.ts";
import type { Host } from "../clusters/host.ts";
import type { DownstreamInfo } from "../http/exchange.ts";
import { reasonText } from "../http/reasons.ts";
import type { RequestState } from "../http/request-state.ts";
import { isGrpcRequest } from "../matching/grpc.ts";
import { headerReader } from "../matching/header-matcher.ts";
import { pathOnly, queryParameter } from "../matching/query-matcher.ts";
import type { Route } from "../routing/route.ts";
import { compileTimeFormat } from "./format-time.ts";
import { grpcStatusName } from "./grpc-status.ts";
import { longFlags } from "./response-flags.ts";

/** What can be known when a format is filled in. Members are absent when the moment or the protocol lacks them. */
export interface FormatSource {
  request: RequestHead | undefined;
  response: ResponseHead | undefined;
  downstream: DownstreamInfo;
  outcome: OutcomeSource | undefined;
  /** Wall clock of the start and of now, milliseconds since 1970. */
  startWallMs: number;
  nowWallMs: number;
  /** The body of an answer of the proxy's own, while it is rewritten. */
  localReplyBody?: string;
}

/** The members that an HTTP exchange and a TCP exchange have in common, and those only HTTP has. */
export interface OutcomeSource {
  readonly cluster: Cluster | undefined;
  readonly host: Host | undefined;
  readonly flags: string;
  readonly details: string;
  readonly behind?: string | undefined;
  readonly attempts: number;
  readonly requestBodyBytes: number;
  readonly responseBodyBytes: number;
  readonly upstreamFailure: string;
  readonly route?: Route | undefined;
  readonly protocol?: string;
  readonly grpcStatus?: number;
  readonly upstreamMs?: number;
  readonly upstreamLocalAddress?: string | undefined;
  readonly upstreamTls?: { readonly localUri: string; readonly peerUri: string } | undefined;
  readonly remoteHost?: string | undefined;
  readonly state?: RequestState | undefined;
}

/** Runs per line; `undefined` when there is no value. */
export type Operator = (source: FormatSource) => string | number | undefined;

export interface OperatorCall {
  readonly name: string;
  readonly argument: string | undefined;
  readonly length: string | undefined;
}

type Make = (argument: string, at: string) => Operator;

const atLeastZero = (value: number | undefined): number | undefined =>
  value === undefined || value < 0 ? undefined : value;
const text = (value: string | undefined): string | undefined => (value === "" ? undefined : value);

/** `X?Y`: the first of the two headers that is there. */
const requestHeader: Make = (argument) => {
  const [first = "", second] = argument.toLowerCase().split("?");
  const read = headerReader(first);
  const other = second === undefined ? undefined : headerReader(second);
  return ({ request }) => (request ? (read(request) ?? other?.(request)) : undefined);
};

const responseHeader: Make = (argument) => {
  const [first = "", second] = argument.toLowerCase().split("?");
  const read = (response: ResponseHead, name: string) =>
    name === ":status" ? String(response.status) : response.headers.getJoined(name);
  return ({ response }) =>
    response ? (read(response, first) ?? (second === undefined ? undefined : read(response, second))) : undefined;
};

const withoutQuery: Make = (argument, at) => {
  const read = requestHeader(argument, at);
  return (source) => {
    const value = read(source);
    return typeof value === "string" ? pathOnly(value) : value;
  };
};

const clientHost = ({ outcome, downstream }: FormatSource): string => outcome?.remoteHost ?? downstream.remoteHost;

const remoteAddress: Operator = (source) =>
  formatAddress({ host: clientHost(source), port: source.downstream.remotePort });
const directHost = ({ proxied, remoteHost }: DownstreamInfo): string => proxied?.directHost ?? remoteHost;
const localAddress: Operator = ({ downstream }) =>
  formatAddress({ host: downstream.localHost, port: downstream.localPort });

const startTime: Make = (argument, at) => {
  const format = compileTimeFormat(argument, at);
  return ({ startWallMs }) => format(startWallMs);
};

/** The body of an answer of the proxy's own. */
export const localReplyBody: Operator = ({ localReplyBody: body }) => body;

/** What was said, or to a gRPC call what its HTTP status means. */
const grpcStatusOf = ({ outcome, request, response }: FormatSource): number | undefined => {
  const said = atLeastZero(outcome?.grpcStatus);
  if (said !== undefined || !request || !response?.status || !isGrpcRequest(request)) return said;
  return grpcStatusOfHttp(response.status);
};

const grpcStatus: Make = (argument, at) => {
  const forms = ["", "CAMEL_STRING", "SNAKE_STRING", "NUMBER"];
  if (!forms.includes(argument)) throw new ConfigError(at, `GRPC_STATUS(${argument}) is not supported`);
  return (source) => {
    const status = grpcStatusOf(source);
    if (status === undefined || argument === "NUMBER") return status;
    return grpcStatusName(status, argument === "SNAKE_STRING");
  };
};

type MetadataOf = (source: FormatSource) => Readonly<Record<string, Readonly<Record<string, unknown>>>> | undefined;

const metadata =
  (of: MetadataOf): Make =>
  (argument) => {
    const [namespace = "", ...path] = argument.split(":");
    return (source) => {
      let value: unknown = of(source)?.[namespace];
      for (const key of path) value = (value as Readonly<Record<string, unknown>> | undefined)?.[key];
      if (value === undefined || value === null) return undefined;
      return typeof value === "string" || typeof value === "number" ? value : JSON.stringify(value);
    };
  };

const clusterMetadata = metadata(({ outcome }) => outcome?.cluster?.metadata);
const hostMetadata = metadata(({ outcome }) => outcome?.host?.metadata);
const routeMetadata = metadata(({ outcome }) => outcome?.route?.metadata);
const dynamicMetadata = metadata(({ outcome, downstream }) => outcome?.state?.metadata ?? downstream.proxied?.metadata);

/** `KEY`, or `KEY:PLAIN` for the bare text; other filter state than text is not kept. */
const filterState: Make = (argument) => {
  const [key = "", form] = argument.split(":");
  return ({ outcome }) => {
    const value = outcome?.state?.filterState.get(key);
    return value === undefined || form === "PLAIN" ? value : JSON.stringify(value);
  };
};

const anyMetadata: Make = (argument, at) => {
  const [kind = "", ...rest] = argument.split(":");
  const make = new Map([
    ["CLUSTER", clusterMetadata],
    ["UPSTREAM_HOST", hostMetadata],
    ["ROUTE", routeMetadata],
    ["DYNAMIC", dynamicMetadata],
  ]).get(kind);
  if (!make) throw new ConfigError(at, `METADATA(${argument}) is not supported`);
  return make(rest.join(":"), at);
};

const plain =
  (operator: Operator): Make =>
  (argument, at) => {
    if (argument !== "") throw new ConfigError(at, `the operator takes no argument, got "${argument}"`);
    return operator;
  };

const operators: ReadonlyMap<string, Make> = new Map<string, Make>([
  ["REQ", requestHeader],
  ["RESP", responseHeader],
  ["REQ_WITHOUT_QUERY", withoutQuery],
  [
    "QUERY_PARAM",
    (name) =>
      ({ request }) =>
        request ? queryParameter(request.path, name) : undefined,
  ],
  ["START_TIME", startTime],
  [
    "EMIT_TIME",
    (argument, at) => {
      const format = compileTimeFormat(argument, at);
      return ({ nowWallMs }) => format(nowWallMs);
    },
  ],
  ["DURATION", plain(({ nowWallMs, startWallMs }) => Math.max(0, Math.round(nowWallMs - startWallMs)))],
  ["RESPONSE_DURATION", plain(({ outcome }) => atLeastZero(outcome?.upstreamMs))],
  ["BYTES_RECEIVED", plain(({ outcome }) => outcome?.requestBodyBytes)],
  ["BYTES_SENT", plain(({ outcome }) => outcome?.responseBodyBytes)],
  ["PROTOCOL", plain(({ outcome }) => outcome?.protocol)],
  ["RESPONSE_CODE", plain(({ response }) => response?.status ?? 0)],
  ["RESPONSE_FLAGS", plain(({ outcome }) => text(outcome?.flags))],
  ["RESPONSE_FLAGS_LONG", plain(({ outcome }) => (outcome?.flags ? longFlags(outcome.flags) : undefined))],
  ["LOCAL_REPLY_BODY", plain(localReplyBody)],
  ["RESPONSE_CODE_DETAILS", plain(({ outcome, request }) => (request ? text(outcome?.details) : undefined))],
  ["WEFT_REASON", plain(({ outcome, request }) => (request && outcome ? reasonText(outcome) : undefined))],
  ["CONNECTION_TERMINATION_DETAILS", plain(({ outcome, request }) => (request ? undefined : text(outcome?.details)))],
  ["UPSTREAM_TRANSPORT_FAILURE_REASON", plain(({ outcome }) => text(outcome?.upstreamFailure))],
  ["UPSTREAM_HOST", plain(({ outcome }) => outcome?.host?.address)],
  ["UPSTREAM_REMOTE_ADDRESS", plain(({ outcome }) => outcome?.host?.address)],
  ["UPSTREAM_CLUSTER", plain(({ outcome }) => outcome?.cluster?.statName)],
  ["UPSTREAM_CLUSTER_RAW", plain(({ outcome }) => outcome?.cluster?.name)],
  ["UPSTREAM_LOCAL_ADDRESS", plain(({ outcome }) => outcome?.upstreamLocalAddress)],
  ["UPSTREAM_PEER_URI_SAN", plain(({ outcome }) => text(outcome?.upstreamTls?.peerUri))],
  ["UPSTREAM_LOCAL_URI_SAN", plain(({ outcome }) => text(outcome?.upstreamTls?.localUri))],
  ["UPSTREAM_REQUEST_ATTEMPT_COUNT", plain(({ outcome }) => outcome?.attempts)],
  ["GRPC_STATUS", grpcStatus],
  ["GRPC_STATUS_NUMBER", plain(grpcStatusOf)],
  ["DOWNSTREAM_REMOTE_ADDRESS", plain(remoteAddress)],
  ["DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", plain(clientHost)],
  ["DOWNSTREAM_REMOTE_PORT", plain(({ downstream }) => downstream.remotePort)],
  [
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS",
    plain(({ downstream }) =>
      formatAddress({ host: directHost(downstream), port: downstream.proxied?.directPort ?? downstream.remotePort }),
    ),
  ],
  ["DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT", plain(({ downstream }) => directHost(downstream))],
  ["DOWNSTREAM_LOCAL_ADDRESS", plain(localAddress)],
  ["DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT", plain(({ downstream }) => downstream.localHost)],
  ["DOWNSTREAM_LOCAL_PORT", plain(({ downstream }) => downstream.localPort)],
  ["DOWNSTREAM_PEER_URI_SAN", plain(({ downstream }) => text(downstream.tls?.peerUris.join(",")))],
  ["DOWNSTREAM_LOCAL_URI_SAN", plain(({ downstream }) => text(downstream.tls?.localUris.join(",")))],
  ["DOWNSTREAM_PEER_SUBJECT", plain(({ downstream }) => text(downstream.tls?.peerSubject))],
  ["DOWNSTREAM_PEER_FINGERPRINT_256", plain(({ downstream }) => text(downstream.tls?.peerFingerprint))],
  ["DOWNSTREAM_TLS_VERSION", plain(({ downstream }) => text(downstream.tls?.version))],
  ["REQUESTED_SERVER_NAME", plain(({ downstream }) => text(downstream.tls?.sni ?? downstream.requestedServerName))],
  ["ROUTE_NAME", plain(({ outcome }) => text(outcome?.route?.name))],
  ["FILTER_CHAIN_NAME", plain(({ downstream }) => text(downstream.filterChainName))],
  ["METADATA", anyMetadata],
  ["CLUSTER_METADATA", clusterMetadata],
  ["UPSTREAM_METADATA", hostMetadata],
  ["DYNAMIC_METADATA", dynamicMetadata],
  ["FILTER_STATE", filterState],
]);

/** Compiles one operator; `:N` cuts the value to N characters. Throws ConfigError for one that does not exist here. */
export const compileOperator = ({ name, argument, length }: OperatorCall, at: string): Operator => {
  const make = operators.get(name);
  if (!make) throw new ConfigError(at, `format operator %${name}% is not supported`);
  const operator = make(argument ?? "", at);
  if (length === undefined) return operator;
  const most = Number(length);
  return (source) => {
    const value = operator(source);
    return value === undefined ? undefined : String(value).slice(0, most);
  };
};
