/** What one control plane tells the others of its proxies, as a record of the shared store: bounded, the same for equal proxies. */
import type { ProxyKind } from "./object-concerns.ts";

export const proxyRecordLimits = {
  /** Of the whole record; what is larger is not read. */
  bytesMax: 256 * 1024,
  /** Kinds of proxies that are told apart: by namespace and the labels that something selects by. */
  groupsMax: 1_000,
  /** Configurations that are told, the newest. */
  configsMax: 16,
  /** Labels of a group that something selects by. */
  labelsMax: 64,
  /** Of a name or a label in it: what Kubernetes lets a label's key have, and more. */
  textMax: 512,
  /** Proxies that one control plane may have. */
  proxiesMax: 1_000_000,
} as const;

export const proxiesGroup = "proxies";
export const proxyRecordKey = (replica: string): string => `${proxiesGroup}/${replica}`;

/** Proxies that no object tells apart. */
export interface ToldGroup {
  readonly of: ProxyKind;
  readonly total: number;
  /** How many agreed last to which configuration, by its place in `configs`; the others agreed to none of them. */
  readonly at: readonly (readonly [config: number, count: number])[];
}

export interface ToldProxies {
  /** Connected to it. */
  readonly total: number;
  /** Those that acknowledged all they were sent. */
  readonly synced: number;
  /** Absent: which proxies have which configuration is of no use to anybody. */
  readonly kinds?: {
    /** What was in force there, the newest first. */
    readonly configs: readonly string[];
    readonly groups: readonly ToldGroup[];
    /** Proxies of groups beyond the bound. */
    readonly left: number;
  };
}

const formVersion = 1;

/** The record's value. Of too many groups the largest are told, and how many proxies the others have. */
export const formatToldProxies = ({ total, synced, kinds }: ToldProxies): string => {
  const head = { v: formVersion, total, synced };
  if (!kinds) return JSON.stringify(head);
  const { groupsMax, bytesMax } = proxyRecordLimits;
  const formed = kinds.groups
    .map((group) => ({ total: group.total, text: formOf(group), isTold: isShort(group) }))
    .sort((a, b) => b.total - a.total || (a.text < b.text ? -1 : 1));
  const configs = kinds.configs.slice(0, proxyRecordLimits.configsMax);
  const texts: string[] = [];
  let { left } = kinds;
  let bytes = JSON.stringify({ ...head, configs, groups: [], left: Number.MAX_SAFE_INTEGER }).length;
  for (const group of formed) {
    bytes += Buffer.byteLength(group.text) + 1;
    if (group.isTold && texts.length < groupsMax && bytes <= bytesMax) texts.push(group.text);
    else left += group.total;
  }
  const rest = JSON.stringify({ ...head, configs, left });
  return `${rest.slice(0, -1)},"groups":[${texts.join(",")}]}`;
};

/** Others would not read a longer one. */
const isShort = ({ of: { namespace, labels } }: ToldGroup): boolean =>
  [namespace, ...Object.entries(labels).flat()].every(({ length }) => length <= proxyRecordLimits.textMax);

const formOf = ({ of: { kind, namespace, labels }, total, at }: ToldGroup): string => {
  const sorted = Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify([kind, namespace, sorted, total, at]);
};

/** `undefined` for what is no such record, in any part of it: it is another's word. */
export const parseToldProxies = (text: string): ToldProxies | undefined => {
  if (Buffer.byteLength(text) > proxyRecordLimits.bytesMax) return undefined;
  try {
    return readRecord(JSON.parse(text));
  } catch {
    return undefined;
  }
};

const readRecord = (value: unknown): ToldProxies => {
  const { v, total, synced, configs, groups, left } = (value ?? {}) as Readonly<Record<string, unknown>>;
  must(v === formVersion);
  const own = { total: countIn(total), synced: countIn(synced) };
  must(own.synced <= own.total);
  if (configs === undefined) return own;
  const names = listIn(configs, proxyRecordLimits.configsMax).map(textIn);
  const read = listIn(groups, proxyRecordLimits.groupsMax).map((group) => groupIn(group, names.length));
  const kinds = { configs: names, groups: read, left: countIn(left) };
  must(read.reduce((sum, group) => sum + group.total, kinds.left) === own.total);
  return { ...own, kinds };
};

const groupIn = (value: unknown, configs: number): ToldGroup => {
  const [kind, namespace, labels, total, at] = listIn(value, 5);
  const members = listIn(labels, proxyRecordLimits.labelsMax).map((entry): [string, string] => {
    const [key, text] = listIn(entry, 2);
    return [textIn(key), textIn(text)];
  });
  const counts = listIn(at, configs).map((entry): readonly [number, number] => {
    const [config, count] = listIn(entry, 2);
    must(countIn(config) < configs);
    return [countIn(config), countIn(count)];
  });
  const all = countIn(total);
  must(counts.reduce((sum, [, count]) => sum + count, 0) <= all);
  return {
    of: { kind: kindIn(kind), namespace: textIn(namespace), labels: Object.fromEntries(members) },
    total: all,
    at: counts,
  };
};

const kindIn = (value: unknown): ProxyKind["kind"] => {
  if (value === "sidecar" || value === "gateway" || value === "grpc") return value;
  throw unreadable;
};
const textIn = (value: unknown): string => {
  if (typeof value === "string" && value.length <= proxyRecordLimits.textMax) return value;
  throw unreadable;
};
const countIn = (value: unknown): number => {
  if (Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) <= proxyRecordLimits.proxiesMax)
    return value as number;
  throw unreadable;
};
const listIn = (value: unknown, max: number): readonly unknown[] => {
  if (Array.isArray(value) && value.length <= max) return value;
  throw unreadable;
};
const must = (holds: boolean): void => {
  if (!holds) throw unreadable;
};
const unreadable = new Error("no record of proxies");
