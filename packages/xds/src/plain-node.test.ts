import assert from "node:assert/strict";
import { test } from "node:test";
import type { JsonValue } from "@bufbuild/protobuf";
import { type NodeJson, NodeSchema } from "@weft/xds/gen/envoy/config/core/v3/base";
import fc from "fast-check";
import { decodeMessage, encodeMessage } from "./codec.ts";
import { bytesTag, doubleTag, numberTag, PlainFields } from "./plain-fields.ts";
import { readPlainNode } from "./plain-node.ts";

const readBytes = (bytes: Uint8Array): NodeJson | undefined => {
  const fields = new PlainFields(Buffer.from(bytes));
  const node = readPlainNode(fields);
  return fields.plain ? node : undefined;
};
const encode = (node: NodeJson): Uint8Array => encodeMessage(NodeSchema, node as JsonValue);
const bytesOf = (tag: number, ...content: readonly (number | string | Uint8Array)[]): Buffer => {
  const parts = content.map((part) =>
    typeof part === "number" ? Buffer.from([part]) : typeof part === "string" ? Buffer.from(part) : Buffer.from(part),
  );
  const all = Buffer.concat(parts);
  return Buffer.concat([Buffer.from([tag, all.length]), all]);
};
const metadata = (value: Uint8Array): Buffer =>
  bytesOf(bytesTag(3), bytesOf(bytesTag(1), bytesOf(bytesTag(1), "k"), value));

const version = { version: { majorNumber: 1, minorNumber: 40, patch: 2 }, metadata: { revision: "abc", ssl: {} } };
const full: NodeJson = {
  id: "sidecar~10.0.0.1~a.default~default.svc.cluster.local",
  cluster: "a.default",
  metadata: { LABELS: { app: "a" }, PORTS: [1, 2.5, -0.25], ON: true, OFF: false, NONE: null, EMPTY: "", DEEP: [[{}]] },
  locality: { region: "r", zone: "z", subZone: "s" },
  userAgentName: "envoy",
  userAgentBuildVersion: version,
  extensions: [
    { name: "envoy.filters.http.router", category: "envoy.filters.http", typeUrls: ["a.B", "c.D"] },
    { name: "old", typeDescriptor: "t", version, disabled: true },
  ],
  clientFeatures: ["envoy.lb.does_not_support_overprovisioning", "xds.config.resource-in-sotw"],
};

test("an Envoy's node is read as the full decoder reads it, in the same order", () => {
  const bytes = encode(full);
  assert.deepEqual(readBytes(bytes), full);
  assert.equal(JSON.stringify(readBytes(bytes)), JSON.stringify(decodeMessage(NodeSchema, bytes)));
  assert.deepEqual(readBytes(encode({ userAgentVersion: "" })), { userAgentVersion: "" });
  assert.deepEqual(readBytes(new Uint8Array(0)), {});
});

test("proxies of one release share the list of their extensions, others have their own", () => {
  const first = readBytes(encode(full));
  assert.equal(readBytes(encode({ ...full, id: "another" }))?.extensions, first?.extensions);
  for (let i = 0; i < 20; i++) {
    const extensions = [{ name: `x${i}` }];
    assert.deepEqual(readBytes(encode({ extensions }))?.extensions, extensions);
  }
  assert.deepEqual(readBytes(encode(full)), full);
});

test("what is not plain is left to the full decoder", () => {
  const nested = (depth: number): JsonValue => (depth === 0 ? 1 : [nested(depth - 1)]);
  const nodes: readonly NodeJson[] = [
    { id: "\u00e9" },
    { metadata: { "\u00e9": 1 } },
    { metadata: { a: "\u00e9" } },
    { metadata: JSON.parse('{"__proto__":{"a":1}}') },
    { metadata: { a: nested(40) } },
    { dynamicParameters: { a: { params: { b: "c" } } } },
    { listeningAddresses: [{ pipe: { path: "/p" } }] },
    { extensions: [{ name: "\u00e9" }] },
    { extensions: [{ version: { version: { majorNumber: 2 ** 31 } } }] },
  ];
  for (const node of nodes) assert.equal(readBytes(encode(node)), undefined, JSON.stringify(node));
});

