import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { httpBootstrap } from "./bootstrap.ts";
import { type H2loadShape, runH2load, untilServes } from "./load.ts";
import { compare, printRows, type Row } from "./measure.ts";
import type { BenchOptions } from "./options.ts";
import { openWorkshop, startOwnUpstream, startUpstreams, type Workshop } from "./peers.ts";
import { startProxies } from "./proxies.ts";
import { createBenchTls } from "./tls.ts";

const shapes = [
  { clients: 8, streams: 16 },
  { clients: 64, streams: 1 },
  { clients: 1, streams: 100 },
] as const;

/** Requests a second of bench time; a run's length is in requests because h2load's timed mode needs a warm-up of its own. */
const requestsPerSecond = 20_000;

/** A unary call with a message of ten bytes. */
const grpcCall = (workshop: Workshop): Pick<H2loadShape, "headers" | "bodyFile"> => {
  const bodyFile = join(workshop.folder, "message");
  writeFileSync(bodyFile, Buffer.from([0, 0, 0, 0, 10, ...Buffer.from("0123456789")]));
  return { bodyFile, headers: ["content-type: application/grpc", "te: trailers"] };
};

/** HTTP/2 to HTTP/2: small answers in three shapes of connections × streams, plain and with TLS in; gRPC unary. */
export const benchHttp2 = async ({ rounds, seconds, json }: BenchOptions): Promise<void> => {
  await using workshop = openWorkshop();
  const upstreams = await startUpstreams(workshop, "http2");
  const { server } = createBenchTls();
  const rows: Row[] = [];
  for (const scheme of ["http", "https"] as const) {
    const systems = await startProxies(
      workshop,
      (listenPort, adminPort) =>
        httpBootstrap({
          listenPort,
          adminPort,
          upstreams,
          upstreamHttp2: true,
          ...(scheme === "https" ? { downstreamTls: server } : {}),
        }),
      (address) => untilServes(`${scheme}://${address}/items`),
    );
    for (const shape of shapes) {
      const load = { ...shape, requests: requestsPerSecond * seconds };
      const bench = `HTTP/2${scheme === "https" ? " over TLS" : ""}, ${shape.clients} × ${shape.streams}`;
      rows.push(...compare(bench, systems, rounds, ({ address }) => runH2load(`${scheme}://${address}/items`, load)));
    }
  }
  const call = grpcCall(workshop);
  const grpcUpstreams = [await startOwnUpstream(workshop, "grpc-echo.ts")];
  const systems = await startProxies(
    workshop,
    (listenPort, adminPort) => httpBootstrap({ listenPort, adminPort, upstreams: grpcUpstreams, upstreamHttp2: true }),
    (address) => untilServes(`http://${address}/bench.Echo/Call`, call),
  );
  for (const shape of shapes.slice(0, 2)) {
    const load = { ...shape, ...call, requests: (requestsPerSecond / 2) * seconds };
    rows.push(
      ...compare(`gRPC unary, ${shape.clients} × ${shape.streams}`, systems, rounds, ({ address }) =>
        runH2load(`http://${address}/bench.Echo/Call`, load),
      ),
    );
  }
  printRows(rows, json);
};
