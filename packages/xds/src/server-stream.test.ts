import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { ResourceKind } from "./resource.ts";
import { edsCluster as eds, openStream as open, short, typeUrlOf as url } from "./testing/stream-client.ts";

describe("any stream", () => {
  test("refuses a first request without node.id and takes the node only from the first", () => {
    const client = open("delta");
    client.push({});
    client.delta("cluster", { node: undefined });
    assert.deepEqual(
      client.closed.map((output) => output.kind === "close" && output.status),
      [3],
    );
    const other = open("delta").stream;
    const request = {
      mode: "delta",
      typeUrl: url("cluster"),
      nonce: "",
      error: undefined,
      subscribe: [],
      unsubscribe: [],
    } as const;
    const ask = (id: string) =>
      other.handle({ kind: "request", request: { ...request, initialVersions: new Map(), node: { id } } }, 0);
    assert.deepEqual(ask("one").filter(({ kind }) => kind === "node").length, 1);
    assert.deepEqual(ask("two").filter(({ kind }) => kind === "node").length, 0);
  });

  test("asked before there is a snapshot answers when it comes", () => {
    const client = open("delta");
    assert.deepEqual(client.delta("cluster"), []);
    assert.deepEqual(short(client.push({ cluster: { a: eds("a") } })), ["CDS +a"]);
  });

  test("never uses a nonce twice", () => {
    const client = open("delta", { responseBytesMax: 10 });
    client.push({ cluster: { a: eds("a"), b: eds("b") }, endpoints: {} });
    const sent = [
      ...client.delta("cluster"),
      ...client.delta("endpoints", { subscribe: ["a"] }),
      ...client.delta("endpoints", { subscribe: ["a"] }),
      ...client.push({ cluster: { a: eds("a", { altStatName: "x" }), b: eds("b") } }),
    ];
    assert.ok(sent.length >= 5);
    assert.equal(new Set(sent.map(({ nonce }) => nonce)).size, sent.length);
  });

  test("answers a type it does not know with nothing, and says that named ones are not there", () => {
    const client = open("delta");
    client.push({});
    const answer = client.delta("cluster", { typeUrl: "type.googleapis.com/istio.x.NameTable", subscribe: ["a"] });
    assert.deepEqual(short(answer), ["? -a"]);
    const ecds = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig";
    assert.deepEqual(short(client.delta("cluster", { typeUrl: ecds, subscribe: ["filter"] })), ["?"]);
  });
});

