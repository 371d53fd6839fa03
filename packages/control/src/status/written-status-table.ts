/**
 * Which objects' status is to be written, without I/O: what the API server has of each, what is known of it here, and
 * what was tried. It gives a few at a time; the same content is never written twice, so that nobody's own change wakes
 * a writer.
 */
import type { ConfigObject } from "@weft/config/config-object";
import { sameValue } from "@weft/core/equal";
import { type ObjectRead, type Remark, readKubernetesObject } from "../admission/read-object.ts";
import { isOlder, isRecord, type KubernetesObject } from "../registries/kubernetes/kubernetes-object.ts";
import { changesVerdict, type StatusFacts, statusPatch, statusSignature } from "./written-status.ts";
import type { ProxyCount } from "./written-status-proxies.ts";

/** Everything `facts` are made of beside the object itself. */
export interface StatusContext {
  /** The object in force, by `KIND/NAMESPACE/NAME`. */
  readonly inForce: (key: string) => ConfigObject | undefined;
  /** What was found about it beside others. */
  readonly findings: (key: string) => readonly Remark[];
  /** Of the proxies that the object is for. */
  readonly proxies: (object: ConfigObject, inForceSinceMs: number) => ProxyCount;
}

export interface StatusWrite {
  readonly key: string;
  readonly kind: string;
  /** `PATH/status`. */
  readonly path: string;
  /** A merge patch that is refused where the object changed since. */
  readonly patch: object;
  readonly signature: string;
}

export interface StatusTable {
  put(kind: string, path: string, object: KubernetesObject): void;
  remove(kind: string, object: KubernetesObject): void;
  /** All of a kind that are there. */
  listed(kind: string, path: string, objects: readonly KubernetesObject[]): void;
  /** What to write now, what matters most first, and whether something else waits for its time. */
  due(
    context: StatusContext,
    now: { readonly nowMs: number; readonly wallMs: number },
    max: number,
  ): { readonly writes: readonly StatusWrite[]; readonly waiting: boolean };
  /** It was written, and is as the API server says. */
  written(write: StatusWrite, object: unknown, nowMs: number): void;
  /** It is left alone for so long. */
  postpone(write: StatusWrite, nowMs: number, forMs: number): void;
  postponeKind(kind: string, nowMs: number, forMs: number): void;
  readonly size: () => number;
}

/** A count of proxies is written again no sooner than this. */
export const countEveryMs = 10_000;
/** What the server keeps otherwise than it was written is written again no sooner than this. */
export const againEveryMs = 600_000;
export const statusObjectsMax = 50_000;

interface Entry {
  readonly kind: string;
  readonly key: string;
  readonly path: string;
  object: KubernetesObject;
  /** What the last reading was of. */
  content: unknown;
  read: ObjectRead;
  /** When what is in force here was first seen to be the object as the server has it. */
  inForceMs: number | undefined;
  inForce: ConfigObject | undefined;
  written: { readonly signature: string; readonly atMs: number } | undefined;
  waitsToMs: number;
  remarks:
    | { readonly beside: readonly Remark[]; readonly read: ObjectRead; readonly all: readonly Remark[] }
    | undefined;
  /** What nothing was to be written for. */
  quiet: { readonly facts: StatusFacts; readonly object: KubernetesObject } | undefined;
}

