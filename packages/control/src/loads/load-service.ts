/** The load reporting service: each client is told once what to report, and its reports go into the table. */
import { parseAddress } from "@weft/core/address";
import { WeftError } from "@weft/core/error";
import { grpcStatus } from "@weft/core/grpc-status";
import type { Clock, Logger, SetTimer } from "@weft/core/world";
import type { BidiCall, BidiEvents, GrpcHandler, GrpcPeer } from "@weft/net/grpc/calls";
import { frameMessage } from "@weft/net/grpc/message-reader";
import { GrpcError } from "@weft/net/grpc/status";
import { sendAllClustersFeature } from "@weft/xds/client-features";
import type { NodeJson } from "@weft/xds/gen/envoy/config/core/v3/base";
import { decodeLoadReport, encodeLoadWish, type LoadReport, streamLoadStatsPath } from "@weft/xds/load-reports";
import { type ProxyFacts, parseProxyFacts } from "../generate/proxy-facts.ts";
import { identityMismatch } from "../push/identity.ts";
import type { LoadTable, Reporter } from "./load-table.ts";

export interface LoadServiceOptions {
  readonly table: LoadTable;
  /** Names of the clusters that proxy should have, for clients that cannot report all they have. */
  readonly clustersOf: (proxy: ProxyFacts) => readonly string[];
  readonly trustDomain: string;
  readonly clock: Clock;
  readonly setTimer: SetTimer;
  readonly log: Logger;
}

const intervalMs = 10_000;
/** A stream that does not say whose it is within this time is ended. */
const identityTimeoutMs = 15_000;

/** By path, for the gRPC servers. */
export const loadHandlers = (options: LoadServiceOptions): ReadonlyMap<string, GrpcHandler> =>
  new Map([[streamLoadStatsPath, { kind: "bidi", open: (call) => openLoadStream(call, options) }]]);

const openLoadStream = (call: BidiCall, options: LoadServiceOptions): BidiEvents => {
  let reporter: Reporter | undefined;
  const silence = options.setTimer(
    () => call.end(grpcStatus.deadlineExceeded, "WF3021 no first request came in time"),
    identityTimeoutMs,
  );
  const begin = (node: NodeJson | undefined): Reporter => {
    silence[Symbol.dispose]();
    const proxy = identify(call, node, options.trustDomain);
    const reportsAll = node?.clientFeatures?.includes(sendAllClustersFeature) === true;
    const clusters = reportsAll ? "all" : options.clustersOf(proxy);
    call.send(frameMessage(encodeLoadWish({ clusters, intervalMs })));
    options.log.info("load is reported", { proxy: proxy.id });
    return options.table.open({ proxy: proxy.id, namespace: proxy.namespace, voice: voiceOf(call.peer) });
  };
  return {
    message(bytes) {
      const { node, clusters } = decode(bytes);
      reporter ??= begin(node);
      reporter.add(clusters, options.clock.wallMs());
    },
    drained() {},
    halfClosed: () => call.end(grpcStatus.ok),
    closed() {
      silence[Symbol.dispose]();
      reporter?.[Symbol.dispose]();
    },
  };
};

/** The identity that a certificate shows, on that machine: not what the node says of itself. */
const voiceOf = ({ secure, spiffe, address }: GrpcPeer): string =>
  secure && spiffe !== undefined ? `${spiffe} ${parseAddress(address)?.host ?? address}` : "";

const decode = (bytes: Uint8Array): LoadReport => {
  try {
    return decodeLoadReport(bytes);
  } catch (cause) {
    throw new GrpcError(grpcStatus.invalidArgument, "the message is not a load report", { cause });
  }
};

const identify = (call: BidiCall, node: NodeJson | undefined, trustDomain: string): ProxyFacts => {
  if (!node?.id) throw new GrpcError(grpcStatus.invalidArgument, "the first report of a stream must have node.id");
  let proxy: ProxyFacts;
  try {
    proxy = parseProxyFacts(node);
  } catch (error) {
    if (!(error instanceof WeftError)) throw error;
    throw new GrpcError(grpcStatus.invalidArgument, `${error.code} ${error.message}`);
  }
  const mismatch = identityMismatch(call.peer, proxy, trustDomain);
  if (!mismatch) return proxy;
  const status = mismatch.reason === "mismatch" ? grpcStatus.permissionDenied : grpcStatus.unauthenticated;
  throw new GrpcError(status, `WF4001 ${mismatch.message}`);
};
