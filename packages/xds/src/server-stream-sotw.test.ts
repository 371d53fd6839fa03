import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { edsCluster as eds, openStream as open, short } from "./testing/stream-client.ts";

const cla = (name: string, port = 80) => ({ clusterName: name, policy: { overprovisioningFactor: port } });

describe("state of the world", () => {
  test("clusters and listeners come as the full set at every change, endpoints as what changed", () => {
    const client = open("sotw");
    client.push({ cluster: { a: eds("a"), b: eds("b") }, endpoints: { a: cla("a"), b: cla("b") } });
    assert.deepEqual(short(client.sotw("cluster", [])), ["CDS +a +b"]);
    assert.deepEqual(client.sotw("cluster", []), [], "a pure ACK is not answered");
    assert.deepEqual(short(client.sotw("endpoints", ["a", "b"])), ["EDS +a +b"]);
    client.sotw("endpoints", ["a", "b"]);
    const sent = client.push({ cluster: { a: eds("a"), b: eds("b") }, endpoints: { a: cla("a", 81), b: cla("b") } });
    assert.deepEqual(short(sent), ["EDS +a"]);
    client.sotw("endpoints", ["a", "b"]);
    const changed = {
      cluster: { a: eds("a"), b: eds("b", { altStatName: "x" }) },
      endpoints: { a: cla("a", 81), b: cla("b") },
    };
    assert.deepEqual(short(client.push(changed)), ["CDS +a +b", "EDS +b"]);
  });

  test("an empty set is sent: it deletes all", () => {
    const client = open("sotw");
    client.push({ listener: { l: { name: "l" } } });
    client.sotw("listener", []);
    client.sotw("listener", []);
    const sent = client.push({});
    assert.deepEqual(short(sent), ["LDS"]);
  });

  test("a stale nonce is not answered; the newest list replaces the last", () => {
    const client = open("sotw");
    client.push({ endpoints: { a: cla("a"), b: cla("b"), c: cla("c") } });
    client.sotw("endpoints", ["a"]);
    assert.deepEqual(client.sotw("endpoints", ["a", "b"], { nonce: "stale" }), []);
    assert.deepEqual(short(client.sotw("endpoints", ["b", "c"])), ["EDS +b +c"]);
    client.sotw("endpoints", ["b", "c"]);
    const sent = client.push({ endpoints: { a: cla("a", 81), b: cla("b", 81), c: cla("c") } });
    assert.deepEqual(short(sent), ["EDS +b"]);
  });

  test("names that are added are sent even if nothing changed, alone", () => {
    const client = open("sotw");
    client.push({ endpoints: { a: cla("a"), b: cla("b") } });
    client.sotw("endpoints", ["a"]);
    assert.deepEqual(short(client.sotw("endpoints", ["a", "b"])), ["EDS +b"]);
    assert.deepEqual(client.sotw("endpoints", ["a"]), [], "fewer names are no question");
  });

  test("a new stream's first request is answered although it carries a nonce and a version of an earlier one", () => {
    const client = open("sotw");
    client.push({ endpoints: { a: cla("a") } });
    assert.deepEqual(short(client.sotw("endpoints", ["a"], { nonce: "12-EDS", version: "abc" })), ["EDS +a"]);
  });

  test("a client that comes back with the version it should have is answered: it may hold more than that", () => {
    const client = open("sotw");
    client.push({ cluster: { a: eds("a") } });
    assert.deepEqual(short(client.sotw("cluster", [], { version: client.typeVersion("cluster") })), ["CDS +a"]);
  });

  test("a wildcard client whose versions are exact is not answered when it has ours, but is kept current", () => {
    const client = open("sotw", { versionIsExact: () => true });
    client.push({ cluster: { a: eds("a") } });
    assert.deepEqual(client.sotw("cluster", [], { version: client.typeVersion("cluster") }), []);
    assert.equal(client.status("cluster")?.status, "SYNCED");
    assert.deepEqual(short(client.push({ cluster: { a: eds("a"), b: eds("b") } })), ["CDS +a +b"]);
  });

  test("a request with an empty nonce after a response is a question again", () => {
    const client = open("sotw");
    client.push({ endpoints: { a: cla("a") } });
    client.sotw("endpoints", ["a"]);
    assert.deepEqual(short(client.sotw("endpoints", ["a"], { nonce: "" })), ["EDS +a"]);
  });

  test("after names were given an empty list is no wildcard but the end of all", () => {
    const client = open("sotw");
    client.push({ cluster: { a: eds("a"), b: eds("b") } });
    client.sotw("cluster", ["a"]);
    client.sotw("cluster", []);
    assert.deepEqual(client.push({ cluster: { a: eds("a", { altStatName: "x" }) } }), []);
  });

  test("an explicit wildcard beside a name, then the name alone", () => {
    const client = open("sotw");
    client.push({ cluster: { a: eds("a"), b: eds("b") } });
    assert.deepEqual(short(client.sotw("cluster", ["*", "a"])), ["CDS +a +b"]);
    client.sotw("cluster", ["a"]);
    assert.deepEqual(client.push({ cluster: { a: eds("a"), b: eds("b", { altStatName: "x" }) } }), []);
    assert.deepEqual(short(client.push({ cluster: { a: eds("a", { altStatName: "x" }), b: eds("b") } })), ["CDS +a"]);
  });

  test("endpoints asked for before or without any cluster are answered", () => {
    const client = open("sotw");
    client.push({ endpoints: { a: cla("a") } });
    assert.deepEqual(short(client.sotw("endpoints", ["a", "static"])), ["EDS +a"]);
    const lonely = open("sotw");
    lonely.push({});
    assert.deepEqual(short(lonely.sotw("endpoints", ["static"])), ["EDS"]);
  });

  test("a subscription stays for as long as it is answered by nothing", () => {
    const client = open("sotw");
    client.push({});
    client.sotw("endpoints", ["later"]);
    client.sotw("endpoints", ["later"]);
    assert.deepEqual(short(client.push({ endpoints: { later: cla("later") } })), ["EDS +later"]);
  });

  test("one response at a time: while it is not answered changes wait and come together", () => {
    const client = open("sotw");
    client.push({ endpoints: { a: cla("a") } });
    client.sotw("endpoints", ["a"]);
    assert.deepEqual(client.push({ endpoints: { a: cla("a", 81) } }), []);
    assert.deepEqual(client.push({ endpoints: { a: cla("a", 82) } }), []);
    const sent = client.sotw("endpoints", ["a"]);
    assert.deepEqual(
      sent.map(({ entries }) => entries[0]?.json),
      [cla("a", 82)],
    );
    client.push({ endpoints: { a: cla("a", 83) } });
    assert.deepEqual(short(client.tick(1000)), ["EDS +a"], "nor for ever");
  });

  test("a removed cluster stays in the set until the routes that used it are gone", () => {
    const client = open("sotw");
    client.push({ cluster: { a: eds("a"), b: eds("b") }, route: { r: { name: "r" } } });
    client.sotw("cluster", []);
    client.sotw("cluster", []);
    client.sotw("route", ["r"]);
    client.sotw("route", ["r"]);
    const sent = client.push({ cluster: { b: eds("b", { altStatName: "x" }) }, route: { r: { name: "r", x: 1 } } });
    assert.deepEqual(short(sent), ["CDS +b +a", "RDS +r"]);
    client.sotw("cluster", []);
    assert.deepEqual(short(client.sotw("route", ["r"])), ["CDS +b"]);
  });

  test("a refused response is recorded and not repeated", () => {
    const client = open("sotw");
    client.push({ listener: { l: { name: "l" } } });
    client.sotw("listener", []);
    assert.deepEqual(client.sotw("listener", [], { error: "l: no" }), []);
    assert.deepEqual(client.push({ listener: { l: { name: "l" } }, route: {} }), []);
    assert.deepEqual([client.status("listener")?.status, client.status("listener")?.ackedVersion], ["NACK", ""]);
    assert.deepEqual(short(client.push({ listener: { l: { name: "l", fixed: 1 } } })), ["LDS +l"]);
    client.sotw("listener", []);
    assert.equal(client.status("listener")?.status, "SYNCED");
  });

  test("a returning client with equal versions gets its endpoints, whose cluster may be warming", () => {
    const client = open("sotw");
    client.push({ cluster: { a: eds("a") }, endpoints: { a: cla("a") } });
    client.sotw("cluster", [], { version: client.typeVersion("cluster") });
    assert.deepEqual(short(client.sotw("endpoints", ["a"], { version: client.typeVersion("endpoints") })), ["EDS +a"]);
  });

  test("nothing is sent of a type nobody asked for", () => {
    const client = open("sotw");
    client.push({ cluster: { a: eds("a") } });
    client.sotw("cluster", []);
    assert.deepEqual(client.push({ cluster: { a: eds("a") }, listener: { l: { name: "l" } } }), []);
    assert.equal(client.status("listener"), undefined);
  });
});
