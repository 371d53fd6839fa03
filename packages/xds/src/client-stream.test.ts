import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { ClientRequest, ClientResponse } from "./client-dialect.ts";
import { type ClientOutput, type ClientStream, createClientStream } from "./client-stream.ts";
import { encodeResource } from "./codec.ts";
import type { DeltaResponse, DiscoveryResponse, EncodedResource } from "./discovery.ts";
import { type ResourceKind, resourceType } from "./resource.ts";

const node = { id: "sidecar~127.0.0.1~web.default~default.svc.cluster.local" };
const url = (kind: ResourceKind): string => resourceType(kind).typeUrl;

const cluster = (name: string, version = "1"): EncodedResource => ({
  name,
  version,
  typeUrl: url("cluster"),
  value: encodeResource("cluster", { name }),
});
const endpoints = (name: string, version = "1"): EncodedResource => ({
  name,
  version,
  typeUrl: url("endpoints"),
  value: encodeResource("endpoints", { clusterName: name }),
});
const broken = (kind: ResourceKind, name: string): EncodedResource => ({
  name,
  version: "1",
  typeUrl: url(kind),
  value: new Uint8Array([0x0a, 0x7f]),
});

const delta = (kind: ResourceKind, nonce: string, rest: Partial<DeltaResponse> = {}): ClientResponse => ({
  form: "delta",
  typeUrl: url(kind),
  systemVersion: "",
  resources: [],
  removed: [],
  nonce,
  ...rest,
});
/** As on the wire: resources of a state-of-the-world response have no name beside them. */
const sotw = (kind: ResourceKind, nonce: string, rest: Partial<DiscoveryResponse> = {}): ClientResponse => ({
  form: "sotw",
  typeUrl: url(kind),
  versionInfo: `v-${nonce}`,
  nonce,
  ...rest,
  resources: (rest.resources ?? []).map((resource) => ({ ...resource, name: "" })),
});

const open = (
  form: "delta" | "sotw",
  wants: readonly (readonly [ResourceKind, "*" | readonly string[]])[],
): { stream: ClientStream; first: readonly ClientRequest[] } => {
  const stream = createClientStream({ form, node, random: () => 0.5 });
  for (const [of, names] of wants) want(stream, of, names);
  assert.deepEqual(stream.handle({ kind: "tick" }, 0), [{ kind: "open" }]);
  return { stream, first: requests(stream.handle({ kind: "opened" }, 0)) };
};
const want = (stream: ClientStream, of: ResourceKind, names: "*" | readonly string[], nowMs = 0) =>
  requests(stream.handle({ kind: "want", of, names: names === "*" ? "*" : new Set(names) }, nowMs));
const requests = (outputs: readonly ClientOutput[]): readonly ClientRequest[] =>
  outputs.flatMap((output) => (output.kind === "send" ? [output.request] : []));

/** Feeds a response and judges its offer at once. */
const take = (
  stream: ClientStream,
  response: ClientResponse,
  rejections: readonly { name: string; reason: string }[] = [],
) => {
  const [offer] = stream.handle({ kind: "response", response }, 1);
  assert.ok(offer?.kind === "offer");
  const sent = requests(stream.handle({ kind: "verdict", offer: offer.offer, rejections }, 1));
  return { changes: offer.changes, sent };
};
const reopen = (stream: ClientStream, nowMs: number): readonly ClientRequest[] => {
  stream.handle({ kind: "closed" }, nowMs);
  const at = stream.deadlineMs() ?? nowMs;
  assert.deepEqual(stream.handle({ kind: "tick" }, at).at(0), { kind: "open" });
  return requests(stream.handle({ kind: "opened" }, at));
};

test("the first request names the node, later ones do not", () => {
  const { stream, first } = open("delta", [
    ["cluster", "*"],
    ["listener", "*"],
  ]);
  assert.deepEqual(
    first.map(({ node, typeUrl }) => [typeUrl, node?.id]),
    [
      [url("cluster"), node.id],
      [url("listener"), undefined],
    ],
  );
  assert.equal(take(stream, delta("cluster", "1")).sent[0]?.node, undefined);
  assert.equal(reopen(stream, 10)[0]?.node?.id, node.id);
});