describe("delta", () => {
  test("legacy wildcard: a first request without names is sent everything, later only what changed", () => {
    const client = open("delta");
    client.push({ cluster: { a: eds("a"), b: eds("b") } });
    assert.deepEqual(short(client.delta("cluster")), ["CDS +a +b"]);
    assert.deepEqual(client.ack("cluster"), []);
    assert.deepEqual(short(client.push({ cluster: { a: eds("a"), b: eds("b", { altStatName: "x" }) } })), ["CDS +b"]);
    assert.deepEqual(client.push({ cluster: { a: eds("a"), b: eds("b", { altStatName: "x" }) } }), []);
  });

  test("an empty world is answered too: the client waits for it to go on", () => {
    const client = open("delta");
    client.push({});
    assert.deepEqual(short(client.delta("cluster")), ["CDS"]);
    assert.deepEqual(short(client.delta("listener")), ["LDS"]);
  });

  test("no legacy wildcard for types that are asked for by name", () => {
    const client = open("delta");
    client.push({ route: { r: { name: "r" } } });
    assert.deepEqual(short(client.delta("route")), ["RDS"]);
    assert.deepEqual(client.push({ route: { r: { name: "r", virtualHosts: [] } } }), []);
  });

  test("on-demand clients subscribe to * and leave it in one request: that is not a wildcard", () => {
    const client = open("delta");
    client.push({ cluster: { a: eds("a") } });
    assert.deepEqual(short(client.delta("cluster", { subscribe: ["*"], unsubscribe: ["*"] })), ["CDS"]);
    assert.deepEqual(client.push({ cluster: { a: eds("a", { altStatName: "x" }) } }), []);
    assert.deepEqual(short(client.delta("cluster", { subscribe: ["a"] })), ["CDS +a"]);
  });

  test("names subscribed are always sent, also when the client should have them and with a stale nonce", () => {
    const client = open("delta");
    client.push({ endpoints: { a: { clusterName: "a" } } });
    assert.deepEqual(short(client.delta("endpoints", { subscribe: ["a"] })), ["EDS +a"]);
    assert.deepEqual(short(client.delta("endpoints", { subscribe: ["a"] })), ["EDS +a"]);
    assert.deepEqual(short(client.delta("endpoints", { subscribe: ["a"], nonce: "from long ago" })), ["EDS +a"]);
  });

  test("an unknown name is said to be removed, remembered, and sent when it appears", () => {
    const client = open("delta");
    client.push({});
    assert.deepEqual(short(client.delta("route", { subscribe: ["later"] })), ["RDS -later"]);
    client.ack("route");
    assert.deepEqual(short(client.push({ route: { later: { name: "later" } } })), ["RDS +later"]);
    client.ack("route");
    assert.deepEqual(short(client.push({})), ["RDS -later"]);
  });

  test("unsubscribing is not answered, phantom unsubscribes are ignored, and nothing is sent of it afterwards", () => {
    const client = open("delta");
    client.push({ route: { a: { name: "a" }, b: { name: "b" } } });
    client.delta("route", { subscribe: ["a", "b"] });
    assert.deepEqual(client.delta("route", { unsubscribe: ["a", "never"], nonce: client.nonce("route") }), []);
    assert.deepEqual(short(client.push({ route: { a: { name: "a", x: 1 }, b: { name: "b", x: 1 } } })), ["RDS +b"]);
  });

  test("a response that waits for the reader leaves out what was unsubscribed meanwhile", () => {
    const client = open("delta");
    client.push({ route: { a: { name: "a" }, b: { name: "b" } } });
    client.delta("route", { subscribe: ["a", "b"] });
    client.writable(false);
    client.push({ route: { a: { name: "a", x: 1 }, b: { name: "b", x: 1 } } });
    client.delta("route", { unsubscribe: ["a"] });
    assert.deepEqual(short(client.writable(true)), ["RDS +b"]);
  });

  test("unsubscribing a name that the wildcard covers is answered with the resource or its removal", () => {
    const client = open("delta");
    client.push({ cluster: { a: eds("a") } });
    client.delta("cluster", { subscribe: ["*", "a", "gone"] });
    assert.deepEqual(short(client.delta("cluster", { unsubscribe: ["a"] })), ["CDS +a"]);
    assert.deepEqual(short(client.delta("cluster", { unsubscribe: ["gone"] })), ["CDS -gone"]);
  });

  test("leaving the wildcard keeps the named ones; coming back to it brings the rest", () => {
    const client = open("delta");
    client.push({ cluster: { a: eds("a"), b: eds("b") } });
    client.delta("cluster");
    client.delta("cluster", { subscribe: ["a"] });
    client.delta("cluster", { unsubscribe: ["*"], nonce: client.nonce("cluster") });
    const changed = { a: eds("a", { altStatName: "x" }), b: eds("b", { altStatName: "x" }) };
    assert.deepEqual(short(client.push({ cluster: changed })), ["CDS +a"]);
    assert.deepEqual(short(client.delta("cluster", { subscribe: ["*"] })), ["CDS +b"]);
  });

  test("a response names no resource twice, whatever was asked how often", () => {
    const client = open("delta");
    client.push({ cluster: { a: eds("a") } });
    const [response] = client.delta("cluster", { subscribe: ["a", "*", "a", "a", "x", "x"] });
    assert.deepEqual(short([response!]), ["CDS +a -x"]);
  });

  test("responses stay under the limit, each with its own nonce, removals once", () => {
    const client = open("delta", { responseBytesMax: 400 });
    client.push({ route: Object.fromEntries(["a", "b", "c", "d"].map((name) => [name, { name }])) });
    const parts = client.delta("route", { subscribe: ["a", "b", "c", "d", "none"] });
    assert.equal(parts.length, 2);
    assert.deepEqual(
      parts.flatMap(({ entries }) => entries.map(({ name }) => name)),
      ["a", "b", "c", "d"],
    );
    assert.deepEqual(
      parts.map(({ removed }) => removed.length),
      [0, 1],
    );
  });
});

