import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { createResponseWriter } from "./response-writer.ts";
import { openStream, typeUrlOf } from "./testing/stream-client.ts";

const cluster = (name: string, bytes = 100) => ({ name, pad: "x".repeat(bytes) });
const clusters = (count: number, bytes: number) =>
  Object.fromEntries(Array.from({ length: count }, (_, n) => [`c${n}`, cluster(`c${n}`, bytes)]));
const limit = { messageBytesMax: () => 10_000 };
const stateOf = (client: ReturnType<typeof openStream>, kind: "cluster" | "endpoints" = "cluster") => {
  const sync = client.stream.syncz().find(({ typeUrl }) => typeUrl === typeUrlOf(kind));
  return [sync?.status, sync?.error];
};

describe("what is larger than one message to a client may be", () => {
  test("sotw: a full set over the limit is not sent, the last good stays, and the state says so", () => {
    const client = openStream("sotw", limit);
    client.push({ cluster: clusters(2, 1_000) });
    assert.equal(client.sotw("cluster", [], { nonce: "" })[0]?.entries.length, 2);
    client.sotw("cluster", []);
    assert.deepEqual(client.push({ cluster: clusters(20, 1_000) }), []);
    assert.equal(client.closed.length, 0);
    const [status, error] = stateOf(client);
    assert.equal(status, "ERROR");
    assert.match(error ?? "", /^WF3020 the whole set has 2\d{4} bytes, and this client takes 10000 in one message$/);
  });

  test("sotw: other types of the same client go on, and the type too once it fits again", () => {
    const client = openStream("sotw", limit);
    client.push({ cluster: clusters(20, 1_000), endpoints: { e: { clusterName: "e" } } });
    assert.deepEqual(client.sotw("cluster", [], { nonce: "" }), []);
    assert.equal(client.sotw("endpoints", ["e"], { nonce: "" })[0]?.entries.length, 1);
    const [response] = client.push({ cluster: clusters(3, 1_000), endpoints: { e: { clusterName: "e" } } });
    assert.deepEqual([response?.typeUrl, response?.entries.length], [typeUrlOf("cluster"), 3]);
    client.sotw("cluster", []);
    assert.equal(stateOf(client)[0], "SYNCED");
  });

  test("sotw: a client that names few of many clusters has its own set measured", () => {
    const client = openStream("sotw", limit);
    client.push({ cluster: clusters(200, 1_000) });
    assert.equal(client.sotw("cluster", ["c1", "c2"], { nonce: "" })[0]?.entries.length, 2);
  });

  test("it is told once a change, not at every push", () => {
    const client = openStream("sotw", limit);
    client.sotw("cluster", [], { nonce: "" });
    client.push({ cluster: clusters(20, 1_000) });
    const [, before] = stateOf(client);
    client.push({ cluster: clusters(20, 1_000), endpoints: { e: { clusterName: "e" } } });
    assert.equal(stateOf(client)[1], before);
    client.push({ cluster: clusters(21, 1_000) });
    assert.notEqual(stateOf(client)[1], before);
  });

  for (const mode of ["delta", "sotw"] as const) {
    test(`${mode}: one resource over the limit is left out by name, the others go in parts that fit`, () => {
      const client = openStream(mode, { ...limit, responseBytesMax: 9_000 });
      const endpoints = Object.fromEntries(
        Array.from({ length: 30 }, (_, n) => [
          `e${n}`,
          { clusterName: `e${n}`, pad: "x".repeat(n === 7 ? 20_000 : 1_000) },
        ]),
      );
      client.push({ endpoints });
      const names = Object.keys(endpoints);
      const sent =
        mode === "delta"
          ? client.delta("endpoints", { subscribe: names })
          : client.sotw("endpoints", names, { nonce: "" });
      assert.ok(sent.length > 3);
      const write = createResponseWriter();
      for (const response of sent) assert.ok(write(response).length <= 10_005);
      const given = sent.flatMap(({ entries }) => entries.map(({ name }) => name));
      assert.deepEqual([given.length, given.includes("e7")], [29, false]);
      const [status, error] = stateOf(client, "endpoints");
      assert.equal(status, "ERROR");
      assert.match(error ?? "", /^WF3020 e7 has 20\d{3} bytes/);

      if (mode === "delta") client.ack("endpoints");
      else client.sotw("endpoints", names);
      client.push({ endpoints: { ...endpoints, e7: { clusterName: "e7" } } });
      assert.notEqual(stateOf(client, "endpoints")[0], "ERROR");
    });
  }

  test("delta: a set of any size goes out in parts", () => {
    const client = openStream("delta", { ...limit, responseBytesMax: 9_000 });
    client.push({ cluster: clusters(200, 1_000) });
    const sent = client.delta("cluster");
    assert.equal(sent.flatMap(({ entries }) => entries).length, 200);
    assert.equal(stateOf(client)[0], "STALE");
  });

  test("delta: what was too large and is removed or left is no error any more", () => {
    for (const leave of ["removed", "unsubscribed"]) {
      const client = openStream("delta", limit);
      client.push({ endpoints: { big: { clusterName: "big", pad: "x".repeat(20_000) } } });
      client.delta("endpoints", { subscribe: ["big"] });
      assert.equal(stateOf(client, "endpoints")[0], "ERROR");
      if (leave === "removed") client.push({ endpoints: {} });
      else client.delta("endpoints", { unsubscribe: ["big"] });
      assert.notEqual(stateOf(client, "endpoints")[0], "ERROR", leave);
    }
  });

  test("without a limit nothing is held back", () => {
    const client = openStream("sotw");
    client.push({ cluster: clusters(100, 100_000) });
    assert.equal(client.sotw("cluster", [], { nonce: "" })[0]?.entries.length, 100);
  });
});
