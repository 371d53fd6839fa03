import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { readEtcdRecord, valueBytesMax } from "./etcd-record.ts";

const read = (key: string, value: string | object) =>
  readEtcdRecord("/weft/", key, Buffer.from(typeof value === "string" ? value : JSON.stringify(value)));
const instance = (key: string, value: string | object) => {
  const record = read(key, value);
  assert.equal(record.kind, "instance", JSON.stringify(record));
  return record.kind === "instance" ? record.instance : undefined;
};
const problem = (key: string, value: string | object) => {
  const record = read(key, value);
  return record.kind === "unreadable" ? record.problem : undefined;
};

test("weft's layout says everything of an instance", () => {
  const all = {
    ...{ address: "10.0.0.1", port: 8080, servicePort: 80, protocol: "grpc", labels: { version: "v1" } },
    ...{ serviceAccount: "cart", locality: "eu/a", weight: 5, health: "draining" },
  };
  assert.deepEqual(instance("/weft/shop/cart/1", { ...all, comment: "ignored" }), {
    ...all,
    ...{ key: "/weft/shop/cart/1", namespace: "shop", service: "cart", id: "1" },
  });
});

test("a key without a namespace is in default, and what is not said has its default", () => {
  const found = instance("/weft/cart/1", { address: "::1", port: 1 });
  assert.deepEqual(
    [found?.namespace, found?.protocol, found?.servicePort, found?.weight, found?.health, found?.serviceAccount],
    ["default", undefined, undefined, 1, "healthy", ""],
  );
});

test("layouts of others: an address alone, and etcd's naming package", () => {
  assert.deepEqual(instance("/weft/a/1", " [::1]:90\n")?.address, "::1");
  const named = instance("/weft/a/1", { Op: 0, Addr: "10.0.0.2:81", Metadata: { zone: "a", n: 3 } });
  assert.deepEqual([named?.address, named?.port, named?.labels], ["10.0.0.2", 81, { zone: "a" }]);
  assert.deepEqual(instance("/weft/a/1", { Addr: "10.0.0.2:81" })?.labels, {});
});

test("records of frameworks are instances of the service in the key", () => {
  const node = { id: "greeter-1", address: "10.0.0.3:82" };
  const micro = instance("/weft/greeter/greeter-1", { name: "Greeter", version: "", nodes: [node] });
  assert.deepEqual([micro?.service, micro?.id, micro?.address, micro?.port], ["greeter", "greeter-1", "10.0.0.3", 82]);
  assert.match(problem("/weft/greeter/1", { nodes: [] }) ?? "", /nodes/);
  assert.equal(instance("/weft/greeter/1", { address: "10.0.0.4", port: 83, nodes: [] })?.port, 83);
});

test("what cannot be read says why", () => {
  const good = { address: "10.0.0.1", port: 80 };
  const cases: readonly (readonly [string, string | object, RegExp])[] = [
    ["/weft/a", good, /key is not/],
    ["/weft/a/b/c/d", good, /key is not/],
    ["/weft//b/c", good, /key is not/],
    ["/weft/a/", good, /key is not/],
    ["/weft/a/1", "", /neither JSON nor HOST:PORT/],
    ["/weft/a/1", "10.0.0.1", /neither JSON/],
    ["/weft/a/1", "10.0.0.1:99999", /neither JSON/],
    ["/weft/a/1", "[1]", /neither JSON/],
    ["/weft/a/1", "{", /none/],
    ["/weft/a/1", {}, /^address/],
    ["/weft/a/1", { address: "10.0.0.1", port: "80" }, /^port/],
    ["/weft/a/1", { ...good, servicePort: "80" }, /^servicePort/],
    ["/weft/a/1", { ...good, labels: ["a"] }, /^labels/],
    ["/weft/a/1", { ...good, labels: { a: 1 } }, /^labels/],
    ["/weft/a/1", { ...good, health: "well" }, /^health/],
    ["/weft/a/1", { ...good, weight: "1" }, /^weight/],
    ["/weft/a/1", { ...good, protocol: 1 }, /^protocol/],
    ["/weft/a/1", { ...good, locality: {} }, /^locality/],
    ["/weft/a/1", { ...good, serviceAccount: null }, /^serviceAccount/],
    ["/weft/a/1", { Op: 1, Addr: "10.0.0.1:80" }, /^Op is 1/],
    ["/weft/a/1", { Addr: "host" }, /^Addr/],
    ["/weft/a/1", "x".repeat(valueBytesMax + 1), /over/],
  ];
  for (const [key, value, text] of cases)
    assert.match(problem(key, value) ?? "", text, `${key} ${JSON.stringify(value)}`);
  const record = readEtcdRecord("/weft/", "/weft/a/1", Uint8Array.of(0xff, 0xfe));
  assert.ok(record.kind === "unreadable" && /UTF-8/.test(record.problem));
});

test("no value, and no JSON, is worse than unreadable", () => {
  fc.assert(
    fc.property(fc.string(), fc.oneof(fc.string(), fc.json()), (key, value) => void read(`/weft/${key}`, value)),
    { numRuns: 500 },
  );
});
