import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import type { ResourceKind } from "./resource.ts";
import { createResponseFrames } from "./response-frames.ts";
import type { StreamResponse } from "./stream-messages.ts";
import { edsCluster as eds, openStream as open, short, typeUrlOf, type World } from "./testing/stream-client.ts";

const route = (name: string, cluster: string) => ({ [name]: { name, virtualHosts: [{ name: cluster }] } });
const cla = (name: string, port = 80) => ({ clusterName: name, policy: { overprovisioningFactor: port } });

/** A delta client that has everything of the world. */
const settled = (world: World) => {
  const client = open("delta");
  client.push(world);
  client.delta("cluster");
  client.ack("cluster");
  client.delta("endpoints", { subscribe: Object.keys(world.endpoints ?? {}) });
  client.ack("endpoints");
  client.delta("listener");
  client.ack("listener");
  client.delta("route", { subscribe: Object.keys(world.route ?? {}) });
  client.ack("route");
  return client;
};

describe("order of a delta push", () => {
  test("endpoints follow a changed cluster even when they did not change", () => {
    const client = settled({ cluster: { a: eds("a") }, endpoints: { a: cla("a") } });
    const sent = client.push({ cluster: { a: eds("a", { altStatName: "x" }) }, endpoints: { a: cla("a") } });
    assert.deepEqual(short(sent), ["CDS +a", "EDS +a"]);
  });

  test("a cluster without endpoints gets empty ones", () => {
    const client = settled({});
    client.push({ cluster: { a: eds("a") } });
    assert.deepEqual(short(client.delta("endpoints", { subscribe: ["a"] })), ["EDS +a"]);
  });

  test("endpoints go out at once while the ACK of their cluster is awaited", () => {
    const client = settled({ cluster: { a: eds("a") }, endpoints: { a: cla("a") } });
    client.push({ cluster: { a: eds("a", { altStatName: "x" }) }, endpoints: { a: cla("a") } });
    const sent = client.push({ cluster: { a: eds("a", { altStatName: "x" }) }, endpoints: { a: cla("a", 81) } });
    assert.deepEqual(short(sent), ["EDS +a"]);
  });

  test("a route waits for the ACK of the cluster it needs, the old cluster for the ACK of the route", () => {
    const client = settled({ cluster: { old: eds("old") }, endpoints: { old: cla("old") }, route: route("r", "old") });
    const sent = client.push({
      cluster: { new: eds("new") },
      endpoints: { new: cla("new") },
      route: route("r", "new"),
    });
    assert.deepEqual(short(sent), ["CDS +new"]);
    assert.deepEqual(short(client.delta("endpoints", { subscribe: ["new"] })), ["EDS +new"]);
    assert.deepEqual(short(client.ack("endpoints")), []);
    assert.deepEqual(short(client.ack("cluster")), ["RDS +r"]);
    assert.deepEqual(short(client.ack("route")), ["CDS -old", "EDS -old"]);
  });

  test("a client that asks for a route itself does not wait", () => {
    const client = settled({ route: route("r", "a") });
    client.push({ cluster: { a: eds("a") }, route: { ...route("r", "a"), ...route("s", "a") } });
    assert.deepEqual(short(client.delta("route", { subscribe: ["s"] })), ["RDS +s"]);
  });

  test("what a client is sent on its own request takes nothing from the changes that wait", () => {
    const client = settled({ route: { ...route("r", "old"), ...route("s", "old") } });
    client.push({ cluster: { a: eds("a") }, route: { ...route("r", "a"), ...route("s", "a"), ...route("t", "a") } });
    assert.deepEqual(short(client.delta("route", { subscribe: ["t"] })), ["RDS +t"]);
    client.ack("route");
    assert.deepEqual(short(client.ack("cluster")), ["RDS +r +s"]);
  });

  test("a route waits for a cluster that itself still waits to be sent", () => {
    const client = settled({ cluster: { a: eds("a") }, route: route("r", "a") });
    for (let i = 0; i < 4; i++) client.push({ cluster: { a: eds("a", { n: i }) }, route: route("r", "a") });
    const sent = client.push({ cluster: { a: eds("a", { n: 9 }), new: eds("new") }, route: route("r", "new") });
    assert.deepEqual(short(sent), []);
    assert.deepEqual(short(client.ack("cluster")), ["CDS +a +new"]);
    assert.deepEqual(short(client.ack("cluster")), ["RDS +r"]);
  });

  test("a removal held back is not sent of what the client left meanwhile", () => {
    const client = settled({
      cluster: { a: eds("a"), b: eds("b") },
      endpoints: { a: cla("a"), b: cla("b") },
      route: route("r", "a"),
    });
    client.push({ cluster: {}, endpoints: {}, route: route("r", "c") });
    client.delta("endpoints", { unsubscribe: ["a"] });
    assert.deepEqual(short(client.ack("route")), ["CDS -a -b", "EDS -b"]);
  });

  test("a client that never answers is not waited for without end", () => {
    const client = settled({ cluster: { old: eds("old") }, route: route("r", "old") });
    client.push({ cluster: { new: eds("new") }, route: route("r", "new") });
    assert.equal(client.stream.deadlineMs(), 1000);
    assert.deepEqual(short(client.tick(999)), []);
    assert.deepEqual(short(client.tick(1)), ["RDS +r", "CDS -old"]);
    assert.equal(client.stream.deadlineMs(), undefined);
  });

  test("while the client refuses the new route, the cluster of the old one stays", () => {
    const client = settled({ cluster: { old: eds("old") }, route: route("r", "old") });
    client.push({ cluster: {}, route: route("r", "bad") });
    assert.deepEqual(short(client.nack("route", "r: bad")), []);
    assert.deepEqual(short(client.tick(60_000)), []);
    assert.equal(client.stream.deadlineMs(), undefined);
    assert.deepEqual(short(client.push({ cluster: {}, route: route("r", "good") })), ["RDS +r"]);
    assert.deepEqual(short(client.ack("route")), ["CDS -old"]);
  });

  test("a cluster that comes back before its removal went out is sent again and not removed", () => {
    const client = settled({ cluster: { a: eds("a") }, endpoints: { a: cla("a") }, route: route("r", "a") });
    client.push({ cluster: {}, route: route("r", "b") });
    const sent = client.push({ cluster: { a: eds("a") }, endpoints: { a: cla("a") }, route: route("r", "b") });
    assert.deepEqual(short(sent), ["CDS +a", "EDS +a"]);
    assert.deepEqual(short(client.ack("route")), []);
  });
});

