/** Which localities a client's traffic goes to, by DestinationRule: shares, or priorities by nearness and by labels. */
import type { LoadBalancerSettings } from "@weft/config/kinds/destination-rule";
import type { MeshSettings } from "../model/mesh-settings.ts";
import type { EndpointRecord } from "../model/service.ts";
import type { ProxyFacts } from "./proxy-facts.ts";
import { localitySetting, type PolicyBlocks, zoneSetting } from "./traffic-policy.ts";

type LocalityLb = NonNullable<LoadBalancerSettings["localityLbSetting"]>;
type Place = Pick<ProxyFacts, "locality" | "labels">;

export interface LocalityRules {
  readonly setting: LocalityLb;
  /** Nearness makes priorities; only with outlier detection, without which failover could not be noticed. */
  readonly failover: boolean;
  readonly byLabels: boolean;
  /** Zones of one region are equally near: the proxy keeps to its own by itself. */
  readonly byRegion: boolean;
}

/** `undefined` when the client's place does not matter. */
export const localityRules = (blocks: PolicyBlocks, mesh: MeshSettings): LocalityRules | undefined => {
  const setting = localitySetting(blocks, mesh);
  if (!setting) return undefined;
  const byLabels = (setting.failoverPriority?.length ?? 0) > 0;
  const failover = blocks.outlierDetection !== undefined;
  if (!failover && !setting.distribute?.length) return undefined;
  const zones = zoneSetting(blocks, mesh);
  const byRegion = zones !== undefined && zones.enabled !== false;
  return { setting, failover, byLabels, byRegion };
};

/** What of the client those rules read. */
export const placeOf = (proxy: Place, { setting }: LocalityRules): string =>
  [proxy.locality, ...(setting.failoverPriority ?? []).map((entry) => labelOf(proxy, entry.split("=")[0] ?? ""))].join(
    " ",
  );

const topology: ReadonlyMap<string, number> = new Map([
  ["topology.kubernetes.io/region", 0],
  ["topology.kubernetes.io/zone", 1],
  ["topology.istio.io/subzone", 2],
]);

/** A label of a client or an endpoint; those of topology come from the locality where nobody wrote them. */
const labelOf = ({ labels, locality }: Place, name: string): string => {
  const written = labels[name];
  if (written !== undefined) return written;
  const part = topology.get(name);
  return part === undefined ? "" : (locality.split("/")[part] ?? "");
};

export interface PlacedLocality {
  readonly locality: string;
  readonly priority: number;
  readonly weight: number;
  readonly members: readonly EndpointRecord[];
}

/** Behind every priority that nearness and labels make. */
const heldPriority = 1_000_000;

/** Endpoints by locality and priority, in canonical order; priorities have no gaps. */
export const placeLocalities = (
  records: readonly EndpointRecord[],
  proxy: Place,
  rules: LocalityRules | undefined,
): readonly PlacedLocality[] => {
  const shares = rules?.setting.distribute?.length ? sharesFrom(rules.setting, proxy.locality) : undefined;
  const prioritised = rules?.failover && !shares && (proxy.locality !== "" || rules.byLabels);
  const groups = new Map<string, { locality: string; priority: number; members: EndpointRecord[] }>();
  for (const record of records) {
    const near = prioritised ? priorityOf(record, proxy, rules) : 0;
    const priority = record.held ? heldPriority + near : near;
    const key = `${priority} ${record.locality}`;
    const group = groups.get(key);
    if (group) group.members.push(record);
    else groups.set(key, { locality: record.locality, priority, members: [record] });
  }
  const levels = [...new Set([...groups.values()].map(({ priority }) => priority))].sort((a, b) => a - b);
  const places = [...groups.values()]
    .map(({ locality, priority, members }) => ({
      locality,
      members,
      priority: levels.indexOf(priority),
      weight: members.reduce((sum, { weight }) => sum + Math.max(1, weight), 0),
    }))
    .sort((a, b) => a.priority - b.priority || (a.locality < b.locality ? -1 : 1));
  return shares ? distributed(places, shares) : places;
};

const covers = (pattern: string, locality: string): boolean => {
  const [want, have] = [pattern.split("/"), locality.split("/")];
  return want.every((part, i) => part === "*" || part === "" || part === have[i]);
};

/** The shares of the first `from` that covers the client; `undefined` when none does. */
const sharesFrom = (setting: LocalityLb, locality: string): Readonly<Record<string, number>> | undefined =>
  locality === "" ? undefined : setting.distribute?.find(({ from }) => covers(from, locality))?.to;

/** The narrowest share that covers the locality; localities not named have none. */
const patternOf = (shares: Readonly<Record<string, number>>, locality: string): string | undefined => {
  let best: string | undefined;
  for (const pattern of Object.keys(shares)) {
    if (covers(pattern, locality) && pattern.length >= (best?.length ?? 0)) best = pattern;
  }
  return best;
};

/** A share of several localities is split by what they weigh; what has no share is left out. */
const distributed = (
  places: readonly PlacedLocality[],
  shares: Readonly<Record<string, number>>,
): readonly PlacedLocality[] => {
  const totals = new Map<string, number>();
  const patterns = places.map(({ locality, priority, weight }) => {
    const pattern = patternOf(shares, locality);
    const total = `${priority} ${pattern}`;
    if (pattern !== undefined) totals.set(total, (totals.get(total) ?? 0) + weight);
    return pattern;
  });
  return places.flatMap((place, i) => {
    const pattern = patterns[i];
    const share = pattern === undefined ? 0 : (shares[pattern] ?? 0);
    if (pattern === undefined || share === 0) return [];
    const total = totals.get(`${place.priority} ${pattern}`) ?? 1;
    return [{ ...place, weight: Math.ceil((share * place.weight) / total) }];
  });
};

const priorityOf = (record: EndpointRecord, proxy: Place, rules: LocalityRules): number => {
  const { setting } = rules;
  const wanted = setting.failoverPriority ?? [];
  // With an order of labels, regions count only where failover between them is written too.
  const places = proxy.locality !== "" && (!rules.byLabels || (setting.failover?.length ?? 0) > 0);
  const sameRegion = rules.byRegion && record.locality.split("/")[0] === proxy.locality.split("/")[0];
  const near = places && !sameRegion ? nearness(record.locality, proxy.locality, setting) : 0;
  const differs = wanted.findIndex((entry) => {
    const [key = "", value] = entry.split("=", 2);
    return labelOf(record, key) !== (value ?? labelOf(proxy, key));
  });
  return (differs < 0 ? 0 : wanted.length - differs) * 5 + near;
};

/** 0 same subzone, 1 same zone, 2 same region, 3 another region, 4 a region that is not the failover target. */
const nearness = (locality: string, from: string, setting: LocalityLb): number => {
  const [a, b] = [locality.split("/"), from.split("/")];
  if (a[0] !== b[0]) {
    const target = setting.failover?.find((rule) => rule.from === b[0])?.to;
    return target === undefined || target === a[0] ? 3 : 4;
  }
  if ((a[1] ?? "") !== (b[1] ?? "")) return 2;
  return (a[2] ?? "") === (b[2] ?? "") ? 0 : 1;
};
