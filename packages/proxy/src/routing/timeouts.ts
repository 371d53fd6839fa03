/** How long a request may take: the route's timeout, or what the client asks for where the route lets it. */
import type { RequestHead } from "@weft/protocols/http/head";
import type { RouteActionJson } from "@weft/xds/gen/envoy/config/route/v3/route_components";
import { durationMs, member, refuseOthers } from "../compile/fields.ts";
import { isGrpcRequest } from "../matching/grpc.ts";
import { hasControlHeaders, unsignedHeader } from "./control-headers.ts";

/** Envoy's route timeout when none is given. */
export const defaultTimeoutMs = 15_000;

const grpcUnits: ReadonlyMap<string, number> = new Map([
  ["H", 3_600_000],
  ["M", 60_000],
  ["S", 1000],
  ["m", 1],
  ["u", 1e-3],
  ["n", 1e-6],
]);

/** The `grpc-timeout` header: up to eight digits and a unit. `undefined` when it is not one. */
export const parseGrpcTimeout = (value: string): number | undefined => {
  const match = /^(\d{1,8})([HMSmun])$/.exec(value);
  const unit = grpcUnits.get(match?.[2] ?? "");
  return match && unit !== undefined ? Math.ceil(Number(match[1]) * unit) : undefined;
};

interface Timeouts {
  readonly timeoutMs: number;
  readonly idleTimeoutMs: number | undefined;
  /** How long the stream may last in all; absent where the route says nothing of it. */
  readonly durationFor: ((request: RequestHead) => number | undefined) | undefined;
  readonly timeoutFor: (request: RequestHead) => number;
  readonly tellsGrpcTimeout: boolean;
}

/** A gRPC deadline, shortened by the offset and capped; a cap of 0 is none, and so is a deadline of 0. */
const grpcDeadline = (asked: number, capMs: number, offsetMs: number): number => {
  const wanted = asked > offsetMs ? asked - offsetMs : asked;
  return capMs !== 0 && (wanted === 0 || wanted > capMs) ? capMs : wanted;
};

/** The client's own deadline, where the route heeds it, before the route's bound. */
const compileDuration = (
  json: NonNullable<RouteActionJson["maxStreamDuration"]>,
  at: string,
): Timeouts["durationFor"] => {
  const mostMs = durationMs(json.maxStreamDuration, member(at, "maxStreamDuration"));
  const capMs = durationMs(json.grpcTimeoutHeaderMax, member(at, "grpcTimeoutHeaderMax"));
  const offsetMs = durationMs(json.grpcTimeoutHeaderOffset, member(at, "grpcTimeoutHeaderOffset")) ?? 0;
  return (request) => {
    if (capMs === undefined || !isGrpcRequest(request)) return mostMs;
    const header = request.headers.get("grpc-timeout");
    const asked = header === undefined ? undefined : parseGrpcTimeout(header);
    return asked === undefined ? mostMs : grpcDeadline(asked, capMs, offsetMs);
  };
};

export const compileTimeouts = (json: RouteActionJson, at: string): Timeouts => {
  const timeoutMs = durationMs(json.timeout, member(at, "timeout")) ?? defaultTimeoutMs;
  const stream = json.maxStreamDuration;
  const streamAt = member(at, "maxStreamDuration");
  if (stream) {
    refuseOthers(stream, "MaxStreamDuration", streamAt, [
      "maxStreamDuration",
      "grpcTimeoutHeaderMax",
      "grpcTimeoutHeaderOffset",
    ]);
  }
  const grpcCapMs = durationMs(json.maxGrpcTimeout, member(at, "maxGrpcTimeout"));
  const grpcOffsetMs = durationMs(json.grpcTimeoutOffset, member(at, "grpcTimeoutOffset")) ?? 0;
  return {
    timeoutMs,
    idleTimeoutMs: durationMs(json.idleTimeout, member(at, "idleTimeout")),
    durationFor: stream && compileDuration(stream, streamAt),
    tellsGrpcTimeout: grpcCapMs !== undefined,
    timeoutFor: (request) => {
      const base =
        grpcCapMs !== undefined && isGrpcRequest(request)
          ? grpcDeadline(parseGrpcTimeout(request.headers.get("grpc-timeout") ?? "") ?? 0, grpcCapMs, grpcOffsetMs)
          : timeoutMs;
      if (!hasControlHeaders(request.headers)) return base;
      return unsignedHeader(request.headers, "x-envoy-upstream-rq-timeout-ms") ?? base;
    },
  };
};