describe("slow and refusing clients", () => {
  test("what a reader missed comes as one change, whatever happened meanwhile", () => {
    const client = settled({ endpoints: { a: cla("a"), b: cla("b") } });
    client.writable(false);
    for (let port = 81; port < 200; port++) client.push({ endpoints: { a: cla("a", port), b: cla("b") } });
    const sent = client.writable(true);
    assert.deepEqual(short(sent), ["EDS +a"]);
    assert.deepEqual(sent[0]?.entries[0]?.json, cla("a", 199));
  });

  test("what went there and back meanwhile is not sent at all", () => {
    const client = settled({ endpoints: { a: cla("a") } });
    client.writable(false);
    client.push({ endpoints: { a: cla("a", 81) } });
    client.push({ endpoints: { a: cla("a") } });
    assert.deepEqual(client.writable(true), []);
  });

  test("a delta client that does not answer has a bounded number of responses under way", () => {
    const client = settled({ endpoints: { a: cla("a") } });
    const sent = Array.from({ length: 50 }, (_, i) => client.push({ endpoints: { a: cla("a", i + 100) } })).flat();
    assert.equal(sent.length, 4);
    assert.deepEqual(
      client.ack("endpoints").flatMap(({ entries }) => entries.map(({ json }) => json)),
      [cla("a", 149)],
    );
  });

  test("the bytes a client refused are not sent to it again, the correction is at once", () => {
    const client = settled({ cluster: { a: eds("a") } });
    const bad = { cluster: { a: eds("a", { bad: 1 }) } };
    client.push(bad);
    assert.deepEqual(client.nack("cluster", "Error adding/updating cluster(s) a: bad"), []);
    assert.deepEqual(client.push(bad), []);
    assert.equal(client.status("cluster")?.status, "NACK");
    assert.match(client.status("cluster")?.error ?? "", /bad/);
    assert.deepEqual(short(client.push({ cluster: { a: eds("a", { good: 1 }) } })), ["CDS +a", "EDS +a"].slice(0, 1));
    client.ack("cluster");
    assert.equal(client.status("cluster")?.status, "SYNCED");
  });

  test("an ACK of others does not hide that a named resource is still refused", () => {
    const client = settled({ cluster: { a: eds("a"), ab: eds("ab") } });
    client.push({ cluster: { a: eds("a"), ab: eds("ab", { bad: 1 }) } });
    client.nack("cluster", "ab: no such field");
    client.push({ cluster: { a: eds("a", { fine: 1 }), ab: eds("ab", { bad: 1 }) } });
    client.ack("cluster");
    assert.equal(client.status("cluster")?.status, "NACK");
    client.push({ cluster: { a: eds("a", { fine: 1 }) } });
    client.ack("cluster");
    assert.equal(client.status("cluster")?.status, "SYNCED");
  });

  test("a client that goes on refusing is sent changes more slowly, its own requests not", () => {
    const client = settled({ cluster: { a: eds("a") } });
    for (let i = 0; i < 3; i++) {
      client.tick(10_000);
      client.push({ cluster: { a: eds("a", { bad: i }) } });
      client.nack("cluster");
    }
    assert.deepEqual(client.push({ cluster: { a: eds("a", { bad: 9 }) } }), []);
    assert.deepEqual(short(client.delta("cluster", { subscribe: ["a"] })), ["CDS +a"]);
    client.push({ cluster: { a: eds("a", { bad: 10 }) } });
    assert.deepEqual(short(client.tick(5_000)), ["CDS +a"]);
  });
});

