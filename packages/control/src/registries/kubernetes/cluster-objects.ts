/** Puts a cluster's objects into its view: read as configuration is, each by itself, so that a bad one harms nobody. */
import type { ConfigObject, ConfigOf } from "@weft/config/config-object";
import type { Finding } from "@weft/config/finding";
import { parseObject } from "@weft/config/parse-config";
import type { Keyed, Source } from "@weft/core/collection";
import { type ConfigItem, configItem } from "../../model/config-item.ts";
import { namespaceFacts, nodeFacts, podFacts } from "./cluster-facts.ts";
import { type ClusterSources, noPods } from "./cluster-view.ts";
import { isRecord, type KubernetesObject } from "./kubernetes-object.ts";
import { readMeshConfigMap } from "./mesh-config-map.ts";
import { holdMs, type InForce, type TableChange } from "./object-table.ts";
import { createPodWaits } from "./pod-waits.ts";
import { idOf, type WatchedKind } from "./watched-kinds.ts";

/** Findings about objects that are kept; further ones are counted. */
export const objectFindingsMax = 1_000;

export interface ClusterObjects {
  /** An object came, changed or, where it is `undefined`, went. */
  apply(kind: WatchedKind, key: string, entry: InForce | undefined, change: TableChange): void;
  /** Whether there is any use in waiting for pods. */
  podsReadable(readable: boolean): void;
  /** Lets go what waited or was held long enough; gives whether something changed. */
  tick(nowMs: number, live: boolean): boolean;
  deadlineMs(): number | undefined;
  /**
   * The last good form of an object of configuration that cannot be read as it is now, as it was read; else the object.
   * It is what a restart has to begin with.
   */
  goodForm(kind: WatchedKind, key: string, object: KubernetesObject): KubernetesObject;
  findings(): readonly Finding[];
  /** Objects that cannot be read, by `KIND/NAMESPACE/NAME`. */
  unreadable(): ReadonlyMap<string, string>;
  readonly podsAwaited: () => number;
  readonly podsMissing: () => ReadonlySet<string>;
  /** Slices of which a list lacked addresses that are held. */
  readonly heldSlices: () => number;
}

export interface ClusterObjectsOptions {
  /** For findings: `kubernetes CLUSTER`. */
  readonly where: string;
  readonly view: ClusterSources;
  /** The mesh's, for settings that a ConfigMap has. */
  readonly rootNamespace: string;
  readonly nowMs: () => number;
}

