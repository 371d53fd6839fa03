import assert from "node:assert/strict";
import { test } from "node:test";
import { createDiffer } from "./diff.ts";
import { resourceTypes, subscribedTypes } from "./resource.ts";
import { ServerStream } from "./server-stream.ts";
import { createSnapshotBuilder, type Snapshot } from "./snapshot.ts";
import type { DeltaRequest, StreamOutput, StreamResponse } from "./stream-messages.ts";

const ackTimeoutMs = 1_000;
const urls = new Map(subscribedTypes.map(({ kind, typeUrl }) => [kind as string, typeUrl]));
const kindOf = (typeUrl: string): string => subscribedTypes.find((type) => type.typeUrl === typeUrl)?.label ?? typeUrl;

interface Host {
  /** Hosts that requests name. */
  readonly of: readonly string[];
  readonly clusters: readonly string[];
  readonly note?: string;
}
interface Mesh {
  readonly clusters: Readonly<Record<string, object>>;
  readonly hosts: Readonly<Record<string, Host>>;
  /** Clusters that all are given. */
  readonly listed?: readonly string[];
  /** Nothing is given on demand. */
  readonly eager?: boolean;
}

const eds = (name: string, more: object = {}) => ({ name, type: "EDS", ...more });
const mesh: Mesh = {
  clusters: { a: eds("a"), b: eds("b"), c: eds("c"), base: { name: "base" } },
  hosts: {
    "t/a": { of: ["a", "a.ns"], clusters: ["a"] },
    "t/b": { of: ["b"], clusters: ["b", "c"] },
  },
};

const open = (claims: Readonly<Record<string, ReadonlyMap<string, string>>> = {}) => {
  const builder = createSnapshotBuilder({ encode: (_, json) => Buffer.from(JSON.stringify(json)) });
  let epoch = 0;
  let now = 0;
  let snapshot: Snapshot | undefined;
  const stream = new ServerStream({ mode: "delta", diff: createDiffer(), nextEpoch: () => ++epoch, ackTimeoutMs });
  const last = new Map<string, string>();
  const told = new Set<string>();
  const show = ({ typeUrl, entries, removed, aliases }: StreamResponse): string => {
    const given = entries.map(({ name }) => `+${name}${aliases ? `(${aliases.get(name)?.join(",") ?? ""})` : ""}`);
    return [kindOf(typeUrl), ...given.sort(), ...removed.map((name) => `-${name}`)].join(" ");
  };
  const collect = (outputs: readonly StreamOutput[]): string[] =>
    outputs.flatMap((output) => {
      if (output.kind !== "send") return [];
      last.set(output.response.typeUrl, output.response.nonce);
      return [show(output.response)];
    });
  const request = (kind: string, over: Partial<DeltaRequest>): string[] => {
    const first = !told.has(kind);
    told.add(kind);
    const base = {
      mode: "delta",
      nonce: "",
      error: undefined,
      node: { id: "n" },
      unsubscribe: [],
      subscribe: [],
    } as const;
    const initialVersions = (first ? claims[kind] : undefined) ?? new Map<string, string>();
    const typeUrl = urls.get(kind) ?? "";
    return collect(stream.handle({ kind: "request", request: { ...base, typeUrl, initialVersions, ...over } }, now));
  };
  const client = {
    stream,
    request,
    ask: (...names: string[]) => request("virtualHost", { subscribe: names.map((name) => `t/${name}`) }),
    leave: (...names: string[]) => request("virtualHost", { unsubscribe: names.map((name) => `t/${name}`) }),
    endpoints: (...names: string[]) => request("endpoints", { subscribe: names }),
    ack: (kind: string) => request(kind, { nonce: last.get(urls.get(kind) ?? "") ?? "" }),
    nack: (kind: string) => request(kind, { nonce: last.get(urls.get(kind) ?? "") ?? "", error: "no" }),
    later: (ms: number) => {
      now += ms;
      return collect(stream.handle({ kind: "tick" }, now));
    },
    push: ({ clusters, hosts, listed = ["base"], eager = false }: Mesh) => {
      const onDemand = {
        hosts: new Map(Object.entries(hosts).map(([name, host]) => [name, { name, ...host } as object])),
        resolve: (asked: string) =>
          Object.entries(hosts).find(([, { of }]) => of.includes(asked.slice("t/".length)))?.[0],
        clustersOf: (name: string) => hosts[name]?.clusters ?? [],
        unlisted: new Set(Object.keys(clusters).filter((name) => !listed.includes(name))),
      };
      const source = { cluster: new Map(Object.entries(clusters)), ...(eager ? {} : { onDemand }) };
      snapshot = builder.build(source, ++epoch, snapshot);
      return collect(stream.handle({ kind: "push", snapshot }, now));
    },
    version: (kind: string, name: string): string =>
      snapshot?.types.get(urls.get(kind) ?? "")?.entries.get(name)?.version ?? "",
    status: (kind: string) => stream.syncz().find(({ typeUrl }) => typeUrl === urls.get(kind))?.status,
  };
  return client;
};

