/** Our client machine against our server machine, in memory: whatever happens, both end up with the same resources. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { ClientRequest, ClientResponse } from "./client-dialect.ts";
import { type ClientOutput, createClientStream } from "./client-stream.ts";
import { encodeResource } from "./codec.ts";
import { diff } from "./diff.ts";
import { endpointsOfCluster } from "./references.ts";
import { type ResourceJson, type ResourceKind, type ResourceType, resourceTypeOfUrl } from "./resource.ts";
import { ServerStream } from "./server-stream.ts";
import { createSnapshotBuilder, type Snapshot } from "./snapshot.ts";
import type { StreamOutput, StreamRequest, StreamResponse } from "./stream-messages.ts";

const toServer = (request: ClientRequest): StreamRequest => {
  const { typeUrl, node, responseNonce: nonce } = request;
  const common = { typeUrl, node, nonce, error: request.errorDetail?.message };
  return request.form === "delta"
    ? {
        ...common,
        mode: "delta",
        subscribe: request.subscribe,
        unsubscribe: request.unsubscribe,
        initialVersions: request.initialVersions,
      }
    : { ...common, mode: "sotw", version: request.versionInfo, names: request.resourceNames };
};

const toClient = (response: StreamResponse): ClientResponse => {
  const { typeUrl, nonce, version, removed } = response;
  const delta = response.mode === "delta";
  const resources = response.entries.map((entry) => ({
    name: delta ? entry.name : "",
    version: delta ? entry.version : version,
    typeUrl,
    value: entry.bytes,
  }));
  return delta
    ? { form: "delta", typeUrl, nonce, systemVersion: version, resources, removed }
    : { form: "sotw", typeUrl, nonce, versionInfo: version, resources };
};

interface Running {
  readonly json: object;
  readonly version: string;
}

type Op =
  | { readonly kind: "config"; readonly clusters: readonly (readonly [name: string, revision: number])[] }
  | { readonly kind: "reconnect" }
  | { readonly kind: "deliver"; readonly messages: number };

/** Checks what the client claims at the start of a stream against what runs: no more, no less, nothing else. */
const createClaimCheck = () => {
  const worlds = new Map<string, ReadonlyMap<string, Uint8Array>>();
  const bytesOf = (of: ResourceKind, running: ReadonlyMap<string, Running>) =>
    new Map([...running].map(([name, { json }]) => [name, encodeResource(of, json as never)]));
  return {
    sent: ({ mode, typeUrl, version, entries }: StreamResponse): void => {
      const world = new Map(entries.map(({ name, bytes }) => [name, bytes]));
      if (mode === "sotw") worlds.set(`${typeUrl} ${version}`, world);
    },
    claimed: (request: ClientRequest, runs: ReadonlyMap<ResourceKind, ReadonlyMap<string, Running>>): void => {
      const type = resourceTypeOfUrl(request.typeUrl) as ResourceType;
      const running = runs.get(type.kind) ?? new Map<string, Running>();
      const sorted = <T>(map: Iterable<readonly [string, T]>) => [...map].sort(([a], [b]) => (a < b ? -1 : 1));
      if (request.form === "delta") {
        const versions = [...running].map(([name, { version }]) => [name, version] as const);
        assert.deepEqual(sorted(request.initialVersions), sorted(versions), `claimed of ${type.label}`);
      } else if (type.fullState && request.versionInfo !== "") {
        const world = worlds.get(`${type.typeUrl} ${request.versionInfo}`) ?? [];
        const bytes = (map: Iterable<readonly [string, Uint8Array]>) =>
          sorted(map).map(([name, value]) => [name, Buffer.from(value).toString("hex")]);
        assert.deepEqual(bytes(world), bytes(bytesOf(type.kind, running)), `claimed of ${type.label}`);
      }
    },
  };
};

