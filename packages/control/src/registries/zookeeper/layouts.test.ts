import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { problemOf } from "../outside/instance-problem.ts";
import { parseRegistryUrl } from "../outside/registry-url.ts";
import type { SourceInstance } from "../outside/source-events.ts";
import { curatorLayout } from "./curator.ts";
import { dubboLayout } from "./dubbo.ts";
import { placeOf } from "./layout.ts";
import { parseZookeeperUrl, zookeeperDriver } from "./zookeeper-driver.ts";

const at = { key: "/k", namespace: "default", service: "web", name: "node-1", data: Buffer.alloc(0) };
const curator = (value: unknown) => curatorLayout.read({ ...at, data: Buffer.from(JSON.stringify(value)) });
const dubbo = (url: string) => dubboLayout.read({ ...at, name: encodeURIComponent(url) });
const instanceOf = (read: ReturnType<typeof curator>): SourceInstance => {
  assert.ok(read.kind === "instance", JSON.stringify(read));
  return read.instance;
};
const problem = (read: ReturnType<typeof curator>): string => {
  assert.ok(read.kind === "unreadable", JSON.stringify(read));
  return read.problem;
};

test("a record of Curator's is an instance, with its payload's metadata as labels", () => {
  const instance = instanceOf(
    curator({
      ...{ name: "web", id: "one", address: "10.0.0.1", port: 80, sslPort: 443, registrationTimeUTC: 1 },
      ...{ serviceType: "DYNAMIC", enabled: true },
      payload: { "@class": "x.Y", id: "web-1", metadata: { version: "v2", weight: "7", locality: "eu/a" } },
      uriSpec: { parts: [{ value: "scheme", variable: true }] },
    }),
  );
  assert.deepEqual(instance, {
    ...{ key: "/k", namespace: "default", service: "web", id: "one", address: "10.0.0.1", port: 80 },
    ...{ servicePort: undefined, protocol: undefined, labels: { version: "v2", weight: "7", locality: "eu/a" } },
    ...{ serviceAccount: "", locality: "eu/a", weight: 7, health: "healthy" },
  });
});

test("an instance with an SSL port alone speaks TLS there, and a spelt out scheme is its protocol", () => {
  const secure = instanceOf(curator({ address: "10.0.0.1", port: null, sslPort: 443 }));
  assert.deepEqual([secure.port, secure.protocol, secure.id], [443, "tls", "node-1"]);
  const spelt = { parts: [{ value: "http://", variable: false }] };
  assert.equal(instanceOf(curator({ address: "10.0.0.1", port: 80, uriSpec: spelt })).protocol, "http");
});

test("an instance that says it is out of service is drained", () => {
  const base = { address: "10.0.0.1", port: 80 };
  const outOfService = { ...base, payload: { metadata: { instance_status: "OUT_OF_SERVICE" } } };
  for (const fields of [{ ...base, enabled: false }, outOfService]) {
    assert.equal(instanceOf(curator(fields)).health, "draining");
  }
});

test("metadata that are no labels are left out, whatever they are called", () => {
  const metadata = JSON.parse(`{"__proto__": "p", "ok": "1", "n": 5, "long": "${"x".repeat(300)}"}`);
  const { labels } = instanceOf(curator({ address: "10.0.0.1", port: 80, payload: { metadata } }));
  assert.deepEqual(Object.entries(labels), [
    ["__proto__", "p"],
    ["ok", "1"],
  ]);
});

test("a record without an address or a port, or of another shape, says what it lacks", () => {
  assert.match(problem(curator({ port: 80 })), /address is missing/);
  assert.match(problem(curator({ address: "10.0.0.1" })), /neither port nor sslPort/);
  assert.match(problem(curator({ address: "10.0.0.1", port: "80" })), /neither port nor sslPort/);
  for (const other of [[], null, 7, "text"]) assert.match(problem(curator(other)), /not a JSON object/);
  assert.match(problem(curatorLayout.read({ ...at, data: Buffer.from([0xff, 0xfe]) })), /not a JSON object/);
});

test("a provider of Dubbo's is an instance with the labels people route by", () => {
  const url = "dubbo://10.0.0.1:20880/com.acme.Shop?application=shop&group=g&version=1.0&weight=40&methods=a,b";
  const instance = instanceOf(dubbo(url));
  assert.deepEqual(instance, {
    ...{ key: "/k", namespace: "default", service: "web", id: "10.0.0.1:20880", address: "10.0.0.1", port: 20_880 },
    ...{ servicePort: undefined, protocol: "tcp", labels: { version: "1.0", group: "g", application: "shop" } },
    ...{ serviceAccount: "", locality: "", weight: 40, health: "healthy" },
  });
});