test("clusters are asked for before endpoints even when endpoints were wanted first", () => {
  const { first } = open("delta", [
    ["endpoints", ["static-eds"]],
    ["listener", "*"],
    ["cluster", "*"],
  ]);
  assert.deepEqual(
    first.map(({ typeUrl }) => typeUrl),
    [url("cluster"), url("endpoints"), url("listener")],
  );
});

test("a delta response is acknowledged with its nonce", () => {
  const { stream } = open("delta", [["cluster", "*"]]);
  const { changes, sent } = take(stream, delta("cluster", "n1", { resources: [cluster("a")] }));
  assert.deepEqual(changes, [{ name: "a", version: "1", json: { name: "a" } }]);
  assert.equal(sent.length, 1);
  assert.equal(sent[0]?.responseNonce, "n1");
  assert.equal(sent[0]?.errorDetail, undefined);
});

for (const form of ["delta", "sotw"] as const) {
  const make = form === "delta" ? delta : sotw;

  test(`${form}: good resources of a partly bad response are offered and the bad one is named in the NACK`, () => {
    const { stream } = open(form, [["cluster", "*"]]);
    const bad = form === "delta" ? broken("cluster", "bad") : { ...cluster("bad"), typeUrl: url("listener") };
    const response = make("cluster", "n1", { resources: [cluster("good"), bad, cluster("refused")] } as never);
    const { changes, sent } = take(stream, response, [{ name: "refused", reason: "type: not supported" }]);
    assert.deepEqual(
      changes.map(({ name }) => name),
      ["good", "refused"],
    );
    assert.match(sent[0]?.errorDetail?.message ?? "", /refused: type: not supported/);
    if (form === "delta") assert.match(sent[0]?.errorDetail?.message ?? "", /bad: /);
    assert.equal(sent[0]?.responseNonce, "n1");
    assert.deepEqual([...stream.held("cluster").keys()], ["good"]);
  });

  test(`${form}: a resource that comes twice in one response is refused, the others are taken`, () => {
    const { stream } = open(form, [["cluster", "*"]]);
    const response = make("cluster", "n", { resources: [cluster("a"), cluster("b"), cluster("a")] } as never);
    const { changes, sent } = take(stream, response);
    assert.deepEqual(
      changes.map(({ name }) => name),
      ["b"],
    );
    assert.match(sent[0]?.errorDetail?.message ?? "", /a: comes twice/);
  });

  test(`${form}: a response of a type never asked for is not answered, which would subscribe to it`, () => {
    const { stream } = open(form, [["cluster", "*"]]);
    assert.deepEqual(stream.handle({ kind: "response", response: make("secret", "n", {}) }, 1), []);
    const unknown = { ...make("cluster", "n", {}), typeUrl: "type.googleapis.com/x.Y" };
    assert.deepEqual(stream.handle({ kind: "response", response: unknown }, 1), []);
  });

  test(`${form}: a late response is acknowledged although nobody wants its resources any more`, () => {
    const { stream } = open(form, [["endpoints", ["a"]]]);
    want(stream, "endpoints", []);
    const { changes, sent } = take(stream, make("endpoints", "n7", { resources: [endpoints("a")] } as never));
    assert.deepEqual(changes, []);
    assert.equal(sent[0]?.responseNonce, "n7");
    assert.equal(sent[0]?.errorDetail, undefined);
    const [next] = want(stream, "endpoints", ["b"]);
    if (next?.form === "sotw") assert.equal(next.responseNonce, "n7");
  });

  test(`${form}: routes that were removed are not asked for after a reconnect`, () => {
    const { stream } = open(form, [["route", ["80", "9080"]]]);
    want(stream, "route", ["80"]);
    const [request] = reopen(stream, 5);
    assert.deepEqual(request?.form === "delta" ? request.subscribe : request?.resourceNames, ["80"]);
  });

  test(`${form}: clusters are asked for again on reconnect while endpoints are still awaited`, () => {
    const { stream } = open(form, [["cluster", "*"]]);
    take(stream, make("cluster", "1", { resources: [cluster("a")] } as never));
    want(stream, "endpoints", ["a"]);
    assert.deepEqual(
      reopen(stream, 5).map(({ typeUrl }) => typeUrl),
      [url("cluster"), url("endpoints")],
    );
  });

  test(`${form}: a verdict on an offer of an earlier stream is dropped`, () => {
    const { stream } = open(form, [["cluster", "*"]]);
    const response = make("cluster", "n1", { resources: [cluster("a")] } as never);
    const [offer] = stream.handle({ kind: "response", response }, 1);
    assert.ok(offer?.kind === "offer");
    reopen(stream, 2);
    assert.deepEqual(stream.handle({ kind: "verdict", offer: offer.offer, rejections: [] }, 3), []);
  });

  test(`${form}: the wait for a resource starts when the stream is connected, and ends as missing`, () => {
    const stream = createClientStream({ form, node, random: () => 0, resourceTimeoutMs: 15_000 });
    want(stream, "route", ["80"]);
    stream.handle({ kind: "tick" }, 0);
    assert.deepEqual(stream.handle({ kind: "tick" }, 60_000), []);
    stream.handle({ kind: "opened" }, 60_000);
    assert.equal(stream.deadlineMs(), 75_000);
    assert.deepEqual(stream.handle({ kind: "tick" }, 74_999), []);
    assert.deepEqual(stream.handle({ kind: "tick" }, 75_000), [{ kind: "missing", of: "route", name: "80" }]);
    assert.equal(stream.deadlineMs(), undefined);
  });
}

