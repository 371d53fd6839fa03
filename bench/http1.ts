import { httpBootstrap } from "./bootstrap.ts";
import { compare, formatRows, type Row, runWrk } from "./measure.ts";
import type { BenchOptions } from "./options.ts";
import { openWorkshop, startNginxProxy, startProxies, startUpstream } from "./peers.ts";

/** HTTP/1.1 to HTTP/1.1, small answers: 64 and 256 keep-alive connections. */
export const benchHttp1 = async ({ rounds, seconds, json }: BenchOptions): Promise<void> => {
  await using workshop = openWorkshop();
  const upstreams = [
    await startUpstream(workshop, "http1"),
    await startUpstream(workshop, "http1"),
    await startUpstream(workshop, "http1"),
  ];
  const proxies = await startProxies(workshop, (listenPort, adminPort) =>
    httpBootstrap({ listenPort, adminPort, upstreams }),
  );
  const systems = [...proxies, await startNginxProxy(workshop, upstreams)];
  const rows: Row[] = [];
  for (const connections of [64, 256]) {
    const bench = `HTTP/1.1, ${connections} connections`;
    rows.push(
      ...compare(bench, systems, rounds, ({ address }) => runWrk(`http://${address}/items`, connections, seconds)),
    );
  }
  process.stdout.write(json ? `${JSON.stringify(rows, null, 2)}\n` : formatRows(rows, "envoy"));
};