export const createClusterObjects = (options: ClusterObjectsOptions): ClusterObjects => {
  const { where, view, nowMs } = options;
  const waits = createPodWaits();
  const problems = new Map<string, readonly Finding[]>();
  const last = new Map<string, ConfigObject>();
  /** Objects of configuration as they came when they could be read last. */
  const good = new Map<string, KubernetesObject>();
  /** Items made of the addresses a list lacked, and when they end; in that order. */
  const partial = new Map<string, number>();

  const read = (kind: WatchedKind, key: string, entry: InForce): ConfigObject | undefined => {
    const itemKey = `${kind.name}/${key}`;
    const apiVersion = entry.object.apiVersion ?? (kind.group === "" ? "v1" : `${kind.group}/${kind.versions[0]}`);
    const { object, findings } = parseObject({ ...entry.object, apiVersion, kind: kind.name }, `${where}/${itemKey}`);
    // Kubernetes checks its own kinds itself, and has more fields than are used.
    tell(itemKey, kind.use === "configuration" ? findings : findings.filter(({ level }) => level === "error"));
    return object;
  };
  const tell = (itemKey: string, told: readonly Finding[]): void => {
    if (told.length > 0 && (problems.has(itemKey) || problems.size < objectFindingsMax)) problems.set(itemKey, told);
    else if (told.length === 0) problems.delete(itemKey);
  };
  const into = (source: Source<ConfigItem>, object: ConfigObject): void => {
    const item = configItem(object);
    source.put(item);
    last.set(item.key, object);
  };
  const out = (source: Source<ConfigItem>, itemKey: string): void => {
    source.drop(itemKey);
    problems.delete(itemKey);
    last.delete(itemKey);
    good.delete(itemKey);
  };
  /** Its object has the name of another kind than what it is read from. */
  const mesh = (key: string, entry: InForce | undefined): void => {
    const itemKey = `ConfigMap/${key}`;
    const read = entry && readMeshConfigMap(entry.object, { ...options, file: `${where}/${itemKey}` });
    tell(itemKey, read?.findings ?? []);
    if (read && !read.object) return;
    const before = last.get(itemKey);
    if (before && !read) view.configuration.drop(configItem(before).key);
    last.delete(itemKey);
    good.delete(itemKey);
    if (!entry || !read?.object) return;
    view.configuration.put(configItem(read.object));
    last.set(itemKey, read.object);
    good.set(itemKey, entry.object);
  };
  /** Where each Secret was found: it may come at one place before it goes at another. */
  const secretOf = new Map<string, string>();
  const secret = (kind: WatchedKind, key: string, entry: InForce | undefined): void => {
    const itemKey = `${kind.name}/${key}`;
    // One without keys is nobody's business.
    const used = isRecord(entry?.object.data) && Object.keys(entry.object.data).length > 0 ? entry : undefined;
    if (used) secretOf.set(key, idOf(kind));
    else if (secretOf.get(key) !== idOf(kind)) return;
    const object = used && read(kind, key, used);
    if (object) into(view.configuration, object);
    else if (!used) {
      secretOf.delete(key);
      out(view.configuration, itemKey);
    }
  };
  const mark = (set: Source<Keyed>, key: string, on: boolean): void => {
    if (on) set.put({ key });
    else set.drop(key);
  };
  const dropPartial = (itemKey: string): void => {
    if (!partial.delete(itemKey)) return;
    view.objects.drop(itemKey);
    view.held.drop(itemKey);
    waits.names(itemKey, [], nowMs());
  };
  /** What a list lacks of a slice is a hint, as a slice it lacks is: its addresses are kept as a last resort. */
  const keepLost = (before: ConfigObject | undefined, after: ConfigObject): void => {
    const [old, now] = [sliceIn(before), sliceIn(after)];
    if (!old || !now) return;
    const there = new Set((now.spec.endpoints ?? []).flatMap(({ addresses }) => addresses));
    const lost = (old.spec.endpoints ?? []).filter(({ addresses }) => !addresses.some((one) => there.has(one)));
    if (lost.length === 0) return;
    const slice = { ...old, name: `${old.name}${partialEnding}`, spec: { ...old.spec, endpoints: lost } };
    const item = configItem(slice);
    partial.set(item.key, nowMs() + holdMs);
    view.objects.put(item);
    view.held.put({ key: item.key });
    waits.names(item.key, podsOf(slice), nowMs());
  };
  const platform = (kind: WatchedKind, key: string, entry: InForce | undefined, change: TableChange): void => {
    const itemKey = `${kind.name}/${key}`;
    if (!change.listedOver) dropPartial(`${itemKey}${partialEnding}`);
    if (!entry) {
      out(view.objects, itemKey);
      view.held.drop(itemKey);
      waits.names(itemKey, [], nowMs());
      return;
    }
    mark(view.held, itemKey, entry.held);
    const object = read(kind, key, entry);
    if (!object) return;
    if (change.listedOver && !entry.held) keepLost(last.get(itemKey), object);
    into(view.objects, object);
    waits.names(itemKey, podsOf(object), nowMs());
  };
  const pod = (key: string, entry: InForce | undefined): void => {
    if (entry) {
      view.pods.put(podFacts(entry.object));
      waits.came(key);
    } else if (waits.went(key)) view.pods.drop(key);
  };

  return {
    apply(kind, key, entry, change) {
      if (kind.use === "pod") pod(key, entry);
      else if (kind.use === "node") {
        if (entry) view.nodes.put(nodeFacts(entry.object));
        else view.nodes.drop(key.slice(1));
      } else if (kind.use === "namespace") {
        if (entry) view.namespaces.put(namespaceFacts(entry.object));
        else view.namespaces.drop(key.slice(1));
      } else if (kind.use === "platform") platform(kind, key, entry, change);
      else if (kind.use === "mesh") mesh(key, entry);
      else if (kind.use === "secret") secret(kind, key, entry);
      else if (entry) {
        const object = read(kind, key, entry);
        if (object) {
          into(view.configuration, object);
          good.set(`${kind.name}/${key}`, entry.object);
        }
      } else out(view.configuration, `${kind.name}/${key}`);
      for (const forgotten of waits.takeForgotten()) {
        view.waived.drop(forgotten);
        if (!waits.isPresent(forgotten)) view.pods.drop(forgotten);
      }
    },
    podsReadable: (readable) => mark(view.waived, noPods, !readable),
    tick(now, live) {
      const before = partial.size;
      const due = waits.due(now);
      for (const key of due) view.waived.put({ key });
      if (live) for (const [key, endsMs] of partial) if (endsMs <= now) dropPartial(key);
      return due.length > 0 || partial.size !== before;
    },
    deadlineMs: () => {
      const ends = [waits.deadlineMs(), partial.values().next().value].filter((one) => one !== undefined);
      return ends.length === 0 ? undefined : Math.min(...ends);
    },
    goodForm: (kind, key, object) => good.get(`${kind.name}/${key}`) ?? object,
    findings: () => [...problems.values()].flat(),
    unreadable: () =>
      new Map(
        [...problems].flatMap(([key, findings]) => {
          const error = findings.find(({ level }) => level === "error");
          return error ? [[key, error.message] as const] : [];
        }),
      ),
    podsAwaited: waits.waiting,
    podsMissing: waits.missing,
    heldSlices: () => partial.size,
  };
};

/** No Kubernetes name ends so. */
const partialEnding = "~held";

const sliceIn = (object: ConfigObject | undefined): ConfigOf<"EndpointSlice"> | undefined =>
  object?.kind === "EndpointSlice" ? object : undefined;

/** `NAMESPACE/NAME` of the pods behind its addresses. */
const podsOf = (object: ConfigObject): readonly string[] => {
  const references =
    object.kind === "EndpointSlice"
      ? (object.spec.endpoints ?? []).map(({ targetRef }) => targetRef)
      : object.kind === "Endpoints"
        ? (object.spec.subsets ?? []).flatMap(({ addresses, notReadyAddresses }) =>
            [...(addresses ?? []), ...(notReadyAddresses ?? [])].map(({ targetRef }) => targetRef),
          )
        : [];
  const names = references.flatMap((one) =>
    one?.kind === "Pod" && one.name ? [`${object.namespace}/${one.name}`] : [],
  );
  return [...new Set(names)];
};