test("delta: subscriptions change by difference, and unsubscribed names are no longer claimed", () => {
  const { stream } = open("delta", [["endpoints", ["a", "b"]]]);
  take(stream, delta("endpoints", "1", { resources: [endpoints("a"), endpoints("b")] }));
  const [request] = want(stream, "endpoints", ["b", "c"]);
  assert.ok(request?.form === "delta");
  assert.deepEqual([request.subscribe, request.unsubscribe], [["c"], ["a"]]);
  assert.equal(request.responseNonce, "");
  const [again] = reopen(stream, 5);
  assert.ok(again?.form === "delta");
  assert.deepEqual(again.subscribe, ["b", "c"]);
  assert.deepEqual([...again.initialVersions], [["b", "1"]]);
});

test("delta: on reconnect everything accepted is claimed by version, nothing rejected is", () => {
  const { stream } = open("delta", [["cluster", "*"]]);
  take(stream, delta("cluster", "1", { resources: [cluster("a", "v1"), cluster("b", "v1")] }), [
    { name: "b", reason: "no" },
  ]);
  take(stream, delta("cluster", "2", { resources: [cluster("a", "v2")] }), [{ name: "a", reason: "no" }]);
  const [request] = reopen(stream, 5);
  assert.ok(request?.form === "delta");
  assert.deepEqual([...request.initialVersions], [["a", "v1"]]);
  assert.deepEqual(request.subscribe, []);
  assert.equal(request.responseNonce, "");
});

test("delta: resources deleted while disconnected are removed when the server says so", () => {
  const stream = createClientStream({ form: "delta", node, random: () => 0.5 });
  want(stream, "cluster", "*");
  stream.handle({ kind: "resume", of: "cluster", versions: new Map([["gone", "1"]]) }, 0);
  stream.handle({ kind: "tick" }, 0);
  const [first] = requests(stream.handle({ kind: "opened" }, 0));
  assert.deepEqual(first?.form === "delta" && [...first.initialVersions], [["gone", "1"]]);
  const { changes } = take(stream, delta("cluster", "1", { removed: ["gone", "never-known"] }));
  assert.deepEqual(
    changes.map(({ name, json }) => [name, json]),
    [
      ["gone", undefined],
      ["never-known", undefined],
    ],
  );
  assert.equal(stream.held("cluster").size, 0);
});

