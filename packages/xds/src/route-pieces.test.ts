import assert from "node:assert/strict";
import { test } from "node:test";
import type { RouteConfigurationJson } from "@weft/xds/gen/envoy/config/route/v3/route";
import type { VirtualHostJson } from "@weft/xds/gen/envoy/config/route/v3/route_components";
import fc from "fast-check";
import { encodeResource } from "./codec.ts";
import { contentHash } from "./content-hash.ts";
import { createResourceEncoder, createTableVersions } from "./route-pieces.ts";

const hostOf = (name: string, timeout: number): VirtualHostJson => ({
  name,
  domains: [name, `${name}.default`],
  routes: [
    { name: "x".repeat(timeout * 40), match: { prefix: "/" }, route: { cluster: name, timeout: `${timeout}s` } },
  ],
});

const hosts = Array.from({ length: 200 }, (_, i) => hostOf(`s${i}`, i % 5));
const tableOf = (chosen: readonly VirtualHostJson[]): RouteConfigurationJson => ({
  name: "80",
  virtualHosts: [...chosen],
  validateClusters: false,
  maxDirectResponseBodySizeBytes: 4096,
  ignorePortInHostMatching: true,
});

test("a table of kept hosts has the bytes of one encoded whole, whatever hosts came, went or moved", () => {
  const encode = createResourceEncoder();
  fc.assert(
    fc.property(fc.shuffledSubarray(hosts, { minLength: 0 }), fc.nat({ max: 4 }), (chosen, timeout) => {
      const table = tableOf([...chosen, hostOf("changed", timeout)]);
      assert.deepEqual(Buffer.from(encode("route", table)), Buffer.from(encodeResource("route", table)));
    }),
    { numRuns: 60 },
  );
});

test("a table without a name, and one of nothing but hosts, have the bytes of those encoded whole", () => {
  const encode = createResourceEncoder();
  for (const table of [{ virtualHosts: hosts }, { name: "", virtualHosts: hosts }, { name: "only" }, {}]) {
    assert.deepEqual(Buffer.from(encode("route", table)), Buffer.from(encodeResource("route", table)));
  }
});

test("a host that cannot be encoded fails its table, and not the next", () => {
  const encode = createResourceEncoder();
  const bad = { name: "bad", routes: [{ match: { prefix: 1 } }] } as unknown as VirtualHostJson;
  assert.throws(() => encode("route", tableOf([...hosts, bad])), /prefix/);
  assert.deepEqual(Buffer.from(encode("route", tableOf(hosts))), Buffer.from(encodeResource("route", tableOf(hosts))));
});

test("tables have one version while they say the same, and another when a host, its place or anything else differs", () => {
  const versionOf = createTableVersions(contentHash);
  const fresh = createTableVersions(contentHash);
  const first = versionOf(tableOf(hosts));
  assert.equal(fresh(structuredClone(tableOf(hosts))), first, "by content, whoever asks");
  const [a, b, ...rest] = hosts as [VirtualHostJson, VirtualHostJson, ...VirtualHostJson[]];
  const others = [
    tableOf([b, a, ...rest]),
    tableOf([b, ...rest]),
    tableOf([{ ...a, domains: ["other"] }, b, ...rest]),
    { ...tableOf(hosts), name: "81" },
    { ...tableOf(hosts), validateClusters: true },
  ];
  assert.equal(new Set([first, ...others.map(versionOf)]).size, others.length + 1);
});
