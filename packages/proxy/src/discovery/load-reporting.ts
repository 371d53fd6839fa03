/** Puts a load reporter on a gRPC channel: what the clusters' hosts counted goes to a load reporting service. */
import { grpcStatus } from "@weft/core/grpc-status";
import type { Clock, Logger, Random, SetTimer } from "@weft/core/world";
import type { GrpcChannel, GrpcStream } from "@weft/net/grpc/client";
import { GrpcError } from "@weft/net/grpc/status";
import type { NodeJson } from "@weft/xds/gen/envoy/config/core/v3/base";
import {
  type ClusterLoad,
  createLoadReporter,
  type HostLoad,
  type ReporterInput,
  type ReporterOutput,
} from "@weft/xds/load-reporter";
import { decodeLoadWish, encodeLoadReport, streamLoadStatsPath } from "@weft/xds/load-reports";
import type { XdsServer } from "../bootstrap/xds-server.ts";
import type { Cluster } from "../clusters/cluster.ts";
import type { CompiledCluster } from "../clusters/compile-cluster.ts";
import { healthFlags } from "../clusters/health-flags.ts";
import type { Host } from "../clusters/host.ts";

type ReportedCluster = Cluster & Partial<Pick<CompiledCluster, "healthChecks">>;

export interface LoadReportingOptions {
  readonly server: XdsServer;
  readonly channel: GrpcChannel;
  readonly node: NodeJson;
  readonly clusters: () => readonly ReportedCluster[];
  readonly clock: Clock;
  readonly random: Random;
  readonly setTimer: SetTimer;
  readonly log: Logger;
}

/** Starts at once and goes on, over lost streams, until disposed. */
export const createLoadReporting = (options: LoadReportingOptions): Disposable => {
  const { clock, log, server, node, random } = options;
  const machine = createLoadReporter({ node, random, read: () => options.clusters().map(loadOf) });
  let stream: GrpcStream | undefined;
  let timer: Disposable | undefined;
  let disposed = false;

  const feed = (input: ReporterInput): void => {
    if (disposed) return;
    for (const output of machine.handle(input, clock.nowMs())) act(output);
    timer?.[Symbol.dispose]();
    const deadline = machine.deadlineMs();
    timer =
      deadline === undefined
        ? undefined
        : options.setTimer(() => feed({ kind: "tick" }), Math.max(0, deadline - clock.nowMs()));
  };
  const act = (output: ReporterOutput): void => {
    if (output.kind === "send") stream?.send(encodeLoadReport(output.report));
    else open();
  };

  const open = (): void => {
    try {
      dial();
    } catch (error) {
      // Keys or roots that are not there yet: the same as a server that is not there yet.
      queueMicrotask(() =>
        lose(error instanceof GrpcError ? error : new GrpcError(grpcStatus.unavailable, `${error}`)),
      );
    }
  };
  const dial = (): void => {
    const opened: GrpcStream = options.channel.open(
      { path: streamLoadStatsPath, metadata: server.metadata },
      {
        onOpen: () => {
          if (stream === opened) feed({ kind: "opened" });
        },
        onMessage: (bytes) => {
          if (stream === opened) receive(bytes);
        },
        onEnd: (error) => {
          if (stream === opened) lose(error);
        },
      },
    );
    stream = opened;
  };
  const receive = (bytes: Uint8Array): void => {
    try {
      feed({ kind: "wish", wish: decodeLoadWish(bytes) });
    } catch (error) {
      log.error("a load reporting server's answer cannot be read", { code: "WF3308", error: String(error) });
      stream?.cancel();
    }
  };
  const lose = (error: GrpcError | undefined): void => {
    stream = undefined;
    if (disposed) return;
    log.info("load reporting stream ended", { server: server.name, error: error?.message ?? "the server ended it" });
    feed({ kind: "closed" });
  };

  feed({ kind: "tick" });
  return {
    [Symbol.dispose]: () => {
      disposed = true;
      timer?.[Symbol.dispose]();
      stream?.cancel();
    },
  };
};

const loadOf = (cluster: ReportedCluster): ClusterLoad => ({
  cluster: cluster.name,
  service: cluster.discovery.kind === "eds" ? cluster.discovery.serviceName : "",
  dropped: cluster.counters.upstreamRqPendingOverflow,
  hosts: cluster.hosts().map(hostLoad),
  checksHosts: (cluster.healthChecks?.length ?? 0) > 0,
});

const hostLoad = (host: Host): HostLoad => {
  const { address, locality, priority, stats, activeRequests, state } = host;
  return {
    ...{ address, locality, priority },
    issued: stats.rqTotal,
    succeeded: stats.rqSuccess,
    failed: stats.rqError,
    inProgress: activeRequests,
    ...(state === "unhealthy" ? { flags: healthFlags(host) } : {}),
  };
};