test("a provider may have an IPv6 address, no options, and a protocol of its own", () => {
  const six = instanceOf(dubbo("tri://[2001:db8::1]:50051/x"));
  assert.deepEqual([six.address, six.port, six.protocol, six.weight], ["2001:db8::1", 50_051, "grpc", 100]);
  assert.equal(instanceOf(dubbo("rest://10.0.0.1:80")).protocol, "http");
});

test("a provider that is disabled is drained, and what is no provider is none", () => {
  assert.equal(instanceOf(dubbo("dubbo://10.0.0.1:1/x?disabled=true")).health, "draining");
  assert.equal(dubbo("override://0.0.0.0:1/x?category=configurators").kind, "other");
});

test("a node's name that is no such URL says why", () => {
  assert.match(problem(dubbo("dubbo://10.0.0.1/x")), /address and a port/);
  assert.match(problem(dubbo("nonsense")), /address and a port/);
  assert.match(problem(dubbo("dubbo://10.0.0.1:1/x?weight=lots")), /weight/);
  assert.match(problem(dubboLayout.read({ ...at, name: "%zz" })), /percent/);
});

test("whatever a record says, it is read or refused, and what is read is of the right types", () => {
  const json = fc.oneof(
    fc.json().map((text) => Buffer.from(text)),
    fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
    fc
      .record({ address: fc.anything(), port: fc.anything(), payload: fc.anything(), uriSpec: fc.anything() })
      .map((fields) => Buffer.from(JSON.stringify(fields, (_, value) => (typeof value === "bigint" ? 0 : value)))),
  );
  fc.assert(
    fc.property(json, fc.string(), (data, name) => {
      for (const layout of [curatorLayout, dubboLayout]) {
        const read = layout.read({ ...at, name, data });
        if (read.kind === "instance") problemOf(read.instance);
      }
    }),
  );
});

test("a path is placed in its tree, and what is none of its nodes is passed over", () => {
  assert.deepEqual(placeOf("/a/b", curatorLayout, "/a/b"), { kind: "root" });
  assert.deepEqual(placeOf("/a/b", curatorLayout, "/a/b/s"), { kind: "service", service: "s" });
  assert.deepEqual(placeOf("/a/b", curatorLayout, "/a/b/s/i"), { kind: "instance", service: "s", name: "i" });
  for (const path of ["/a", "/a/bc", "/a/b/s/i/deep", "", "/"]) {
    assert.equal(placeOf("/a/b", curatorLayout, path), undefined, path);
  }
  assert.deepEqual(placeOf("/d", dubboLayout, "/d/s/providers"), { kind: "list", service: "s" });
  assert.deepEqual(placeOf("/d", dubboLayout, "/d/s/providers/u"), { kind: "instance", service: "s", name: "u" });
  for (const path of ["/d/s/consumers", "/d/s/consumers/u", "/d/s/providersx/u"]) {
    assert.equal(placeOf("/d", dubboLayout, path), undefined, path);
  }
});

test("a URL says where, what and how", () => {
  const url =
    "zookeeper://a:1,[::1]:2/base/x/?layout=dubbo&namespace=shop&session-timeout-ms=4000&frame-bytes-max=2048";
  const settings = parseZookeeperUrl(parseRegistryUrl(url), () => ({ username: "u", password: "p:q" }));
  assert.deepEqual(
    [settings.servers, settings.base, settings.layout, settings.namespace, settings.timeoutMs, settings.frameBytesMax],
    [
      [
        { host: "a", port: 1 },
        { host: "::1", port: 2 },
      ],
      "/base/x",
      dubboLayout,
      "shop",
      4_000,
      2_048,
    ],
  );
  assert.equal(settings.login(), "u:p:q");
  const plain = parseZookeeperUrl(parseRegistryUrl("zookeeper://a:1/s"), undefined);
  assert.deepEqual([plain.layout, plain.namespace, plain.login()], [curatorLayout, "default", undefined]);
});

test("a URL that cannot be used is refused with what is wrong", () => {
  for (const [url, wrong] of [
    ["zookeeper:///s", /no HOST:PORT/],
    ["zookeeper://a:1", /names no path/],
    ["zookeeper://a:1/s//t", /no node can have/],
    ["zookeeper://a:1/s?layout=consul", /none of curator, dubbo/],
    ["zookeeper://a:1/s?session-timeout-ms=5", /not a number from 1000/],
    ["zookeeper://a:1/s?frame-bytes-max=1e9", /not a number from 1024/],
    ["zookeeper://a:1/s?tls=true", /option tls/],
    ["zookeeper://u:p@a:1/s", /user or a password/],
  ] as const) {
    assert.throws(
      () => zookeeperDriver.open(parseRegistryUrl(url), undefined),
      { code: "WF2102", message: wrong },
      url,
    );
  }
});
