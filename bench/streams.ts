import { httpBootstrap } from "./bootstrap.ts";
import { runClient, runWrk } from "./load.ts";
import { compare, perMessage, printRows, type Row } from "./measure.ts";
import type { BenchOptions } from "./options.ts";
import { openWorkshop, startOwnUpstream, startUpstreams } from "./peers.ts";
import { startProxies } from "./proxies.ts";

const ready = async (): Promise<void> => undefined;

/** HTTP/1.1 in and HTTP/2 out; messages of 64 bytes on gRPC streams and WebSockets. */
export const benchStreams = async ({ rounds, seconds, json }: BenchOptions): Promise<void> => {
  await using workshop = openWorkshop();
  const http2 = await startUpstreams(workshop, "http2");
  const upgrade = await startProxies(workshop, (listenPort, adminPort) =>
    httpBootstrap({ listenPort, adminPort, upstreams: http2, upstreamHttp2: true }),
  );
  const rows: Row[] = [
    ...compare("HTTP/1.1 → HTTP/2, 64 connections", upgrade, rounds, ({ address }) =>
      runWrk(`http://${address}/items`, 64, seconds),
    ),
  ];
  const grpc = [await startOwnUpstream(workshop, "grpc-echo.ts")];
  const grpcSystems = await startProxies(
    workshop,
    (listenPort, adminPort) =>
      httpBootstrap({ listenPort, adminPort, upstreams: grpc, upstreamHttp2: true, websocket: true }),
    ready,
  );
  rows.push(
    ...compare("gRPC stream messages, 8 × 16", grpcSystems, rounds, ({ address }) =>
      runClient("ping-pong.ts", ["grpc", address, 8, 16, seconds]),
    ),
  );
  const echo = [await startOwnUpstream(workshop, "websocket-echo.ts")];
  const socketSystems = await startProxies(workshop, (listenPort, adminPort) =>
    httpBootstrap({ listenPort, adminPort, upstreams: echo, websocket: true }),
  );
  rows.push(
    ...compare("WebSocket messages, 64 connections", socketSystems, rounds, ({ address }) =>
      runClient("ping-pong.ts", ["websocket", address, 64, 1, seconds]),
    ),
  );
  printRows(rows, json, perMessage);
};