const createPair = (form: "delta" | "sotw", refuses: (name: string) => boolean) => {
  const client = createClientStream({ form, node: { id: "n" }, random: () => 0 });
  const builder = createSnapshotBuilder({ encode: (kind, json) => encodeResource(kind, json as never) });
  const running = new Map<ResourceKind, Map<string, Running>>([
    ["cluster", new Map()],
    ["endpoints", new Map()],
  ]);
  const wire: (() => void)[] = [];
  const claims = createClaimCheck();
  let server: ServerStream | undefined;
  let snapshot: Snapshot | undefined;
  let epoch = 0;
  let stream = 0;
  let nowMs = 0;

  const fromServer = (outputs: readonly StreamOutput[], own: number): void => {
    for (const output of outputs) {
      if (output.kind === "close") assert.fail(output.message);
      if (output.kind !== "send") continue;
      const response = toClient(output.response);
      claims.sent(output.response);
      wire.push(() => own === stream && fromClient(client.handle({ kind: "response", response }, nowMs)));
    }
  };
  const fromClient = (outputs: readonly ClientOutput[]): void => {
    const own = stream;
    for (const output of outputs) {
      if (output.kind === "send") {
        const request = toServer(output.request);
        wire.push(() => {
          if (own === stream && server) fromServer(server.handle({ kind: "request", request }, nowMs), own);
        });
      }
      if (output.kind === "offer") take(output);
    }
  };
  const take = ({ offer, of, changes }: Extract<ClientOutput, { kind: "offer" }>): void => {
    const rejections = changes.filter(({ name }) => refuses(name)).map(({ name }) => ({ name, reason: "no" }));
    for (const { name, json, version } of changes) {
      if (refuses(name)) continue;
      if (json) running.get(of as ResourceKind)?.set(name, { json, version });
      else running.get(of as ResourceKind)?.delete(name);
    }
    fromClient(client.handle({ kind: "verdict", offer, rejections }, nowMs));
    const wanted = [...(running.get("cluster")?.values() ?? [])].flatMap(
      ({ json }) => endpointsOfCluster(json as ResourceJson["cluster"])?.name ?? [],
    );
    for (const name of running.get("endpoints")?.keys() ?? [])
      if (!wanted.includes(name)) running.get("endpoints")?.delete(name);
    fromClient(client.handle({ kind: "want", of: "endpoints", names: new Set(wanted) }, nowMs));
  };
  const connect = (): void => {
    stream++;
    wire.length = 0;
    client.handle({ kind: "closed" }, nowMs);
    nowMs += 60_000;
    client.handle({ kind: "tick" }, nowMs);
    server = new ServerStream({ mode: form, diff, nextEpoch: () => ++epoch, versionIsExact: () => true });
    if (snapshot) server.handle({ kind: "push", snapshot }, nowMs);
    const first = client.handle({ kind: "opened" }, nowMs);
    for (const output of first) if (output.kind === "send") claims.claimed(output.request, running);
    fromClient(first);
  };
  const configure = (clusters: readonly (readonly [string, number])[]): void => {
    const eds = { type: "EDS", edsClusterConfig: { edsConfig: { ads: {} } } } as const;
    snapshot = builder.build(
      {
        cluster: new Map(clusters.map(([name, n]) => [name, { name, ...eds, connectTimeout: `${n + 1}s` }])),
        endpoints: new Map(
          clusters.map(([name, n]) => [name, { clusterName: name, policy: { overprovisioningFactor: 100 + n } }]),
        ),
      },
      ++epoch,
      snapshot,
    );
    if (server) fromServer(server.handle({ kind: "push", snapshot }, nowMs), stream);
  };
  const deliver = (count: number): void => {
    for (let i = 0; i < count; i++) wire.shift()?.();
  };
  const settle = (): void => {
    for (let rounds = 0; rounds < 20; rounds++) {
      for (let steps = 0; wire.length > 0; steps++) {
        assert.ok(steps < 1_000, "the two never stop talking");
        deliver(1);
      }
      nowMs += 20_000;
      if (server) fromServer(server.handle({ kind: "tick" }, nowMs), stream);
    }
  };
  client.handle({ kind: "want", of: "cluster", names: "*" }, 0);
  return {
    connect,
    configure,
    deliver,
    settle,
    running: (of: ResourceKind) => running.get(of) ?? new Map<string, Running>(),
  };
};

const clusters = fc
  .uniqueArray(fc.tuple(fc.constantFrom("a", "b", "c"), fc.nat({ max: 2 })), { selector: ([name]) => name })
  .map((list) => ({ kind: "config", clusters: list }) as const);
/** More messages than are ever on the way. */
const all = 50;
const ops: fc.Arbitrary<Op[]> = fc.array(
  fc.oneof(
    clusters,
    fc.constant({ kind: "reconnect" } as const),
    fc.oneof(fc.nat({ max: 4 }), fc.constant(all)).map((messages) => ({ kind: "deliver", messages }) as const),
  ),
  { maxLength: 15 },
);

const play = (form: "delta" | "sotw", steps: readonly Op[], refuses: (name: string) => boolean) => {
  const pair = createPair(form, refuses);
  let last: readonly (readonly [string, number])[] = [];
  pair.configure(last);
  pair.connect();
  for (const step of steps) {
    if (step.kind === "config") {
      last = step.clusters;
      pair.configure(last);
    } else if (step.kind === "reconnect") pair.connect();
    else pair.deliver(step.messages);
  }
  pair.settle();
  return { pair, last };
};

for (const form of ["delta", "sotw"] as const) {
  test(`${form}: after any changes and reconnects the client runs what the server has, endpoints included`, () => {
    fc.assert(
      fc.property(ops, (steps) => {
        const { pair, last } = play(form, steps, () => false);
        const running = [...pair.running("cluster")].map(([name, { json }]) => [
          name,
          (json as ResourceJson["cluster"]).connectTimeout,
        ]);
        assert.deepEqual(running.sort(), last.map(([name, n]) => [name, `${n + 1}s`]).sort());
        const endpoints = [...pair.running("endpoints")].map(([name, { json }]) => [
          name,
          (json as ResourceJson["endpoints"]).policy?.overprovisioningFactor,
        ]);
        assert.deepEqual(endpoints.sort(), last.map(([name, n]) => [name, 100 + n]).sort());
      }),
      { numRuns: 200 },
    );
  });

  test(`${form}: a refused cluster holds nothing else up`, () => {
    fc.assert(
      fc.property(ops, (steps) => {
        const { pair, last } = play(form, steps, (name) => name === "b");
        const expected = last.flatMap(([name]) => (name === "b" ? [] : [name])).sort();
        assert.deepEqual([...pair.running("cluster").keys()].sort(), expected);
      }),
      { numRuns: 100 },
    );
  });
}
