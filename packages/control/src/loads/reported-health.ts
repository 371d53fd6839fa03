/** What proxies that report say of endpoints, and which of them count as failed for the whole mesh. */
import { parseClusterName } from "../generate/names.ts";
import type { MeshModel } from "../model/mesh-model.ts";
import { idOfEndpoint, type ReportedHealth, type ServiceEndpoints } from "../model/service.ts";
import type { ReportedCluster, ReporterView } from "./load-table.ts";

export const reportedHealthLimits = {
  /** A report older than this says nothing any more: three intervals. */
  reportLifeMs: 30_000,
  /** Where more of a service port's endpoints than this would be unusable, none is called failed: rather the check is wrong. */
  failedPercentMax: 50,
  /** Checking proxies of which a majority decides; a single one decides alone. */
  majorityOf: 2,
  /** Subsets of one service port that one proxy may speak of. */
  clustersOfPortMax: 64,
} as const;

/** One endpoint as proxies see it. */
export interface SeenEndpoint {
  /** Proxies that report on it. */
  readonly reporting: number;
  /** Those of them that check it actively. */
  readonly checking: number;
  /** Those whose checks it fails. */
  readonly failing: number;
  /** Those that do not use it, for whatever reason. */
  readonly unhealthy: number;
  /** How many proxies give that reason, in Envoy's words: `failed_active_hc`. */
  readonly reasons: Readonly<Record<string, number>>;
}

/** By `endpointId`. */
export type SeenService = ReadonlyMap<string, SeenEndpoint>;

type KnownServices = Pick<MeshModel, "visibleServices" | "endpoints">;

interface Opinion {
  readonly flags: Set<string>;
  checks: boolean;
  fails: boolean;
}

/** By service, endpoint, proxy: one proxy has one opinion, whatever number of streams and clusters tell it. */
type Opinions = Map<string, Map<string, Map<string, Opinion>>>;

/** What proxies that check a service's port found; each speaks of all endpoints of the port. */
export interface PortOpinions {
  /** Who checks. */
  readonly voices: ReadonlySet<string>;
  /** By `endpointId`, for whom it fails. */
  readonly failing: ReadonlyMap<string, ReadonlySet<string>>;
}

/** By service and port. */
export type CheckedPorts = ReadonlyMap<string, ReadonlyMap<number, PortOpinions>>;

/** Checks that have not come to an end yet say nothing. */
const failsCheck = (words: readonly string[]): boolean =>
  words.includes("failed_active_hc") && !words.includes("pending_active_hc");

const entryOf = <K, V>(map: Map<K, V>, key: K, make: () => V): V => {
  const known = map.get(key);
  if (known !== undefined) return known;
  const made = make();
  map.set(key, made);
  return made;
};

const addCluster = (opinions: Opinions, proxy: string, cluster: ReportedCluster, known: ServiceEndpoints): void => {
  const parts = parseClusterName(cluster.cluster);
  const flags = new Map(cluster.unhealthy?.map((host) => [host.address, host.flags]));
  const service = entryOf(opinions, known.key, () => new Map());
  for (const endpoint of known.endpoints) {
    if (endpoint.servicePort !== parts?.port) continue;
    const id = idOfEndpoint(endpoint);
    const opinion = entryOf(
      entryOf(service, id, () => new Map<string, Opinion>()),
      proxy,
      (): Opinion => ({ flags: new Set(), checks: false, fails: false }),
    );
    const words = (flags.get(id.slice(id.indexOf(" ") + 1)) ?? "").split("/").filter(Boolean);
    for (const word of words) opinion.flags.add(word);
    opinion.checks ||= cluster.checksHosts === true;
    opinion.fails ||= failsCheck(words);
  }
};

/** A report of a subset speaks for its whole port: it can only keep endpoints outside it from being called failed. */
const opinionsOf = (views: readonly ReporterView[], model: KnownServices, nowMs: number, only?: string): Opinions => {
  const opinions: Opinions = new Map();
  for (const { proxy, namespace, clusters, voice = `${namespace} ${proxy}` } of views) {
    if (only === undefined && voice === "") continue;
    const visible = model.visibleServices(namespace);
    const told = new Map<string, number>();
    for (const cluster of clusters) {
      if (nowMs - cluster.reportedAtMs > reportedHealthLimits.reportLifeMs) continue;
      if (only === undefined && cluster.checksHosts !== true) continue;
      const parts = parseClusterName(cluster.cluster);
      const key = parts?.direction === "outbound" ? visible.get(parts.hostname)?.key : undefined;
      const known = key !== undefined && (only === undefined || only === key) ? model.endpoints.get(key) : undefined;
      const port = `${key} ${parts?.port}`;
      const times = told.get(port) ?? 0;
      if (!known || times >= reportedHealthLimits.clustersOfPortMax) continue;
      told.set(port, times + 1);
      addCluster(opinions, voice === "" ? `${namespace} ${proxy}` : voice, cluster, known);
    }
  }
  return opinions;
};

