import { eventually } from "@weft/testkit/eventually";
import { httpBootstrap } from "./bootstrap.ts";
import { compare, formatRows, type Row, runH2load } from "./measure.ts";
import type { BenchOptions } from "./options.ts";
import { openWorkshop, startProxies, startUpstream } from "./peers.ts";

const shapes = [
  { clients: 8, streams: 16 },
  { clients: 64, streams: 1 },
  { clients: 1, streams: 100 },
] as const;

/** Requests a second of bench time; a run's length is in requests because h2load's timed mode needs a warm-up of its own. */
const requestsPerSecond = 20_000;

/** HTTP/2 to HTTP/2, prior knowledge, small answers, in three shapes of connections × streams. */
export const benchHttp2 = async ({ rounds, seconds, json }: BenchOptions): Promise<void> => {
  await using workshop = openWorkshop();
  const upstreams = [
    await startUpstream(workshop, "http2"),
    await startUpstream(workshop, "http2"),
    await startUpstream(workshop, "http2"),
  ];
  const check = (address: string): Promise<unknown> =>
    eventually(`HTTP/2 from ${address}`, () =>
      runH2load(`http://${address}/items`, { clients: 1, streams: 1, requests: 1 }).failed === 0 ? true : undefined,
    );
  const bootstrap = (listenPort: number, adminPort: number): object =>
    httpBootstrap({ listenPort, adminPort, upstreams, upstreamHttp2: true });
  const systems = await startProxies(workshop, bootstrap, check);
  const rows: Row[] = [];
  for (const shape of shapes) {
    const load = { ...shape, requests: requestsPerSecond * seconds };
    rows.push(
      ...compare(`HTTP/2, ${shape.clients} × ${shape.streams}`, systems, rounds, ({ address }) =>
        runH2load(`http://${address}/items`, load),
      ),
    );
  }
  process.stdout.write(json ? `${JSON.stringify(rows, null, 2)}\n` : formatRows(rows, "envoy"));
};