/** A client that has all that it is given without asking. */
const ready = (given: Mesh = mesh) => {
  const client = open();
  client.push(given);
  client.request("cluster", {});
  client.ack("cluster");
  return client;
};
/** It also asked for that host, and has what came of it. */
const using = (host: string, clusters: readonly string[]) => {
  const client = ready();
  client.ask(host);
  client.ack("cluster");
  client.endpoints(...clusters);
  client.ack("endpoints");
  client.ack("virtualHost");
  return client;
};

test("a client of all clusters is given those alone that everybody is given, and lacks nothing", () => {
  const client = open();
  client.push(mesh);
  assert.deepEqual(client.request("cluster", {}), ["CDS +base"]);
  client.ack("cluster");
  assert.equal(client.status("cluster"), "SYNCED");
  const type = resourceTypes[0]?.typeUrl ?? "";
  assert.deepEqual([client.stream.isSubscribed(type, "base"), client.stream.isSubscribed(type, "a")], [true, false]);
});

test("a host that is asked for comes after its clusters are taken and their endpoints sent", () => {
  const client = ready();
  assert.deepEqual(client.ask("b"), ["CDS +b +c"]);
  assert.deepEqual(client.ack("cluster"), []);
  assert.deepEqual(client.endpoints("b"), ["EDS +b"]);
  assert.deepEqual(client.endpoints("c"), ["EDS +c", "VHDS +t/b(t/b)"]);
  assert.equal(client.status("virtualHost"), "STALE");
  client.ack("virtualHost");
  assert.equal(client.status("virtualHost"), "SYNCED");
});

test("endpoints that a client never asks for are waited for no longer than an answer is", () => {
  const client = ready();
  client.ask("a");
  client.ack("cluster");
  assert.equal(client.stream.deadlineMs(), ackTimeoutMs);
  assert.deepEqual(client.later(ackTimeoutMs), ["VHDS +t/a(t/a)"]);
});

test("clusters that are refused keep their host back no longer", () => {
  const client = ready();
  client.ask("a");
  assert.deepEqual(client.nack("cluster"), ["VHDS +t/a(t/a)"]);
});

test("a name that means no host is said to be none at once, and its host comes when there is one", () => {
  const client = ready();
  assert.deepEqual(client.ask("none"), ["VHDS -t/none"]);
  client.ack("virtualHost");
  const hosts = { ...mesh.hosts, "t/new": { of: ["none"], clusters: ["base"] } };
  assert.deepEqual(client.push({ ...mesh, hosts }), ["VHDS +t/new(t/none)"]);
  client.ack("virtualHost");
  assert.deepEqual(client.push(mesh), ["VHDS -t/new -t/none"]);
});