describe("delta, coming back", () => {
  const world = {
    cluster: { a: eds("a"), b: eds("b") },
    endpoints: { a: { clusterName: "a" }, b: { clusterName: "b" } },
  };

  test("what the client has is not sent again; what is gone is told", () => {
    const client = open("delta");
    client.push(world);
    const have = new Map([
      ["a", client.versionOf("cluster", "a")],
      ["b", "old"],
      ["gone", "1"],
    ]);
    assert.deepEqual(short(client.delta("cluster", { initialVersions: have })), ["CDS +b"]);
    // Nothing the client may still route to is taken away before it asked for its listeners and routes.
    client.ack("cluster");
    client.delta("listener");
    client.ack("listener");
    client.delta("route", { subscribe: ["r"] });
    assert.deepEqual(short(client.ack("route")), ["CDS -gone"]);
  });

  test("a client without listeners and routes is told what is gone after a while", () => {
    const client = open("delta");
    client.push(world);
    client.delta("cluster", { initialVersions: new Map([["gone", "1"]]) });
    assert.equal(client.stream.deadlineMs(), 1000);
    assert.deepEqual(short(client.tick(1000)), ["CDS -gone"]);
  });

  test("endpoints are sent although equal, for the client may have come back with a cluster that warms", () => {
    const client = open("delta");
    client.push(world);
    const have = (kind: ResourceKind) => new Map(["a", "b"].map((name) => [name, client.versionOf(kind, name)]));
    assert.deepEqual(short(client.delta("cluster", { initialVersions: have("cluster") })), ["CDS"]);
    const request = { subscribe: ["a", "b"], initialVersions: have("endpoints") };
    assert.deepEqual(short(client.delta("endpoints", request)), ["EDS +a +b"]);
  });

  test("a client that says it does not do that is spared them, except for clusters sent on this stream", () => {
    const client = open("delta", { skipsHeldEndpoints: () => true });
    client.push(world);
    client.delta("cluster", { initialVersions: new Map([["a", client.versionOf("cluster", "a")]]) });
    const initialVersions = new Map(["a", "b"].map((name) => [name, client.versionOf("endpoints", name)]));
    assert.deepEqual(short(client.delta("endpoints", { subscribe: ["a", "b"], initialVersions })), ["EDS +b"]);
  });

  test("resources it reports without subscribing are not sent, but their removal is", () => {
    const client = open("delta");
    client.push({ route: { a: { name: "a" }, b: { name: "b" } } });
    const initialVersions = new Map([
      ["a", "old"],
      ["b", "old"],
      ["gone", "1"],
    ]);
    assert.deepEqual(short(client.delta("route", { subscribe: ["a"], initialVersions })), ["RDS +a -gone"]);
    assert.deepEqual(short(client.push({ route: { a: { name: "a" }, b: { name: "b", x: 1 } } })), []);
  });

  test("a route that is gone and still asked for is told gone once", () => {
    const client = open("delta");
    client.push({});
    const request = { subscribe: ["r"], initialVersions: new Map([["r", "1"]]) };
    assert.deepEqual(short(client.delta("route", request)), ["RDS -r"]);
    assert.deepEqual(client.ack("route"), []);
    assert.deepEqual(client.push({ listener: { l: { name: "l" } } }), []);
  });
});