const seen = (opinions: ReadonlyMap<string, Opinion>): SeenEndpoint => {
  const all = [...opinions.values()];
  const reasons = new Map<string, number>();
  for (const word of all.flatMap(({ flags }) => [...flags])) reasons.set(word, (reasons.get(word) ?? 0) + 1);
  return {
    reporting: all.length,
    checking: all.filter(({ checks }) => checks).length,
    failing: all.filter(({ checks, fails }) => checks && fails).length,
    unhealthy: all.filter(({ flags }) => flags.size > 0).length,
    reasons: Object.fromEntries([...reasons].sort()),
  };
};

/** Of one service, from all reports that still count. */
export const seenByProxies = (
  views: readonly ReporterView[],
  model: KnownServices,
  service: string,
  nowMs: number,
): SeenService => {
  const opinions = opinionsOf(views, model, nowMs, service).get(service);
  return new Map([...(opinions ?? [])].map(([id, proxies]) => [id, seen(proxies)]));
};

/** What is found by proxies that show whose word it is, from all reports that still count. */
export const checkedPorts = (views: readonly ReporterView[], model: KnownServices, nowMs: number): CheckedPorts => {
  const services = new Map<string, Map<number, { voices: Set<string>; failing: Map<string, Set<string>> }>>();
  for (const [key, endpoints] of opinionsOf(views, model, nowMs)) {
    const ports = entryOf(services, key, () => new Map());
    for (const [id, opinions] of endpoints) {
      const port = entryOf(ports, Number.parseInt(id, 10), () => ({ voices: new Set(), failing: new Map() }));
      for (const [voice, { fails }] of opinions) {
        port.voices.add(voice);
        if (fails) entryOf(port.failing, id, () => new Set<string>()).add(voice);
      }
    }
  }
  return services;
};

/** More than half of those who check; a lone one's word holds. */
export const isFailed = ({ checking, failing }: Pick<SeenEndpoint, "checking" | "failing">): boolean =>
  checking >= reportedHealthLimits.majorityOf ? failing * 2 > checking : checking > 0 && failing === checking;

/** Endpoints found failed by service, without the ports of which too many would be unusable. */
export const reportedHealth = (
  views: readonly ReporterView[],
  model: KnownServices,
  nowMs: number,
): readonly ReportedHealth[] =>
  [...opinionsOf(views, model, nowMs)].flatMap(([key, endpoints]) => {
    const failed = new Set([...endpoints].flatMap(([id, proxies]) => (isFailed(seen(proxies)) ? [id] : [])));
    return withoutSpared(key, failed, model);
  });

/** Those of a service that count as failed; nothing where all are spared. */
export const withoutSpared = (
  key: string,
  failed: ReadonlySet<string>,
  model: Pick<MeshModel, "endpoints">,
): readonly ReportedHealth[] => {
  if (failed.size === 0) return [];
  const kept = spared(model.endpoints.get(key)?.endpoints ?? [], failed);
  return kept.length === 0 ? [] : [{ key, failed: kept }];
};

/** What may be called failed: those that the registry has out anyway count as unusable too. */
const spared = (endpoints: ServiceEndpoints["endpoints"], failed: ReadonlySet<string>): readonly string[] => {
  const ports = Map.groupBy(endpoints, ({ servicePort }) => servicePort);
  return [...ports.values()]
    .flatMap((members) => {
      const all = new Set(members.map(idOfEndpoint));
      const unusable = new Set(
        members.filter((one) => one.health !== "healthy" || failed.has(idOfEndpoint(one))).map(idOfEndpoint),
      );
      const isTooMany = unusable.size * 100 > all.size * reportedHealthLimits.failedPercentMax;
      return isTooMany ? [] : [...all].filter((id) => failed.has(id));
    })
    .sort();
};
