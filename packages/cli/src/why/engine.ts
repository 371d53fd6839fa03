/**
 * The sidecar's own engine without a socket: listeners, chains and route tables are compiled by the code that serves
 * them, and a request goes through the same exchange up to the moment when a host would be asked.
 */
import { type Clock, silentLogger } from "@weft/core/world";
import { realClock } from "@weft/net/clock";
import { SocketLoop } from "@weft/net/tcp/socket-loop";
import type { RequestHead } from "@weft/protocols/http/head";
import { HeaderList } from "@weft/protocols/http/headers";
import { Http2Workspace } from "@weft/protocols/http2/workspace";
import type { CompileTools } from "@weft/proxy/compile/tools";
import { ConnectionSlots } from "@weft/proxy/filters/network/connection-limit";
import type { AlpnOverride, DownstreamInfo, Exchange } from "@weft/proxy/http/exchange";
import { ExchangePool } from "@weft/proxy/http/exchange-pool";
import type { HcmSettings, HttpTools, RouteSource } from "@weft/proxy/http/hcm-settings";
import { Http2ServerStreams } from "@weft/proxy/http/http2-server-stream";
import { createLeavingTable } from "@weft/proxy/http/leaving";
import { createRetryMemory, RetryChain } from "@weft/proxy/http/retry-chain";
import type { ServerStream } from "@weft/proxy/http/streams";
import type { ListenerTools } from "@weft/proxy/listeners/compile-listener";
import { createStats } from "@weft/proxy/observe/create-stats";
import { createTextOut } from "@weft/proxy/observe/text-out";
import { downstreamConnectionsMax } from "@weft/proxy/overload/limits";
import { Overload } from "@weft/proxy/overload/overload";
import { createShrinkCell, ShrinkTurn } from "@weft/proxy/overload/shrink-turn";
import type { Route } from "@weft/proxy/routing/route";
import { TimerWheel } from "@weft/proxy/timers/timer-wheel";

/** What the engine did with a request. */
export interface Told {
  /** The engine's own answer; 0 where the request goes on to a host. */
  readonly status: number;
  readonly flags: string;
  readonly details: string;
  /** Of the engine's own answer. */
  readonly location: string | undefined;
  readonly grpcStatus: number;
  readonly route: Route | undefined;
  /** The cluster that was looked for; `undefined` where the request never came that far. */
  readonly cluster: string | undefined;
  /** How long filters hold the request. */
  readonly delayMs: number;
  /** The head that routes are matched by. */
  readonly matched: RequestHead;
  /** The head as a host would get it, but for what the router adds. */
  readonly request: RequestHead;
  /** What the client's address counts as. */
  readonly remoteHost: string;
  readonly upstreamAlpn: AlpnOverride | undefined;
  /** What balancers go by; `undefined` where nothing is hashed. */
  readonly hash: bigint | undefined;
  /** The hash is of a cookie that the request has not and the answer will set: each connection gets another. */
  readonly newCookie: boolean;
}

export interface Engine {
  readonly terminals: ListenerTools;
  readonly compile: CompileTools;
  /** Every share of requests is drawn with `draw`, in [0, 1): near 1, what holds for less than all holds not. */
  ask(settings: HcmSettings, request: RequestHead, downstream: DownstreamInfo, draw: number): Told;
}

export const wholeDraw = 1 - 2 ** -30;

const nothing = (): void => {};
const noTimer: Disposable = { [Symbol.dispose]: nothing };

/** A client that takes any answer. */
const anyClient: ServerStream = {
  requestOpen: false,
  writeInterim: nothing,
  writeHead: nothing,
  writeData: () => true,
  writeTrailers: nothing,
  writeEnd: nothing,
  abort: nothing,
  pauseBody: nothing,
  resumeBody: nothing,
  release: nothing,
};

/** A head of one's own that may be changed. */
export const copyHead = ({ method, scheme, authority, path, protocol, headers }: RequestHead): RequestHead => {
  const copy = new HeaderList();
  for (let i = 0; i < headers.size; i++) copy.add(headers.nameAt(i), headers.valueAt(i));
  return { method, scheme, authority, path, protocol, headers: copy };
};

/** What is under way while one request is asked about. */
interface Turn {
  draw: number;
  cluster: string | undefined;
  delayMs: number;
  waiting: (() => void)[];
}