test("delta: endpoints that a response leaves out stay held", () => {
  const { stream } = open("delta", [["endpoints", ["a", "b"]]]);
  take(stream, delta("endpoints", "1", { resources: [endpoints("a"), endpoints("b")] }));
  const { changes } = take(stream, delta("endpoints", "2", { resources: [endpoints("a", "2")] }));
  assert.deepEqual(
    changes.map(({ name }) => name),
    ["a"],
  );
  assert.deepEqual(
    [...stream.held("endpoints")],
    [
      ["a", "2"],
      ["b", "1"],
    ],
  );
});

test("delta: a resource named otherwise inside than outside is refused", () => {
  const { stream } = open("delta", [["cluster", "*"]]);
  const { sent } = take(stream, delta("cluster", "1", { resources: [{ ...cluster("a"), name: "b" }] }));
  assert.match(sent[0]?.errorDetail?.message ?? "", /b: is named a inside/);
});

test("delta: a heartbeat without a body changes nothing", () => {
  const { stream } = open("delta", [["cluster", "*"]]);
  take(stream, delta("cluster", "1", { resources: [cluster("a")] }));
  const { changes } = take(stream, delta("cluster", "2", { resources: [{ ...cluster("a"), value: undefined }] }));
  assert.deepEqual(changes, []);
  assert.deepEqual([...stream.held("cluster")], [["a", "1"]]);
});

test("sotw: listeners and clusters absent from a full set are removed, routes and endpoints are not", () => {
  const { stream } = open("sotw", [
    ["cluster", "*"],
    ["endpoints", ["a", "b"]],
  ]);
  take(stream, sotw("cluster", "1", { resources: [cluster("a"), cluster("b")] }));
  take(stream, sotw("endpoints", "2", { resources: [endpoints("a"), endpoints("b")] }));
  const removed = take(stream, sotw("cluster", "3", { resources: [cluster("a")] }));
  assert.deepEqual(
    removed.changes.map(({ name, json }) => [name, json === undefined]),
    [
      ["a", false],
      ["b", true],
    ],
  );
  assert.deepEqual(take(stream, sotw("endpoints", "4", { resources: [] })).changes, []);
  assert.equal(stream.held("endpoints").size, 2);
});

test("sotw: an unreadable cluster removes none, for it could be any of them", () => {
  const { stream } = open("sotw", [["cluster", "*"]]);
  take(stream, sotw("cluster", "1", { resources: [cluster("a"), cluster("b")] }));
  const { changes, sent } = take(stream, sotw("cluster", "2", { resources: [cluster("a"), broken("cluster", "b")] }));
  assert.deepEqual(
    changes.map(({ name }) => name),
    ["a"],
  );
  assert.ok(sent[0]?.errorDetail);
});

test("sotw: a NACK repeats the last accepted version, an ACK carries the new one", () => {
  const { stream } = open("sotw", [["cluster", "*"]]);
  const [ack] = take(stream, sotw("cluster", "1", { resources: [cluster("a")] })).sent;
  assert.ok(ack?.form === "sotw");
  assert.deepEqual([ack.versionInfo, ack.responseNonce], ["v-1", "1"]);
  const [nack] = take(stream, sotw("cluster", "2", { resources: [cluster("a")] }), [{ name: "a", reason: "no" }]).sent;
  assert.ok(nack?.form === "sotw");
  assert.deepEqual([nack.versionInfo, nack.responseNonce, nack.errorDetail?.code], ["v-1", "2", 3]);
});

test("sotw: who accepted part of a response comes back without a version, until one is accepted whole", () => {
  const { stream } = open("sotw", [["cluster", "*"]]);
  const versionOnReturn = (nowMs: number): string | undefined => {
    const [request] = reopen(stream, nowMs);
    return request?.form === "sotw" ? request.versionInfo : undefined;
  };
  take(stream, sotw("cluster", "1"));
  const both = { resources: [cluster("a"), cluster("b")] };
  const refuse = (...names: string[]) => names.map((name) => ({ name, reason: "no" }));
  take(stream, sotw("cluster", "2", both), refuse("a", "b"));
  assert.equal(versionOnReturn(10), "v-1", "nothing of it was accepted");
  take(stream, sotw("cluster", "3", both), refuse("b"));
  assert.equal(versionOnReturn(100_000), "");
  take(stream, sotw("cluster", "4", both), refuse("a", "b"));
  assert.equal(versionOnReturn(200_000), "");
  take(stream, sotw("cluster", "5", both));
  assert.equal(versionOnReturn(300_000), "v-5");
});