test("a field that comes twice, in two ways, of another type or out of order is left to the full decoder", () => {
  const id = bytesOf(bytesTag(1), "a");
  const text = bytesOf(bytesTag(3), "v");
  const cases: Readonly<Record<string, Buffer>> = {
    "an id twice": Buffer.concat([id, id]),
    "an id after a cluster": Buffer.concat([bytesOf(bytesTag(2), "c"), id]),
    "two metadata": Buffer.concat([metadata(bytesOf(bytesTag(2), text)), metadata(bytesOf(bytesTag(2), text))]),
    "two kinds of version": Buffer.concat([bytesOf(bytesTag(7), "1"), bytesOf(bytesTag(8))]),
    "extensions in two places": Buffer.concat([bytesOf(bytesTag(9)), bytesOf(bytesTag(10), "f"), bytesOf(bytesTag(9))]),
    "an id that is a number": Buffer.from([numberTag(1), 1]),
    "a tag of two bytes": Buffer.from([0x80 | bytesTag(1), 0x00, 1, 0x61]),
    "a value that says nothing": metadata(bytesOf(bytesTag(2))),
    "a value that says two things": metadata(bytesOf(bytesTag(2), text, text)),
    "a member without a value": bytesOf(bytesTag(3), bytesOf(bytesTag(1), bytesOf(bytesTag(1), "k"))),
    "a flag that is neither": metadata(bytesOf(bytesTag(2), numberTag(4), 2)),
    "a number that is none": metadata(bytesOf(bytesTag(2), doubleTag(2), Buffer.from("000000000000f07f", "hex"))),
    "a null that is something": metadata(bytesOf(bytesTag(2), numberTag(1), 1)),
  };
  for (const [what, bytes] of Object.entries(cases)) assert.equal(readBytes(bytes), undefined, what);
});

test("a node that is cut short is not read, wherever that is", () => {
  const bytes = encode(full);
  for (let end = 0; end < bytes.length; end++) {
    const got = readBytes(bytes.subarray(0, end));
    // Between two fields nothing is missing.
    if (got) assert.deepEqual(got, decodeMessage(NodeSchema, bytes.subarray(0, end)));
  }
});

const ascii = fc.string({ unit: "binary-ascii", maxLength: 6 });
const value: fc.Arbitrary<JsonValue> = fc.jsonValue({ maxDepth: 3, noUnicodeString: true }) as fc.Arbitrary<JsonValue>;
const struct = fc.dictionary(
  ascii.filter((key) => key !== "__proto__"),
  value,
  { maxKeys: 4, noNullPrototype: true },
);
const partial = <T>(shape: { [K in keyof T]: fc.Arbitrary<T[K]> }) => fc.record(shape, { requiredKeys: [] });
const number = fc.nat({ max: 2 ** 28 - 1 });
const build = partial({
  version: partial({ majorNumber: number, minorNumber: number, patch: number }),
  metadata: struct,
});
const extension = partial({
  name: ascii,
  category: ascii,
  version: build,
  disabled: fc.boolean(),
  typeUrls: fc.array(ascii, { maxLength: 2 }),
});
const node = partial({
  id: ascii,
  cluster: ascii,
  metadata: struct,
  locality: partial({ region: ascii, zone: ascii, subZone: ascii }),
  userAgentName: ascii,
  userAgentBuildVersion: build,
  extensions: fc.array(extension, { maxLength: 3 }),
  clientFeatures: fc.array(ascii, { maxLength: 3 }),
});

test("whatever a node says, it is read as the full decoder reads it or left to that", () => {
  let plain = 0;
  fc.assert(
    fc.property(node, (node) => {
      const bytes = encode(node as NodeJson);
      const got = readBytes(bytes);
      if (got === undefined) return;
      plain++;
      assert.equal(JSON.stringify(got), JSON.stringify(decodeMessage(NodeSchema, bytes)));
    }),
    { numRuns: 2_000 },
  );
  assert.ok(plain > 1_000, `${plain} of 2000 were plain`);
});

test("bytes that are something else are read as the full decoder reads them or left to that", () => {
  const good = encode(full);
  const edits = fc.array(fc.tuple(fc.nat({ max: good.length - 1 }), fc.nat({ max: 255 })), { maxLength: 3 });
  fc.assert(
    fc.property(edits, (changes) => {
      const bytes = Buffer.from(good);
      for (const [at, value] of changes) bytes[at] = value;
      const got = readBytes(bytes);
      if (got) assert.deepEqual(got, decodeMessage(NodeSchema, bytes));
    }),
    { numRuns: 5_000 },
  );
});
