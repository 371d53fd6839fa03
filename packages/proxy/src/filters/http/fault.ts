/** Injects delays and errors, for a share of the requests that its conditions select. */
import { ConfigError } from "@weft/core/config-error";
import type { RequestHead } from "@weft/protocols/http/head";
import type { FaultAbortJson, HTTPFaultJson } from "@weft/xds/gen/envoy/extensions/filters/http/fault/v3/fault";
import { durationMs, member, refuseOthers, share, unsigned } from "../../compile/fields.ts";
import type { Exchange, LocalReply } from "../../http/exchange.ts";
import { compileHeaderMatchers } from "../../matching/header-matcher.ts";
import { withFlag } from "../../observe/response-flags.ts";
import { unsignedHeader } from "../../routing/control-headers.ts";
import { type FilterTools, type HttpFilterKind, wait } from "./filter.ts";

export const faultFilterName = "envoy.filters.http.fault";

type Draw = (share: number) => boolean;

interface Fault {
  /** 0 for no delay. */
  readonly delayMs: (request: RequestHead, draw: Draw) => number;
  readonly abort: (request: RequestHead, draw: Draw) => LocalReply | undefined;
  readonly applies: (exchange: Exchange) => boolean;
  readonly activeMax: number;
}

/** A header that asks for less than the configured share: `x-envoy-fault-…-percentage`, of a hundred. */
const shareFrom = (request: RequestHead, header: string, most: number): number => {
  const asked = unsignedHeader(request.headers, header);
  return asked === undefined ? most : Math.min(most, asked / 100);
};

const compileDelay = ({ delay }: HTTPFaultJson, at: string): Fault["delayMs"] => {
  if (!delay) return () => 0;
  refuseOthers(delay, "FaultDelay", at, ["fixedDelay", "headerDelay", "percentage"]);
  const part = share(delay.percentage, member(at, "percentage"));
  const fixedMs = durationMs(delay.fixedDelay, member(at, "fixedDelay"));
  if (fixedMs !== undefined) return (_, draw) => (draw(part) ? fixedMs : 0);
  if (!delay.headerDelay) throw new ConfigError(at, "needs fixedDelay or headerDelay");
  return (request, draw) => {
    const asked = unsignedHeader(request.headers, "x-envoy-fault-delay-request");
    if (asked === undefined) return 0;
    return draw(shareFrom(request, "x-envoy-fault-delay-request-percentage", part)) ? asked : 0;
  };
};

const reply = (status: number, grpcStatus?: number): LocalReply => ({
  status,
  flags: "FI",
  details: "fault_filter_abort",
  body: "fault filter abort",
  ...(grpcStatus === undefined ? {} : { grpcStatus }),
});

const fixedAbort = (abort: FaultAbortJson, at: string): LocalReply | undefined => {
  const http = unsigned(abort.httpStatus, member(at, "httpStatus"));
  const grpc = unsigned(abort.grpcStatus, member(at, "grpcStatus"));
  if (http !== undefined) {
    if (http < 200 || http > 599) throw new ConfigError(member(at, "httpStatus"), `${http} is not from 200 to 599`);
    return reply(http);
  }
  return grpc === undefined ? undefined : reply(200, grpc);
};

const compileAbort = ({ abort }: HTTPFaultJson, at: string): Fault["abort"] => {
  if (!abort) return () => undefined;
  refuseOthers(abort, "FaultAbort", at, ["httpStatus", "grpcStatus", "headerAbort", "percentage"]);
  const part = share(abort.percentage, member(at, "percentage"));
  const fixed = fixedAbort(abort, at);
  if (fixed) return (_, draw) => (draw(part) ? fixed : undefined);
  if (!abort.headerAbort) throw new ConfigError(at, "needs httpStatus, grpcStatus or headerAbort");
  return (request, draw) => {
    const status = unsignedHeader(request.headers, "x-envoy-fault-abort-request");
    const grpc = unsignedHeader(request.headers, "x-envoy-fault-abort-grpc-request");
    const valid = status !== undefined && status >= 200 && status <= 599;
    if (!valid && grpc === undefined) return undefined;
    if (!draw(shareFrom(request, "x-envoy-fault-abort-request-percentage", part))) return undefined;
    return valid ? reply(status) : reply(200, grpc);
  };
};

const compileFault = (raw: Readonly<Record<string, unknown>>): Fault => {
  const json = raw as HTTPFaultJson;
  refuseOthers(json, "HTTPFault", "", [
    "delay",
    "abort",
    "upstreamCluster",
    "headers",
    "downstreamNodes",
    "maxActiveFaults",
  ]);
  const headers = compileHeaderMatchers(json.headers, "headers");
  const cluster = json.upstreamCluster;
  const nodes = new Set(json.downstreamNodes ?? []);
  return {
    delayMs: compileDelay(json, "delay"),
    abort: compileAbort(json, "abort"),
    activeMax: unsigned(json.maxActiveFaults, "maxActiveFaults") ?? Number.POSITIVE_INFINITY,
    applies: (exchange) => {
      const { request, route } = exchange;
      if (cluster) {
        const action = route?.action;
        if (action?.kind !== "forward" || action.clusterName(request, 0).cluster !== cluster) return false;
      }
      if (nodes.size > 0 && !nodes.has(request.headers.get("x-envoy-downstream-service-node") ?? "")) return false;
      return headers?.(request) ?? true;
    },
  };
};

/** The filter's state over its requests: who waits, and how many faults are under way. */
const build = (configured: Fault, { random, setTimer, counter, statPrefix, stats }: FilterTools) => {
  const delays = counter(`${statPrefix}.fault.delays_injected`);
  const aborts = counter(`${statPrefix}.fault.aborts_injected`);
  const overflow = counter(`${statPrefix}.fault.faults_overflow`);
  const active = stats.gauge(`${statPrefix}.fault.active_faults`);
  const waiting = new Map<Exchange, Disposable>();
  const draw: Draw = (part) => part >= 1 || (part > 0 && random() < part);

  const aborted = (fault: Fault, exchange: Exchange): LocalReply | undefined => {
    const answer = fault.abort(exchange.request, draw);
    if (answer) aborts.add(1);
    return answer;
  };

  return {
    onRequest(exchange: Exchange) {
      const routed = exchange.route?.filterConfig.get(faultFilterName);
      if (typeof routed === "symbol") return undefined;
      const fault = (routed as Fault | undefined) ?? configured;
      if (!fault.applies(exchange)) return undefined;
      const delayMs = fault.delayMs(exchange.request, draw);
      if (delayMs <= 0) return aborted(fault, exchange);
      if (waiting.size >= fault.activeMax) {
        overflow.add(1);
        return undefined;
      }
      delays.add(1);
      active.add(1);
      exchange.flags = withFlag(exchange.flags, "DI");
      const timer = setTimer(() => {
        waiting.delete(exchange);
        active.add(-1);
        exchange.resume(aborted(fault, exchange));
      }, delayMs);
      waiting.set(exchange, timer);
      return wait;
    },
    onEnd(exchange: Exchange) {
      if (waiting.size === 0) return;
      const timer = waiting.get(exchange);
      if (!timer) return;
      waiting.delete(exchange);
      active.add(-1);
      timer[Symbol.dispose]();
    },
  };
};

export const fault: HttpFilterKind = {
  name: faultFilterName,
  typeName: "envoy.extensions.filters.http.fault.v3.HTTPFault",
  configure(raw) {
    const compiled = compileFault(raw);
    return (tools) => build(compiled, tools);
  },
  configureRoute: compileFault,
};
