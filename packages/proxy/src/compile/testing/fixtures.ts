/** Values that tests of compiled configuration need: requests, connections, exchanges, tools. */
import { seededRandom } from "@weft/core/random";
import type { RequestHead } from "@weft/protocols/http/head";
import { HeaderList } from "@weft/protocols/http/headers";
import type { FilterTools } from "../../filters/http/filter.ts";
import type { DownstreamInfo, DownstreamTlsInfo, Exchange, LocalReply } from "../../http/exchange.ts";
import { createStats } from "../../observe/create-stats.ts";
import type { CompileTools } from "../tools.ts";

type Pairs = Readonly<Record<string, string>>;

export const headerList = (headers: Pairs = {}): HeaderList => {
  const list = new HeaderList();
  for (const [name, value] of Object.entries(headers)) list.add(name, value);
  return list;
};

/** `GET http://a.example/x` unless told otherwise. */
export const request = (path = "/", headers: Pairs = {}, head: Partial<RequestHead> = {}): RequestHead => ({
  method: "GET",
  scheme: "http",
  authority: "a.example",
  path,
  protocol: "",
  ...head,
  headers: headerList(headers),
});

export const tlsInfo = (info: Partial<DownstreamTlsInfo> = {}): DownstreamTlsInfo => ({
  sni: "",
  alpn: "",
  version: "TLSv1.3",
  peerUris: [],
  peerDnsNames: [],
  peerSubject: "",
  peerFingerprint: "",
  peerPem: "",
  localUris: [],
  ...info,
});

export const downstream = (info: Partial<DownstreamInfo> = {}): DownstreamInfo => ({
  listenerName: "listener",
  filterChainName: "chain",
  direction: "outbound",
  remoteHost: "10.0.0.1",
  remotePort: 40_000,
  localHost: "10.0.0.2",
  localPort: 8080,
  originalDestination: undefined,
  tls: undefined,
  ...info,
});

/** An exchange whose `resume` keeps what it was given. */
export interface TestExchange extends Exchange {
  readonly resumed: (LocalReply | undefined)[];
}

export const exchange = (parts: Partial<Exchange> = {}): TestExchange => {
  const resumed: (LocalReply | undefined)[] = [];
  return {
    request: request(),
    response: { status: 200, headers: headerList() },
    downstream: downstream(),
    protocol: "HTTP/1.1",
    route: undefined,
    cluster: undefined,
    host: undefined,
    startMs: 0,
    flags: "",
    details: "via_upstream",
    attempts: 1,
    requestBodyBytes: 0,
    responseBodyBytes: 0,
    requestMessages: 0,
    responseMessages: 0,
    grpcStatus: -1,
    upstreamMs: -1,
    upstreamFailure: "",
    peer: undefined,
    resumed,
    resume: (reply) => void resumed.push(reply),
    ...parts,
  };
};

export interface TestClock {
  nowMs: () => number;
  wallMs: () => number;
  advance: (ms: number) => void;
}

/** A clock that stands still until advanced; it starts at 2024-01-02T03:04:05.678Z. */
export const testClock = (): TestClock => {
  const startMs = Date.UTC(2024, 0, 2, 3, 4, 5, 678);
  let nowMs = 0;
  return {
    nowMs: () => nowMs,
    wallMs: () => startMs + nowMs,
    advance: (ms) => {
      nowMs += ms;
    },
  };
};

export const compileTools = (random: () => number = seededRandom(1), clock = testClock()): CompileTools => ({
  random,
  clock,
});

export interface TestFilterTools extends FilterTools {
  readonly stats: ReturnType<typeof createStats>;
  /** Runs the timers that are armed. */
  readonly fire: () => void;
  readonly armed: () => number;
  readonly value: (name: string) => number;
}

export const filterTools = (parts: Partial<Omit<FilterTools, "stats">> = {}): TestFilterTools => {
  const stats = createStats();
  const timers = new Set<() => void>();
  return {
    ...compileTools(),
    setTimer: (callback) => {
      timers.add(callback);
      return { [Symbol.dispose]: () => void timers.delete(callback) };
    },
    counter: (name) => stats.counter(name),
    stats,
    node: { id: "sidecar~10.0.0.2~web-1.default~default.svc.cluster.local", cluster: "web", metadata: {} },
    statPrefix: "http.test",
    fire: () => {
      for (const timer of [...timers]) {
        timers.delete(timer);
        timer();
      }
    },
    armed: () => timers.size,
    value: (name) => stats.counter(name).value,
    ...parts,
  };
};