export const createEngine = (routeSource: (name: string) => RouteSource, clock: Clock = realClock): Engine => {
  const turn: Turn = { draw: wholeDraw, cluster: undefined, delayMs: 0, waiting: [] };
  const random = (): number => turn.draw;
  const terminals = engineTools(turn, { routeSource, clock, random });
  const { http } = terminals;
  return {
    terminals,
    compile: { random, clock },
    ask(settings, request, downstream, draw) {
      Object.assign(turn, { draw, cluster: undefined, delayMs: 0, waiting: [] });
      let told: Told | undefined;
      const log = (exchange: Exchange): void => {
        told = tell(exchange, turn);
      };
      const exchange = http.exchanges.take(http);
      const own: HcmSettings = { ...settings, accessLogs: [{ log }] };
      exchange.begin(own, anyClient, downstream, copyHead(request), { protocol: "HTTP/1.1", end: true });
      for (let next = turn.waiting.shift(); next !== undefined; next = turn.waiting.shift()) next();
      if (told === undefined) exchange.onClientGone();
      if (told === undefined) throw new TypeError("an exchange ended without a word");
      return told;
    },
  };
};

const tell = (exchange: Exchange, { draw, cluster, delayMs }: Turn): Told => {
  const { route, request, downstream, flags, details, grpcStatus, response } = exchange;
  const forwarded = details === "cluster_not_found";
  const action = route?.action;
  const matched = copyHead(request);
  let hash: bigint | undefined;
  let newCookie = false;
  if (forwarded && action?.kind === "forward") {
    const hashed = action.hash?.(request, downstream);
    newCookie = hashed?.setCookie !== undefined;
    hash = newCookie ? undefined : hashed?.hash;
    const choice = action.clusterName(request, draw);
    choice.editRequest?.(request.headers, downstream, request, exchange);
    route?.editRequest(request.headers, downstream, request, exchange);
    action.rewrite(request);
  }
  return {
    status: forwarded ? 0 : response.status,
    flags: forwarded ? "" : flags,
    details: forwarded ? "" : details,
    location: response.headers.get("location"),
    grpcStatus,
    route,
    cluster: forwarded ? cluster : undefined,
    delayMs,
    matched,
    request: copyHead(request),
    remoteHost: exchange.remoteHost ?? downstream.remoteHost,
    upstreamAlpn: exchange.upstreamAlpn,
    hash,
    newCookie,
  };
};

interface EngineWorld {
  readonly routeSource: (name: string) => RouteSource;
  readonly clock: Clock;
  readonly random: () => number;
}

/** Everything that would reach the world is there and does nothing. */
const engineTools = (turn: Turn, { routeSource, clock, random }: EngineWorld): ListenerTools => {
  const stats = createStats();
  const wheel = new TimerWheel(clock, () => noTimer);
  const pools = {
    loop: new SocketLoop({ useReadBuffer: false }),
    wheel,
    workspace: new Http2Workspace(),
    hosts: new Set<never>(),
    clientContext: () => ({ kind: "missing" as const, reason: "nothing is connected to" }),
  };
  const cluster = (name: string): undefined => {
    turn.cluster = name;
    return undefined;
  };
  const noHost = (): undefined => undefined;
  const overload = new Overload(
    { refreshMs: 1000, resources: [], triggers: new Map(), connectionsMax: downstreamConnectionsMax },
    {
      ...{ clock, random, stats, threads: 1, shrink: nothing, closeIdle: nothing },
      setTimer: () => noTimer,
      memory: () => ({ heapBytes: 0, externalBytes: 0, heapLimitBytes: 1, limitBytes: undefined }),
      shrinkTurn: new ShrinkTurn(createShrinkCell()),
    },
  );
  const http: HttpTools = {
    ...{ clock, random, wheel, pools, cluster, overload },
    uuid: () => "00000000-0000-4000-8000-000000000000",
    originalHost: noHost,
    dynamicHost: noHost,
    exchanges: new ExchangePool(),
    retryChain: new RetryChain(createRetryMemory()),
    http2Streams: new Http2ServerStreams(),
    date: () => "",
    log: silentLogger,
  };
  return {
    ...{ http, stats, routeSource },
    node: { id: "", cluster: "", metadata: {} },
    setTimer: (callback, delayMs) => {
      turn.delayMs += delayMs;
      turn.waiting.push(callback);
      return noTimer;
    },
    leavings: createLeavingTable({ clock, random }),
    logs: { clock, random, open: () => createTextOut() },
    connectionSlots: new ConnectionSlots(),
    tcp: { clock, random, wheel, pools, cluster, originalHost: noHost, dynamicHost: noHost },
  };
};
