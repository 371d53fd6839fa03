import assert from "node:assert/strict";
import { test } from "node:test";
import type { JsonValue } from "@bufbuild/protobuf";
import { ClusterSchema } from "@weft/xds/gen/envoy/config/cluster/v3/cluster";
import fc from "fast-check";
import { decodeResource, encodeResource, resourceSchema, toProtoNames } from "./codec.ts";
import { any, type ResourceJson, resourceType, resourceTypes, typeUrl } from "./resource.ts";

const listener: ResourceJson["listener"] = {
  name: "0.0.0.0_80",
  address: { socketAddress: { address: "0.0.0.0", portValue: 80 } },
  filterChains: [
    {
      filters: [
        {
          name: "envoy.filters.network.http_connection_manager",
          typedConfig: any("envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", {
            statPrefix: "x",
            rds: { routeConfigName: "80", configSource: { ads: {} } },
            httpFilters: [
              { name: "router", typedConfig: any("envoy.extensions.filters.http.router.v3.Router", {}) },
              { name: "istio.stats", typedConfig: any("stats.PluginConfig", { disableHostHeaderFallback: true }) },
            ],
          }),
        },
      ],
    },
  ],
};

test("a listener with nested filters comes back as it went", () => {
  const bytes = encodeResource("listener", listener);
  assert.deepEqual(decodeResource(resourceType("listener").typeUrl, bytes), listener);
});

test("every resource type has a schema of its type URL", () => {
  for (const { kind, typeUrl: url } of resourceTypes) assert.equal(typeUrl(resourceSchema(kind).typeName), url);
});

test("equal content in another order gives equal bytes", () => {
  const cluster = (a: string, b: string): ResourceJson["cluster"] => ({
    name: "c",
    metadata: { filterMetadata: { [a]: { [b]: 1, [a]: { z: [1], y: null } }, [b]: {} } },
    typedExtensionProtocolOptions: {
      [b]: any("google.protobuf.Struct", { value: { [b]: 1, [a]: 2 } }),
      [a]: any("google.protobuf.Struct", { value: {} }),
    },
  });
  const one = cluster("a", "b");
  const two: ResourceJson["cluster"] = {
    typedExtensionProtocolOptions: {
      a: any("google.protobuf.Struct", { value: {} }),
      b: any("google.protobuf.Struct", { value: { a: 2, b: 1 } }),
    },
    metadata: { filterMetadata: { b: {}, a: { a: { y: null, z: [1] }, b: 1 } } },
    name: "c",
  };
  assert.deepEqual(encodeResource("cluster", one), encodeResource("cluster", two));
});

test("the order of a map's keys never reaches the bytes", () => {
  const keys = fc.uniqueArray(
    fc.string({ maxLength: 5 }).filter((key) => key !== "__proto__"),
    { maxLength: 8 },
  );
  fc.assert(
    fc.property(keys, fc.infiniteStream(fc.nat()), (names, draws) => {
      const shuffled = names.map((name) => [draws.next().value ?? 0, name] as const).sort(([a], [b]) => a - b);
      const make = (order: readonly string[]): Uint8Array =>
        encodeResource("cluster", {
          name: "c",
          metadata: { filterMetadata: Object.fromEntries(order.map((key) => [key, { [key]: key }])) },
        });
      assert.deepEqual(make(names), make(shuffled.map(([, name]) => name)));
    }),
  );
});

test("an Any of an unknown type keeps its bytes through decoding and encoding", () => {
  const unknown = { "@type": "type.googleapis.com/acme.filters.v1.Magic", value: "CAE=" };
  const json = {
    ...listener,
    filterChains: [{ filters: [{ name: "magic", typedConfig: unknown }] }],
  } as ResourceJson["listener"];
  const bytes = encodeResource("listener", json);
  assert.ok(Buffer.from(bytes).includes("acme.filters.v1.Magic"));
  const decoded = decodeResource(resourceType("listener").typeUrl, bytes) as ResourceJson["listener"];
  assert.deepEqual(decoded, json);
  assert.deepEqual(encodeResource("listener", decoded), bytes);
});

test("an unknown Any inside a known one does not stop the rest from decoding", () => {
  const unknown = { "@type": "type.googleapis.com/acme.v1.Inner", value: "AQID" };
  const json = structuredClone(listener) as unknown as { filterChains: { filters: { typedConfig: unknown }[] }[] };
  const hcm = json.filterChains[0]?.filters[0]?.typedConfig as { httpFilters: { typedConfig: unknown }[] };
  (hcm.httpFilters[0] as { typedConfig: unknown }).typedConfig = unknown;
  const bytes = encodeResource("listener", json as ResourceJson["listener"]);
  assert.deepEqual(decodeResource(resourceType("listener").typeUrl, bytes), json);
});

test("an Any without a usable type name is refused", () => {
  for (const type of [
    "",
    "type.googleapis.com/",
    "type.googleapis.com/a b",
    `type.googleapis.com/${"x".repeat(600)}`,
  ]) {
    const json = { name: "x", filterChains: [{ filters: [{ name: "f", typedConfig: { "@type": type } }] }] };
    assert.throws(() => encodeResource("listener", json as ResourceJson["listener"]), /@type|registry/);
  }
});

test("unknown fields of a known type are refused by name", () => {
  assert.throws(() => encodeResource("cluster", { name: "x", nmae: 1 } as ResourceJson["cluster"]), /nmae/);
});

test("bytes of no such message are refused, whatever they are", () => {
  assert.throws(() => decodeResource("type.googleapis.com/nothing", new Uint8Array(0)), /not a resource type/);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      try {
        decodeResource(resourceType("listener").typeUrl, bytes);
      } catch (error) {
        assert.ok(error instanceof Error);
      }
    }),
  );
});

test("proto names are those of the .proto files, at every depth", () => {
  const json = { name: "c", loadAssignment: { clusterName: "c" }, connectTimeout: "0.250s" } as JsonValue;
  assert.deepEqual(toProtoNames(ClusterSchema, json), {
    name: "c",
    load_assignment: { cluster_name: "c" },
    connect_timeout: "0.250s",
  });
});