export const createStatusTable = (): StatusTable => {
  const entries = new Map<string, Entry>();
  const kindWaits = new Map<string, number>();

  const put = (kind: string, path: string, object: KubernetesObject): void => {
    const key = keyOf(kind, object);
    const known = entries.get(key);
    const content = contentOf(object);
    if (known && known.object.metadata.uid === object.metadata.uid) {
      known.object = object;
      if (sameValue(known.content, content)) return;
      known.content = content;
      known.read = readKubernetesObject({ kind, ...object });
      known.inForceMs = undefined;
      return;
    }
    if (!known && entries.size >= statusObjectsMax) return;
    const { namespace, name } = object.metadata;
    entries.set(key, {
      ...{ kind, key, object, content, read: readKubernetesObject({ kind, ...object }) },
      path: statusPath(path, namespace, name),
      ...{
        inForceMs: undefined,
        inForce: undefined,
        written: undefined,
        waitsToMs: Number.NEGATIVE_INFINITY,
        quiet: undefined,
        remarks: undefined,
      },
    });
  };

  const settle = (entry: Entry, context: StatusContext, nowMs: number): void => {
    const object = context.inForce(entry.key);
    const { read } = entry;
    if (object === entry.inForce && entry.inForceMs !== undefined) return;
    entry.inForce = object;
    const same = object && read.object && sameValue(object.spec, read.object.spec);
    entry.inForceMs = same ? (entry.inForceMs ?? nowMs) : undefined;
  };

  const factsOf = (entry: Entry, context: StatusContext): StatusFacts => {
    const { read, key, inForceMs, inForce, object } = entry;
    const accepted = !read.remarks.some(({ level }) => level === "error");
    const beside = accepted ? context.findings(key) : nothing;
    if (entry.remarks?.beside !== beside || entry.remarks.read !== read)
      entry.remarks = { beside, read, all: [...read.remarks, ...beside].sort(byWeight) };
    return {
      generation: generationOf(object),
      accepted,
      remarks: entry.remarks.all,
      proxies: inForceMs === undefined || !inForce ? undefined : context.proxies(inForce, inForceMs),
    };
  };

  return {
    put,
    remove: (kind, object) => void entries.delete(keyOf(kind, object)),
    listed(kind, path, objects) {
      const present = new Set(objects.map((object) => keyOf(kind, object)));
      for (const entry of entries.values())
        if (entry.kind === kind && !present.has(entry.key)) entries.delete(entry.key);
      for (const object of objects) put(kind, path, object);
    },
    due(context, { nowMs, wallMs }, max) {
      const urgent: StatusWrite[] = [];
      const counts: StatusWrite[] = [];
      let waiting = false;
      for (const entry of entries.values()) {
        settle(entry, context, nowMs);
        if ((kindWaits.get(entry.kind) ?? 0) > nowMs) continue;
        if (entry.waitsToMs > nowMs || urgent.length >= max) {
          waiting = true;
          continue;
        }
        const facts = factsOf(entry, context);
        if (entry.quiet && entry.quiet.object === entry.object && sameFacts(entry.quiet.facts, facts)) continue;
        const signature = statusSignature(facts);
        const { written, object } = entry;
        if (written?.signature === signature && nowMs - written.atMs < againEveryMs) continue;
        const status = statusPatch(object.status, facts, isoSeconds(wallMs));
        if (!status) {
          entry.quiet = { facts, object };
          continue;
        }
        const matters = changesVerdict(object.status, facts);
        if (!matters && (counts.length >= max || (written && nowMs - written.atMs < countEveryMs))) {
          waiting = true;
          continue;
        }
        const patch = { metadata: { resourceVersion: object.metadata.resourceVersion }, status };
        (matters ? urgent : counts).push({ key: entry.key, kind: entry.kind, path: entry.path, patch, signature });
      }
      return { writes: [...urgent, ...counts].slice(0, max), waiting };
    },
    written({ key, kind, signature }, object, nowMs) {
      const entry = entries.get(key);
      if (!entry) return;
      entry.written = { signature, atMs: nowMs };
      if (!isObject(object) || object.metadata.uid !== entry.object.metadata.uid) return;
      // A watch may have been faster than the answer.
      if (isOlder(object.metadata.resourceVersion ?? "", entry.object.metadata.resourceVersion ?? "")) return;
      put(kind, "", object);
    },
    postpone({ key }, nowMs, forMs) {
      const entry = entries.get(key);
      if (entry) entry.waitsToMs = nowMs + forMs;
    },
    postponeKind: (kind, nowMs, forMs) => void kindWaits.set(kind, nowMs + forMs),
    size: () => entries.size,
  };
};

const nothing: readonly Remark[] = [];

const keyOf = (kind: string, { metadata }: KubernetesObject): string =>
  `${kind}/${metadata.namespace ?? ""}/${metadata.name}`;

/** `/apis/G/V/PLURAL` with the object's namespace and name in it. */
const statusPath = (path: string, namespace: string | undefined, name: string): string => {
  const at = path.lastIndexOf("/");
  const within = namespace === undefined ? "" : `/namespaces/${encodeURIComponent(namespace)}`;
  return `${path.slice(0, at)}${within}${path.slice(at)}/${encodeURIComponent(name)}/status`;
};

/** What a reading depends on. Everything else in the metadata changes with every write. */
const contentOf = (object: KubernetesObject): unknown => {
  const { status: _status, metadata, ...body } = object;
  return { body, labels: metadata.labels, annotations: metadata.annotations, generation: generationOf(object) };
};

const generationOf = ({ metadata }: KubernetesObject): number => {
  const { generation } = metadata as { readonly generation?: unknown };
  return typeof generation === "number" ? generation : 0;
};

/** Their remarks are the same lists as long as nothing was read or found anew. */
const sameFacts = (a: StatusFacts, b: StatusFacts): boolean =>
  a.remarks === b.remarks &&
  a.generation === b.generation &&
  a.accepted === b.accepted &&
  a.proxies?.current === b.proxies?.current &&
  a.proxies?.total === b.proxies?.total &&
  a.proxies?.silent === b.proxies?.silent &&
  a.proxies?.left === b.proxies?.left;

const weights = { error: 0, warning: 1, info: 2 } as const;
/** The worst first, then in an order that does not depend on who found it when. */
const byWeight = (a: Remark, b: Remark): number =>
  weights[a.level] - weights[b.level] || compare(a.code, b.code) || compare(a.message, b.message);
const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

const isoSeconds = (wallMs: number): string => new Date(wallMs).toISOString().replace(/\.\d+Z$/, "Z");

const isObject = (value: unknown): value is KubernetesObject => isRecord(value) && isRecord(value.metadata);
