import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { DeltaRequest } from "./stream-messages.ts";
import { openStream, short, typeUrlOf } from "./testing/stream-client.ts";

const raw = (client: ReturnType<typeof openStream>, typeUrl: string, over: Partial<DeltaRequest>) => {
  const base = { mode: "delta", nonce: "", error: undefined, node: { id: "n" }, unsubscribe: [] } as const;
  const request: DeltaRequest = { ...base, typeUrl, subscribe: [], initialVersions: new Map(), ...over };
  return client.stream
    .handle({ kind: "request", request }, 0)
    .flatMap((output) => (output.kind === "send" ? [output.response] : []));
};

describe("names and answers as clients mean them", () => {
  test("names of filter configurations are never said to be removed, others are", () => {
    const client = openStream("delta");
    client.push({});
    const extension = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig";
    const [answer] = raw(client, extension, { subscribe: ["wasm"], initialVersions: new Map([["lua", "1"]]) });
    assert.deepEqual([answer?.entries, answer?.removed], [[], []]);
    const [other] = raw(client, typeUrlOf("route"), { subscribe: ["80"] });
    assert.deepEqual(other?.removed, ["80"]);
  });

  test("names of a federated authority and of virtual hosts are keys, whatever is in them", () => {
    const names = [
      "xdstp://authority/envoy.config.endpoint.v3.ClusterLoadAssignment/web?a=1&b=2",
      "xdstp://authority/envoy.config.endpoint.v3.ClusterLoadAssignment/web",
      "80/web.default.svc:80",
      "80",
    ];
    for (const mode of ["delta", "sotw"] as const) {
      const client = openStream(mode);
      client.push({ endpoints: Object.fromEntries(names.map((clusterName) => [clusterName, { clusterName }])) });
      const [first = "", second = ""] = names;
      const sent =
        mode === "delta" ? client.delta("endpoints", { subscribe: [first] }) : client.sotw("endpoints", [first]);
      assert.deepEqual(short(sent), [`EDS +${first}`]);
      const more =
        mode === "delta"
          ? client.delta("endpoints", { subscribe: [second, "80/web.default.svc:80"] })
          : client.sotw("endpoints", [first, second, "80/web.default.svc:80"]);
      assert.deepEqual(more[0]?.entries.map(({ name }) => name).sort(), [second, "80/web.default.svc:80"].sort());
    }
  });

  test("an answer without an error is an ACK, whatever version stands in it", () => {
    const client = openStream("sotw");
    client.push({ cluster: { a: { name: "a" } } });
    client.sotw("cluster", [], { nonce: "" });
    assert.deepEqual(client.sotw("cluster", [], { version: "an-older-one" }), []);
    assert.equal(client.status("cluster")?.status, "SYNCED");
  });

  test("an error beside a nonce that is not the last is no NACK of the last", () => {
    const client = openStream("sotw");
    client.push({ cluster: { a: { name: "a" } } });
    client.sotw("cluster", [], { nonce: "" });
    assert.deepEqual(client.sotw("cluster", [], { nonce: "0-CDS", error: "no" }), []);
    assert.equal(client.status("cluster")?.status, "STALE");
  });

  test("whoever asks by names alone is sent nothing else, also when everything changes", () => {
    const client = openStream("delta");
    client.push({ endpoints: { a: { clusterName: "a" }, b: { clusterName: "b" } } });
    client.delta("endpoints", { subscribe: ["a"] });
    client.ack("endpoints");
    const changed = { a: { clusterName: "a", n: 1 }, b: { clusterName: "b", n: 1 }, c: { clusterName: "c" } };
    assert.deepEqual(short(client.push({ endpoints: changed })), ["EDS +a"]);
    client.ack("endpoints");
    assert.deepEqual(client.push({ endpoints: { a: changed.a } }), []);
  });

  test("what is subscribed is told apart from what is not, by type", () => {
    const client = openStream("delta");
    client.delta("cluster");
    client.delta("endpoints", { subscribe: ["a"] });
    const isSubscribed = (kind: "cluster" | "endpoints" | "route", name: string) =>
      client.stream.isSubscribed(typeUrlOf(kind), name);
    assert.deepEqual(
      [
        isSubscribed("cluster", "x"),
        isSubscribed("endpoints", "a"),
        isSubscribed("endpoints", "b"),
        isSubscribed("route", "a"),
      ],
      [true, true, false, false],
    );
  });
});
