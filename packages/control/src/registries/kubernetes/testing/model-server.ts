/** A collection of a made-up API server: history, pages, bookmarks, and everything that goes wrong with them. */
import type { KubernetesObject } from "../kubernetes-object.ts";
import type { ReflectorInput, ReflectorOutput } from "../reflector.ts";

interface Recorded {
  readonly version: number;
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly object: KubernetesObject;
}

type Request = Extract<ReflectorOutput, { readonly kind: "get" | "watch" }>;

export interface ModelServer {
  put(name: string): void;
  delete(name: string): void;
  /** Forgets all history before now, and every page that was begun. */
  compact(): void;
  /** From now on it is as it was at `remember`. */
  remember(): void;
  goBack(): void;
  /** The request that is open now; a new one takes the place of the former. */
  open(request: Request | undefined): void;
  readonly request: () => Request | undefined;
  /** What the server says next to the open request; `undefined` when it has nothing to say. */
  next(): ReflectorInput | undefined;
  bookmark(): ReflectorInput | undefined;
  readonly objects: () => ReadonlyMap<string, string>;
}

export const createModelServer = ({ streams }: { readonly streams: boolean }): ModelServer => {
  let version = 10;
  let compacted = 0;
  let objects = new Map<string, KubernetesObject>();
  let history: Recorded[] = [];
  let saved = { version, objects: new Map(objects) };
  let request: Request | undefined;
  /** How far the open watch was told; what it is still owed is kept for it, whatever else is forgotten. */
  let cursor = 0;
  /** Initial events still to be told; `undefined` outside streams. */
  let initial: KubernetesObject[] | undefined;
  const record = (type: Recorded["type"], object: KubernetesObject): void => {
    history.push({ version, type, object });
  };
  const made = (name: string): KubernetesObject => ({
    metadata: { name, namespace: "n", uid: name, resourceVersion: String(version) },
    data: `${name} at ${version}`,
  });
  const gone: ReflectorInput = { kind: "failed", failure: { status: 410, reason: "Expired", message: "too old" } };
  const line = (type: string, object: unknown): ReflectorInput => ({
    kind: "line",
    text: JSON.stringify({ type, object }),
  });
  const page = (query: URLSearchParams): ReflectorInput => {
    const [at = String(version), from = "0", since = String(compacted)] = (query.get("continue") ?? "").split(":");
    if (query.has("continue") && Number(since) !== compacted) return gone;
    const limit = Number(query.get("limit") ?? "1000");
    const start = Number(from === "" ? "0" : from);
    const all = [...objects.values()];
    const items = all.slice(start, start + limit);
    const more = start + limit < all.length;
    const resourceVersion = at === "" ? String(version) : at;
    const next = more ? `${resourceVersion}:${start + limit}:${compacted}` : "";
    return { kind: "answer", body: { metadata: { resourceVersion, continue: next }, items } };
  };
  return {
    put(name) {
      version++;
      const known = objects.has(name);
      const object = made(name);
      objects.set(name, object);
      record(known ? "MODIFIED" : "ADDED", object);
    },
    delete(name) {
      const object = objects.get(name);
      if (!object) return;
      version++;
      objects.delete(name);
      record("DELETED", { ...object, metadata: { ...object.metadata, resourceVersion: String(version) } });
    },
    compact() {
      // An event that is owed and forgotten ends the watch, as in the real one.
      compacted = version;
    },
    remember() {
      saved = { version, objects: new Map(objects) };
    },
    goBack() {
      version = saved.version;
      objects = new Map(saved.objects);
      history = [];
      compacted = version;
      request = undefined;
    },
    open(next) {
      request = next;
      initial = undefined;
      if (next?.kind !== "watch") return;
      const query = new URLSearchParams(next.query);
      if (query.has("sendInitialEvents")) initial = [...objects.values()];
      cursor = query.has("resourceVersion") ? Number(query.get("resourceVersion")) : version;
    },
    request: () => request,
    next() {
      if (!request) return undefined;
      const query = new URLSearchParams(request.query);
      if (request.kind === "get") {
        request = undefined;
        return page(query);
      }
      if (initial && !streams) {
        request = undefined;
        return { kind: "failed", failure: { status: 422, reason: "Invalid", message: "no streams" } };
      }
      if (initial) {
        const object = initial.shift();
        if (object) return line("ADDED", object);
        initial = undefined;
        const annotations = { "k8s.io/initial-events-end": "true" };
        return line("BOOKMARK", { metadata: { resourceVersion: String(cursor), annotations } });
      }
      if (cursor < compacted) {
        request = undefined;
        return line("ERROR", { kind: "Status", code: 410, reason: "Expired", message: "too old" });
      }
      const event = history.find((one) => one.version > cursor);
      if (!event) return undefined;
      cursor = event.version;
      return line(event.type, event.object);
    },
    bookmark: () =>
      request?.kind === "watch" && !initial && cursor <= version
        ? line("BOOKMARK", { metadata: { resourceVersion: String(cursor) } })
        : undefined,
    objects: () => new Map([...objects].map(([name, { metadata }]) => [name, `${metadata.resourceVersion}`])),
  };
};
