import { addCounts, countsOf, ratesBetween, type WorkloadCounts, type WorkloadRates } from "./measure.ts";
import type { RunningShop } from "./start-shop.ts";

/** One line of the live table. */
export interface ServiceView extends WorkloadRates {
  readonly service: string;
  readonly endpoints: number;
  readonly ejected: number;
  /** Share of requests by version, most first; only where a service has several. */
  readonly versions: readonly { readonly version: string; readonly share: number }[];
}

interface Reading {
  readonly atMs: number;
  readonly counts: ReadonlyMap<string, WorkloadCounts>;
}

interface HostStatus {
  readonly health_status?: { readonly failed_outlier_check?: boolean };
  readonly healthStatus?: { readonly failedOutlierCheck?: boolean };
}
interface ClusterStatus {
  readonly name: string;
  readonly host_statuses?: readonly HostStatus[];
  readonly hostStatuses?: readonly HostStatus[];
}

const scrapeTimeoutMs = 2000;
const getText = async (url: string): Promise<string> => {
  const response = await fetch(url, { signal: AbortSignal.timeout(scrapeTimeoutMs) });
  return response.text();
};

/** Reads every sidecar's own statistics; each call gives what happened since the last one. */
export const watchShop = (shop: RunningShop, nowMs: () => number) => {
  let last: Reading | undefined;

  const read = async (): Promise<Reading> => {
    const texts = await Promise.all(
      shop.workloads.map(({ name, sidecar }) =>
        getText(`http://${sidecar.admin}/stats/prometheus`).then(
          (text) => [name, countsOf(text)] as const,
          () => undefined,
        ),
      ),
    );
    return { atMs: nowMs(), counts: new Map(texts.filter((entry) => entry !== undefined)) };
  };

  const hosts = async (): Promise<ReadonlyMap<string, { endpoints: number; ejected: number }>> => {
    const found = new Map<string, { endpoints: number; ejected: number }>();
    for (const { sidecar } of shop.workloads) {
      const text = await getText(`http://${sidecar.admin}/clusters?format=json`).catch(() => "{}");
      const dump = JSON.parse(text) as {
        cluster_statuses?: readonly ClusterStatus[];
        clusterStatuses?: readonly ClusterStatus[];
      };
      for (const { name, host_statuses, hostStatuses } of dump.cluster_statuses ?? dump.clusterStatuses ?? []) {
        const [direction, , subset, host = ""] = name.split("|");
        if (direction !== "outbound" || subset !== "") continue;
        const statuses = host_statuses ?? hostStatuses ?? [];
        const ejected = statuses.filter(
          (status) => status.health_status?.failed_outlier_check ?? status.healthStatus?.failedOutlierCheck,
        ).length;
        const service = host.split(".")[0] ?? "";
        const before = found.get(service);
        found.set(service, {
          endpoints: Math.max(statuses.length, before?.endpoints ?? 0),
          ejected: Math.max(ejected, before?.ejected ?? 0),
        });
      }
    }
    return found;
  };

  return {
    /** Starts the interval the next call reports on. */
    async mark(): Promise<void> {
      last = await read();
    },
    async views(): Promise<readonly ServiceView[]> {
      const [reading, endpoints] = await Promise.all([read(), hosts()]);
      const before = last;
      last = reading;
      const seconds = before ? Math.max(0.001, (reading.atMs - before.atMs) / 1000) : 1;
      const services = [...new Set(shop.workloads.map(({ service }) => service))];
      return services.map((service) => {
        const members = shop.workloads.filter((workload) => workload.service === service);
        const of = (at: Reading | undefined): WorkloadCounts =>
          addCounts(members.map(({ name }) => at?.counts.get(name)).filter((counts) => counts !== undefined));
        const perVersion = members.map(({ name, version }) => ({
          version,
          count: (reading.counts.get(name)?.requests ?? 0) - (before?.counts.get(name)?.requests ?? 0),
        }));
        const total = perVersion.reduce((sum, { count }) => sum + count, 0);
        const versions =
          members.length < 2 || total === 0
            ? []
            : perVersion.map(({ version, count }) => ({ version, share: count / total }));
        const known = endpoints.get(service) ?? { endpoints: 0, ejected: 0 };
        return { service, ...ratesBetween(of(before), of(reading), seconds), ...known, versions };
      });
    },
  };
};