test("another name of a host brings it again with both, and giving up one of them changes nothing", () => {
  const client = using("a", ["a"]);
  assert.deepEqual(client.ask("a.ns"), ["VHDS +t/a(t/a,t/a.ns)"]);
  client.ack("virtualHost");
  assert.deepEqual(client.leave("a"), []);
  assert.deepEqual(client.leave("a.ns"), ["VHDS -t/a"]);
});

test("what changes reaches those that asked for it, and nobody else hears of it", () => {
  const [user, other] = [using("a", ["a"]), ready()];
  const changed: Mesh = {
    clusters: { ...mesh.clusters, a: eds("a", { n: 1 }) },
    hosts: { ...mesh.hosts, "t/a": { of: ["a"], clusters: ["a"], note: "changed" } },
  };
  assert.deepEqual(user.push(changed), ["CDS +a", "EDS +a", "VHDS +t/a(t/a)"]);
  assert.deepEqual(other.push(changed), []);
});

test("a route to one more cluster waits for that cluster, and one to fewer takes it away at the end", () => {
  const client = using("a", ["a"]);
  const hosts = { ...mesh.hosts, "t/a": { of: ["a"], clusters: ["a", "c"] } };
  assert.deepEqual(client.push({ ...mesh, hosts }), ["CDS +c"]);
  client.ack("cluster");
  assert.deepEqual(client.endpoints("c"), ["EDS +c", "VHDS +t/a(t/a)"]);
  client.ack("endpoints");
  client.ack("virtualHost");
  assert.deepEqual(client.push(mesh), ["VHDS +t/a(t/a)"]);
  assert.deepEqual(client.ack("virtualHost"), ["CDS -c"]);
  client.ack("cluster");
  assert.deepEqual(client.ask("b"), ["CDS +b +c", "EDS +c"]);
});

test("clusters that a host no longer given leads to go when it is gone", () => {
  const client = using("b", ["b", "c"]);
  assert.deepEqual(client.leave("b"), ["VHDS -t/b"]);
  assert.deepEqual(client.ack("virtualHost"), ["CDS -b -c"]);
});

test("a cluster that is deleted goes after the host that led to it", () => {
  const client = using("a", ["a"]);
  const { a: _a, ...clusters } = mesh.clusters as Record<string, object>;
  const { "t/a": _host, ...hosts } = mesh.hosts as Record<string, Host>;
  assert.deepEqual(client.push({ clusters, hosts }), ["VHDS -t/a"]);
  assert.deepEqual(client.ack("virtualHost"), ["CDS -a", "EDS -a"]);
});

test("a mesh that grows large takes away what nobody asked for, and one that shrinks gives it back", () => {
  const client = open();
  client.push({ ...mesh, eager: true });
  assert.deepEqual(client.request("cluster", {}), ["CDS +a +b +base +c"]);
  client.ack("cluster");
  assert.deepEqual(client.push(mesh), ["CDS -a -b -c"]);
  client.ack("cluster");
  client.ask("a");
  client.ack("cluster");
  assert.deepEqual(client.push({ ...mesh, eager: true }), ["CDS +a +b +c"]);
});

test("a client that comes back keeps what it asks for again, is sent what differs, and gives up the rest", () => {
  const before = using("a", ["a"]);
  const claims = {
    cluster: new Map([
      ["a", before.version("cluster", "a")],
      ["b", before.version("cluster", "b")],
      ["base", before.version("cluster", "base")],
    ]),
    virtualHost: new Map([["t/a", "other"]]),
  };
  const client = open(claims);
  client.push(mesh);
  assert.deepEqual(client.request("cluster", {}), ["CDS"]);
  client.ack("cluster");
  client.request("listener", {});
  client.ack("listener");
  client.request("route", { subscribe: ["t"] });
  client.ack("route");
  assert.deepEqual(client.ask("a"), ["VHDS +t/a(t/a)"]);
  assert.deepEqual(client.ack("virtualHost"), ["CDS -b"]);
});
