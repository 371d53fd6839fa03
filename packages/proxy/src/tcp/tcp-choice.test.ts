import assert from "node:assert/strict";
import { test } from "node:test";
import type { DownstreamInfo } from "../http/exchange.ts";
import { xxHash64 } from "../routing/xxhash64.ts";
import { compileChoice, compileTcpHash } from "./tcp-choice.ts";

const from = (fields: Partial<DownstreamInfo>): DownstreamInfo =>
  ({ remoteHost: "10.0.0.9", ...fields }) as DownstreamInfo;
const lb = (fields: Record<string, string>) => ({ filterMetadata: { "envoy.lb": fields } });

test("weights decide by the draw, and each cluster's metadata goes over the proxy's", () => {
  const choose = compileChoice(
    {
      metadataMatch: lb({ stage: "prod", zone: "a" }),
      weightedClusters: {
        clusters: [
          { name: "one", weight: 1, metadataMatch: lb({ stage: "test" }) },
          { name: "two", weight: 3 },
        ],
      },
    },
    false,
  );
  const names = [0, 0.24, 0.26, 0.99].map((draw) => choose(draw, from({})).cluster);
  assert.deepEqual(names, ["one", "one", "two", "two"]);
  const criteria = (draw: number) =>
    choose(draw, from({})).metadataMatch?.criteria.map(([name, value]) => name + value);
  assert.deepEqual(criteria(0), ['stage"test"', 'zone"a"']);
  assert.deepEqual(criteria(0.9), ['stage"prod"', 'zone"a"']);
});

test("the name that a client asks for is its cluster, where it asks for one", () => {
  const choose = compileChoice({ cluster: "fallback" }, true);
  assert.equal(choose(0, from({ requestedServerName: "sni.test" })).cluster, "sni.test");
  assert.equal(choose(0, from({})).cluster, "fallback");
  assert.equal(
    compileChoice({ cluster: "fallback" }, false)(0, from({ requestedServerName: "x" })).cluster,
    "fallback",
  );
});

test("the client's address alone is hashed", () => {
  const hash = compileTcpHash([{ sourceIp: {} }]);
  assert.equal(hash?.(from({ remotePort: 1 })), xxHash64("10.0.0.9"));
  assert.equal(compileTcpHash([]), undefined);
  assert.throws(() => compileTcpHash([{ filterState: { key: "x" } }]), /hashPolicy\[0\]\.filterState/);
  assert.throws(() => compileTcpHash([{}]), /says nothing/);
});

test("no weights and no cluster are refused", () => {
  assert.throws(() => compileChoice({}, false), /cluster: is required/);
  assert.throws(() => compileChoice({ weightedClusters: { clusters: [{ name: "a" }] } }, false), /must not all be 0/);
});
