/** Fields of messages newer than our definitions, at every depth, and how little is done where there are none. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { ClusterSchema } from "@weft/xds/gen/envoy/config/cluster/v3/cluster";
import { encodeResource } from "./codec.ts";
import { decodeAhead } from "./decode-ahead.ts";
import { any, resourceType, type SubscribedKind, subscribedTypes } from "./resource.ts";
import { fieldsNamedMax, UnknownFields } from "./unknown-fields.ts";

const field = (number: number): Uint8Array => new BinaryWriter().tag(number, WireType.Varint).uint32(1).finish();
const join = (...parts: readonly Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts));
const urlOf = (kind: SubscribedKind): string => subscribedTypes.find((one) => one.kind === kind)?.typeUrl ?? "";

const open = () => {
  const named: string[] = [];
  const counts: number[] = [];
  const unknown = new UnknownFields({
    onPassed: (count) => counts.push(count),
    onNew: ({ type, number }) => named.push(`${type} ${number}`),
  });
  const decode = (kind: SubscribedKind, value: Uint8Array): object | undefined => {
    const work = decodeAhead([{ name: "x", version: "1", typeUrl: urlOf(kind), value }], unknown);
    for (;;) {
      const { done, value: decoded } = work.next();
      if (done) return decoded[0]?.json;
    }
  };
  return { named, counts, decode, total: () => counts.reduce((sum, count) => sum + count, 0) };
};

const options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
const cluster = {
  name: "c",
  type: "STATIC",
  typedExtensionProtocolOptions: { [options]: any(options, { explicitHttpConfig: { httpProtocolOptions: {} } }) },
} as const;
const routes = {
  name: "r",
  virtualHosts: [{ name: "a", domains: ["a"], routes: [{ match: { prefix: "/" }, route: { cluster: "c" } }] }],
};

test("a message without any is decoded as ever, and nobody is told anything", () => {
  const { decode, counts } = open();
  assert.deepEqual(decode("cluster", encodeResource("cluster", cluster)), cluster);
  assert.deepEqual(decode("route", encodeResource("route", routes)), routes);
  assert.deepEqual(counts, []);
});

test("a field at the top is counted and named, and the rest is taken", () => {
  const { decode, named, total } = open();
  const bytes = join(encodeResource("cluster", cluster), field(900), field(901), field(900));
  assert.deepEqual(decode("cluster", bytes), cluster);
  assert.deepEqual(
    [named, total()],
    [["envoy.config.cluster.v3.Cluster 900", "envoy.config.cluster.v3.Cluster 901"], 3],
  );
});

test("a field within an Any is named by the message that it stands in", () => {
  const { decode, named } = open();
  const message = fromBinary(ClusterSchema, encodeResource("cluster", cluster));
  const inner = message.typedExtensionProtocolOptions[options] ?? assert.fail();
  inner.value = join(inner.value, field(77));
  assert.deepEqual(decode("cluster", toBinary(ClusterSchema, message)), cluster);
  assert.deepEqual(named, [`${options} 77`]);
});

test("a field within a list, of a table and of its virtual hosts", () => {
  const { decode, named, total } = open();
  const host = join(encodeResource("virtualHost", routes.virtualHosts[0] as never), field(60));
  const hosts = new BinaryWriter().tag(2, WireType.LengthDelimited).bytes(host).finish();
  const bytes = join(encodeResource("route", { name: "r" }), hosts, field(61));
  assert.deepEqual(decode("route", bytes), routes);
  assert.deepEqual(
    [named.toSorted(), total()],
    [["envoy.config.route.v3.RouteConfiguration 61", "envoy.config.route.v3.VirtualHost 60"], 2],
  );
});

test("what was named is counted again and not named again", () => {
  const { decode, named, counts } = open();
  for (let i = 0; i < 3; i++) decode("cluster", join(encodeResource("cluster", cluster), field(900)));
  assert.deepEqual([named.length, counts], [1, [1, 1, 1]]);
});

test("bytes that are no message are left to whoever says what is wrong, and blamed on nobody else", () => {
  const { decode, counts } = open();
  assert.equal(decode("cluster", join(field(900), Uint8Array.of(0xff))), undefined);
  assert.deepEqual(decode("cluster", encodeResource("cluster", cluster)), cluster);
  assert.deepEqual(counts, []);
});

test("a peer that thinks up numbers has no more than so many named", () => {
  const { decode, named, total } = open();
  for (let i = 0; i < fieldsNamedMax + 20; i++) decode("cluster", toBinary(ClusterSchema, withField(1_000 + i)));
  assert.deepEqual([named.length, total()], [fieldsNamedMax, fieldsNamedMax + 20]);
});
const withField = (no: number) =>
  Object.assign(create(ClusterSchema), { $unknown: [{ no, wireType: WireType.Varint, data: Uint8Array.of(1) }] });

test("a table's own bytes are taken apart without being taken for unknown", () => {
  const { decode, counts } = open();
  decode("route", encodeResource("route", { ...routes, validateClusters: true, ignorePortInHostMatching: true }));
  assert.deepEqual([counts, resourceType("route").kind], [[], "route"]);
});