test("one change to two thousand streams is encoded once", () => {
  const frames = createResponseFrames();
  const entry = { typeUrl: typeUrlOf("endpoints"), name: "a", version: "1", json: {}, endpointsName: undefined };
  const shared = { ...entry, bytes: new Uint8Array([8, 1]) };
  const buffers = new Set<Uint8Array>();
  for (let stream = 0; stream < 2000; stream++) {
    const base = { mode: "delta", typeUrl: shared.typeUrl, nonce: "7-EDS", version: "7", removed: [] } as const;
    buffers.add(frames.frame({ ...base, entries: [shared] }));
  }
  assert.deepEqual([frames.encoded, buffers.size], [1, 1]);
  frames.frame({ mode: "delta", typeUrl: shared.typeUrl, nonce: "7-EDS", version: "7", removed: [], entries: [] });
  assert.equal(frames.encoded, 2);
});

/** What a well-behaved delta client makes of the responses. */
const apply = (held: Map<string, Map<string, string>>, responses: readonly StreamResponse[]): void => {
  for (const { typeUrl, entries, removed } of responses) {
    const type = held.get(typeUrl) ?? new Map<string, string>();
    held.set(typeUrl, type);
    assert.equal(new Set([...entries.map(({ name }) => name), ...removed]).size, entries.length + removed.length);
    for (const { name, version } of entries) type.set(name, version);
    for (const name of removed) type.delete(name);
  }
};

test("after any history a delta client that answers holds exactly what it is subscribed to", () => {
  const names = ["a", "b", "c"];
  const step = fc.oneof(
    fc.record({ do: fc.constant("push" as const), present: fc.subarray(names), content: fc.nat(3) }),
    fc.record({
      do: fc.constantFrom("subscribe" as const, "unsubscribe" as const),
      kind: fc.constantFrom("endpoints", "cluster"),
      name: fc.constantFrom(...names, "*"),
    }),
    fc.record({ do: fc.constant("writable" as const), writable: fc.boolean() }),
    fc.record({ do: fc.constantFrom("ack" as const, "nack" as const), kind: fc.constantFrom("endpoints", "cluster") }),
    fc.record({ do: fc.constant("tick" as const) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const client = open("delta");
      const held = new Map<string, Map<string, string>>();
      const wanted = new Map<string, Set<string>>([
        ["endpoints", new Set()],
        ["cluster", new Set()],
      ]);
      const world = (present: readonly string[], content: number): World => ({
        cluster: Object.fromEntries(present.map((name) => [name, { name, content }])),
        endpoints: Object.fromEntries(present.map((name) => [name, cla(name, content)])),
      });
      let target = world([], 0);
      apply(held, client.push(target));
      for (const kind of ["cluster", "endpoints"] as const) apply(held, client.delta(kind, { subscribe: ["x"] }));
      for (const move of steps) {
        if (move.do === "push") {
          target = world(move.present, move.content);
          apply(held, client.push(target));
        } else if (move.do === "writable") apply(held, client.writable(move.writable));
        else if (move.do === "tick") apply(held, client.tick(500));
        else if ("kind" in move && !("name" in move)) apply(held, client[move.do](move.kind as ResourceKind));
        else {
          const kind = move.kind as ResourceKind;
          const names = wanted.get(kind) as Set<string>;
          const type = held.get(typeUrlOf(kind));
          if (move.do === "subscribe") names.add(move.name);
          else names.delete(move.name);
          // A client forgets what it leaves, before the server's answer can come.
          if (!names.has("*")) for (const name of [...(type?.keys() ?? [])]) if (!names.has(name)) type?.delete(name);
          apply(held, client.delta(kind, { [move.do]: [move.name] }));
        }
      }
      apply(held, client.writable(true));
      for (let i = 0; i < 4; i++) {
        for (const kind of ["cluster", "endpoints"] as const) apply(held, client.ack(kind));
        apply(held, client.tick(20_000));
      }
      for (const kind of ["cluster", "endpoints"] as const) {
        const names = wanted.get(kind) as Set<string>;
        const expected = Object.keys(target[kind] ?? {}).filter((name) => names.has("*") || names.has(name));
        const got = held.get(typeUrlOf(kind)) ?? new Map();
        assert.deepEqual([...got.keys()].sort(), expected.sort(), kind);
        for (const [name, version] of got) assert.equal(version, client.versionOf(kind, name));
        assert.ok(["SYNCED", "NACK"].includes(client.status(kind)?.status ?? ""));
      }
    }),
    { numRuns: 500 },
  );
});
