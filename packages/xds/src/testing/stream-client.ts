/** A server stream with a client's hands, for tests: a virtual clock, and each call gives the responses it caused. */
import { createDiffer } from "../diff.ts";
import { type ResourceKind, resourceType, resourceTypeOfUrl } from "../resource.ts";
import { ServerStream, type ServerStreamOptions } from "../server-stream.ts";
import { createSnapshotBuilder, type Snapshot, type SnapshotSource } from "../snapshot.ts";
import type { DeltaRequest, SotwRequest, StreamMode, StreamOutput, StreamResponse } from "../stream-messages.ts";

const node = { id: "sidecar~10.0.0.1~web.default~default.svc.cluster.local" };
export const typeUrlOf = (kind: ResourceKind): string => resourceType(kind).typeUrl;
export const edsCluster = (name: string, extra: object = {}) => ({ name, type: "EDS", ...extra });

export type World = { readonly [K in ResourceKind]?: Readonly<Record<string, object>> };

/** A stream with a client's hands: each call gives the responses it caused, short. */
export const openStream = (
  mode: StreamMode,
  options: Partial<
    Pick<ServerStreamOptions, "responseBytesMax" | "messageBytesMax" | "skipsHeldEndpoints" | "versionIsExact">
  > = {},
) => {
  const builder = createSnapshotBuilder({ encode: (_, json) => Buffer.from(JSON.stringify(json)) });
  let epoch = 0;
  let now = 0;
  let snapshot: Snapshot | undefined;
  const stream = new ServerStream({
    mode,
    diff: createDiffer(),
    nextEpoch: () => ++epoch,
    ackTimeoutMs: 1000,
    ...options,
  });
  const last = new Map<string, string>();
  const closed: StreamOutput[] = [];
  const collect = (outputs: readonly StreamOutput[]): StreamResponse[] => {
    const sent = outputs.flatMap((output) => (output.kind === "send" ? [output.response] : []));
    for (const { typeUrl, nonce } of sent) last.set(typeUrl, nonce);
    closed.push(...outputs.filter(({ kind }) => kind === "close"));
    return sent;
  };
  const world = (resources: World): SnapshotSource =>
    Object.fromEntries(Object.entries(resources).map(([kind, byName]) => [kind, new Map(Object.entries(byName))]));
  const client = {
    stream,
    closed,
    versionOf: (kind: ResourceKind, name: string) =>
      snapshot?.types.get(typeUrlOf(kind))?.entries.get(name)?.version ?? "",
    typeVersion: (kind: ResourceKind) => snapshot?.types.get(typeUrlOf(kind))?.version() ?? "",
    nonce: (kind: ResourceKind) => last.get(typeUrlOf(kind)) ?? "",
    push(resources: World): StreamResponse[] {
      snapshot = builder.build(world(resources), ++epoch, snapshot);
      return collect(stream.handle({ kind: "push", snapshot }, now));
    },
    delta(kind: ResourceKind, over: Partial<DeltaRequest> = {}): StreamResponse[] {
      const request: DeltaRequest = {
        mode: "delta",
        typeUrl: typeUrlOf(kind),
        nonce: "",
        error: undefined,
        node,
        subscribe: [],
        unsubscribe: [],
        initialVersions: new Map(),
        ...over,
      };
      return collect(stream.handle({ kind: "request", request }, now));
    },
    sotw(kind: ResourceKind, names: readonly string[], over: Partial<SotwRequest> = {}): StreamResponse[] {
      const base = { mode: "sotw", typeUrl: typeUrlOf(kind), error: undefined, node, version: "", names } as const;
      const request: SotwRequest = { ...base, nonce: last.get(typeUrlOf(kind)) ?? "", ...over };
      return collect(stream.handle({ kind: "request", request }, now));
    },
    ack: (kind: ResourceKind): StreamResponse[] => client.delta(kind, { nonce: last.get(typeUrlOf(kind)) ?? "" }),
    nack: (kind: ResourceKind, error = "no"): StreamResponse[] =>
      client.delta(kind, { nonce: last.get(typeUrlOf(kind)) ?? "", error }),
    writable: (writable: boolean): StreamResponse[] => collect(stream.handle({ kind: "writable", writable }, now)),
    tick(ms: number): StreamResponse[] {
      now += ms;
      return collect(stream.handle({ kind: "tick" }, now));
    },
    status: (kind: ResourceKind) => stream.syncz().find(({ typeUrl }) => typeUrl === typeUrlOf(kind)),
  };
  return client;
};

/** `CDS +a +b -c` for each response. */
export const short = (responses: readonly StreamResponse[]): string[] =>
  responses.map(({ typeUrl, entries, removed }) =>
    [
      resourceTypeOfUrl(typeUrl)?.label ?? "?",
      ...entries.map(({ name }) => `+${name}`),
      ...removed.map((name) => `-${name}`),
    ].join(" "),
  );
