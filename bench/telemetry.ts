import { join } from "node:path";
import { fileAccessLog, httpBootstrap, istioMetrics } from "./bootstrap.ts";
import { runWrk } from "./load.ts";
import { median, type System } from "./measure.ts";
import type { BenchOptions } from "./options.ts";
import { openWorkshop, startUpstreams } from "./peers.ts";
import { exactCpuMicrosOf } from "./process-usage.ts";
import { type ProxyName, startProxy } from "./proxies.ts";

/** A JSON log with what Istio's has in it, nearly. */
const jsonFormat = {
  start_time: "%START_TIME%",
  method: "%REQ(:METHOD)%",
  path: "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
  protocol: "%PROTOCOL%",
  response_code: "%RESPONSE_CODE%",
  response_flags: "%RESPONSE_FLAGS%",
  response_code_details: "%RESPONSE_CODE_DETAILS%",
  bytes_received: "%BYTES_RECEIVED%",
  bytes_sent: "%BYTES_SENT%",
  duration: "%DURATION%",
  upstream_service_time: "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%",
  x_forwarded_for: "%REQ(X-FORWARDED-FOR)%",
  user_agent: "%REQ(USER-AGENT)%",
  request_id: "%REQ(X-REQUEST-ID)%",
  authority: "%REQ(:AUTHORITY)%",
  upstream_host: "%UPSTREAM_HOST%",
  upstream_cluster: "%UPSTREAM_CLUSTER%",
  downstream_remote_address: "%DOWNSTREAM_REMOTE_ADDRESS%",
  route_name: "%ROUTE_NAME%",
};

/** Rounds are short, for what disturbs the machine is to fall on all systems alike. */
const roundSeconds = 1;
const roundsPerSecondAsked = 2;

const quantile = (values: readonly number[], share: number): number =>
  [...values].sort((a, b) => a - b)[Math.floor((values.length - 1) * share)] ?? Number.NaN;

interface Cost {
  readonly system: string;
  readonly costs: readonly number[];
  /** Each round's cost by that of the plain system of its kind in the same round. */
  readonly ratios: readonly number[];
}

/** Rounds go through the systems forwards and backwards in turn; each is set against its neighbour in time. */
const compareClosely = (groups: readonly (readonly System[])[], rounds: number, connections: number): Cost[] => {
  const systems = groups.flat();
  const load = ({ address }: System) => runWrk(`http://${address}/items`, connections, roundSeconds);
  for (let warm = 0; warm < 2; warm++) for (const system of systems) load(system);
  const costs = new Map(systems.map((system) => [system, [] as number[]]));
  for (let round = 0; round < rounds; round++) {
    for (const system of round % 2 === 0 ? systems : systems.toReversed()) {
      const cpu = () => system.pids.reduce((sum, pid) => sum + exactCpuMicrosOf(pid), 0);
      const before = cpu();
      const { requests } = load(system);
      costs.get(system)?.push((cpu() - before) / Math.max(1, requests));
    }
  }
  return groups.flatMap((group) =>
    group.map((system) => {
      const own = costs.get(system) ?? [];
      const plain = costs.get(group[0] as System) ?? [];
      return { system: system.name, costs: own, ratios: own.map((cost, at) => cost / (plain[at] ?? Number.NaN)) };
    }),
  );
};

const line = ({ system, costs, ratios }: Cost): string => {
  const spread = (values: readonly number[], digits: number): string =>
    `${median(values).toFixed(digits)} (${quantile(values, 0.25).toFixed(digits)}–${quantile(values, 0.75).toFixed(digits)})`;
  return `| ${system} | ${spread(costs, 1)} | ${Math.min(...costs).toFixed(1)} | ${spread(ratios, 3)} |\n`;
};

/** What observing costs: HTTP/1.1, 64 connections, with nothing, metrics, a log of either form, and metrics and log. */
export const benchTelemetry = async ({ rounds, seconds, json }: BenchOptions): Promise<void> => {
  await using workshop = openWorkshop();
  const upstreams = await startUpstreams(workshop, "http1");
  const text = fileAccessLog(join(workshop.folder, "text.log"));
  const asJson = {
    name: "envoy.access_loggers.file",
    typedConfig: {
      "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
      path: join(workshop.folder, "json.log"),
      logFormat: { jsonFormat },
    },
  };
  const start = (proxy: ProxyName, name: string, shape: object): Promise<System> =>
    startProxy(workshop, {
      proxy,
      name,
      bootstrap: (listenPort, adminPort) => httpBootstrap({ listenPort, adminPort, upstreams, ...shape }),
    });
  const systems = [
    await start("weft", "weft", {}),
    await start("weft", "weft, metrics", { filters: [istioMetrics] }),
    await start("weft", "weft, text log", { accessLog: [text] }),
    await start("weft", "weft, JSON log", { accessLog: [asJson] }),
    await start("weft", "weft, metrics, text log", { filters: [istioMetrics], accessLog: [text] }),
    await start("weft", "weft, metrics, JSON log", { filters: [istioMetrics], accessLog: [asJson] }),
    await start("envoy", "envoy", {}),
    await start("envoy", "envoy, text log", { accessLog: [text] }),
    await start("envoy", "envoy, JSON log", { accessLog: [asJson] }),
  ];
  const costs = compareClosely(
    [systems.slice(0, 6), systems.slice(6)],
    Math.round(rounds * seconds * roundsPerSecondAsked),
    64,
  );
  if (json) {
    process.stdout.write(`${JSON.stringify(costs, null, 2)}\n`);
    return;
  }
  process.stdout.write(`| system | CPU µs/request (quartiles) | least | ÷ without (quartiles) |\n|---|---|---|---|\n`);
  process.stdout.write(costs.map(line).join(""));
};