test("sotw: names wanted while a response is judged go out with its answer, never before", () => {
  const { stream } = open("sotw", [["endpoints", ["a"]]]);
  const [offer] = stream.handle({ kind: "response", response: sotw("endpoints", "1") }, 1);
  assert.ok(offer?.kind === "offer");
  assert.deepEqual(want(stream, "endpoints", ["a", "b"]), []);
  const sent = requests(stream.handle({ kind: "verdict", offer: offer.offer, rejections: [] }, 2));
  assert.equal(sent.length, 1);
  assert.ok(sent[0]?.form === "sotw");
  assert.deepEqual(sent[0].resourceNames, ["a", "b"]);
});

test("sotw: of two responses on the way only the newest nonce is answered", () => {
  const { stream } = open("sotw", [["cluster", "*"]]);
  const offers = ["1", "2"].map((nonce) => stream.handle({ kind: "response", response: sotw("cluster", nonce) }, 1)[0]);
  const answers = offers.map((offer) => {
    assert.ok(offer?.kind === "offer");
    return requests(stream.handle({ kind: "verdict", offer: offer.offer, rejections: [] }, 2));
  });
  assert.deepEqual(
    answers.map((sent) => sent.map(({ responseNonce }) => responseNonce)),
    [[], ["2"]],
  );
});

test("the wait before a reconnect doubles with jitter and is short again only after a response", () => {
  const stream = createClientStream({ form: "delta", node, random: () => 1, backoff: { baseMs: 100, maxMs: 1_000 } });
  want(stream, "cluster", "*");
  const waits: number[] = [];
  const cycle = (nowMs: number, respond: boolean): void => {
    stream.handle({ kind: "tick" }, nowMs);
    stream.handle({ kind: "opened" }, nowMs);
    if (respond) stream.handle({ kind: "response", response: delta("cluster", "n") }, nowMs);
    stream.handle({ kind: "closed" }, nowMs);
    waits.push((stream.deadlineMs() ?? 0) - nowMs);
  };
  for (let i = 0; i < 6; i++) cycle(i * 10_000, false);
  cycle(100_000, true);
  assert.deepEqual(waits, [100, 200, 400, 800, 1_000, 1_000, 100]);
});

test("whatever is wanted in whatever order, what the server was told equals what is wanted", () => {
  const names = fc.uniqueArray(fc.constantFrom("a", "b", "c", "d"));
  const step = fc.oneof(
    names.map((wanted) => ({ kind: "want" as const, wanted })),
    fc.constant({ kind: "response" as const }),
    fc.constant({ kind: "reconnect" as const }),
  );
  fc.assert(
    fc.property(fc.constantFrom("delta", "sotw"), fc.array(step, { maxLength: 20 }), (form, steps) => {
      const { stream } = open(form as "delta", [["cluster", "*"]]);
      const told = new Set<string>();
      let wanted: readonly string[] = [];
      let nonce = 0;
      let asked = false;
      const hear = (sent: readonly ClientRequest[]): void => {
        for (const request of sent.filter(({ typeUrl }) => typeUrl === url("endpoints"))) {
          asked = true;
          if (request.form === "sotw") told.clear();
          for (const name of request.form === "sotw" ? request.resourceNames : request.subscribe) told.add(name);
          if (request.form === "delta") for (const name of request.unsubscribe) told.delete(name);
        }
      };
      for (const one of steps) {
        if (one.kind === "want") {
          wanted = one.wanted;
          hear(want(stream, "endpoints", wanted));
        } else if (one.kind === "reconnect") {
          told.clear();
          asked = false;
          hear(reopen(stream, 100));
        } else if (asked) {
          const make = form === "delta" ? delta : sotw;
          const resources = wanted.map((name) => endpoints(name, String(nonce)));
          hear(take(stream, make("endpoints", String(++nonce), { resources } as never)).sent);
        }
        assert.deepEqual([...told].sort(), [...wanted].sort());
      }
    }),
  );
});
