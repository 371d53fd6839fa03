import assert from "node:assert/strict";
import { test } from "node:test";
import type { NacosHost } from "@weft/protocols/nacos/answers";
import { problemOf } from "../outside/instance-problem.ts";
import { parseRegistryUrl } from "../outside/registry-url.ts";
import { parseNacosUrl } from "./nacos-driver.ts";
import { mapService, readInstance, weightMax, weightScale } from "./nacos-record.ts";

const groups = ["DEFAULT_GROUP"];
const read = (more: Partial<Omit<NacosHost, "metadata">>, metadata: Record<string, string> = {}, service = "web") => {
  const mapping = mapService({ group: "DEFAULT_GROUP", service }, groups);
  assert.ok(mapping);
  const host: NacosHost = {
    ...{ ip: "10.0.0.1", port: 8_080, weight: 1, healthy: true, enabled: true, ephemeral: true },
    ...{ clusterName: "DEFAULT", metadata: new Map(Object.entries(metadata)), ...more },
  };
  const instance = readInstance(host, { key: "k", namespace: "default", mapping, scale: weightScale([host.weight]) });
  assert.equal(problemOf(instance), undefined);
  return instance;
};

test("an instance is taken with its address, cluster and metadata", () => {
  const metadata = { version: "v2", locality: "eu/west", "service-account": "web", "service-port": "80" };
  const instance = read({ clusterName: "HZ" }, metadata);
  assert.deepEqual([instance.address, instance.port, instance.servicePort], ["10.0.0.1", 8_080, 80]);
  assert.deepEqual([instance.locality, instance.serviceAccount], ["eu/west", "web"]);
  assert.deepEqual(instance.labels, { ...metadata, "nacos-cluster": "HZ" });
});

test("who is switched off or weighs nothing drains, and who is not healthy is not", () => {
  assert.equal(read({ enabled: false }).health, "draining");
  assert.equal(read({ weight: 0 }).health, "draining");
  assert.equal(read({ healthy: false }).health, "unhealthy");
  assert.equal(read({ healthy: false, enabled: false }).health, "draining");
});

test("weights are kept in proportion to each other and stay whole", () => {
  assert.equal(weightScale([1, 3, 100]), 1);
  assert.equal(weightScale([1, 0.5]), 100);
  assert.equal(weightScale([10_000, 0.5]), 6);
  assert.equal(weightScale([1e9, 0.5]), 1);
  assert.equal(read({ weight: 0.001 }).weight, 1);
  assert.equal(read({ weight: 1e300 }).weight, weightMax);
  assert.equal(read({ weight: 2.5 }).weight, 250);
});

test("the protocol is what the metadata says, else what Spring Cloud or Dubbo register", () => {
  assert.equal(read({}).protocol, undefined);
  assert.equal(read({}, { protocol: "GRPC" }).protocol, "grpc");
  assert.equal(read({}, { protocol: "dubbo" }).protocol, "tcp");
  assert.equal(read({}, { "preserved.register.source": "SPRING_CLOUD" }).protocol, "http");
  assert.equal(read({}, { "preserved.register.source": "SPRING_CLOUD", secure: "true" }).protocol, "https");
  assert.equal(read({}, { "dubbo.endpoints": '[{"port":8080,"protocol":"tri"}]' }).protocol, "grpc");
  assert.equal(read({}, { "dubbo.endpoints": "{]" }).protocol, "tcp");
  assert.equal(read({}, {}, "providers:com.acme.Shop:1.0:").protocol, "tcp");
  assert.equal(read({}, { protocol: "tri" }, "providers:com.acme.Shop::").protocol, "grpc");
});

test("a provider of Dubbo is its interface, with version and group as labels; the other categories are no services", () => {
  const named = (service: string) => mapService({ group: "DEFAULT_GROUP", service }, groups);
  assert.equal(named("providers:com.acme.Shop:1.0:blue")?.service, "com.acme.Shop");
  assert.deepEqual(Object.fromEntries(named("providers:com.acme.Shop:1.0:blue")?.labels ?? []), {
    version: "1.0",
    group: "blue",
  });
  assert.equal(named("providers:com.acme.Shop::")?.labels.size, 0);
  for (const category of ["consumers", "configurators", "routers"])
    assert.equal(named(`${category}:com.acme.Shop:1.0:`), undefined);
  assert.equal(named("providers")?.service, "providers");
  assert.equal(named("a:b")?.service, "a:b");
});

test("services of another group than the first are called with it", () => {
  const both = ["A", "B"];
  assert.equal(mapService({ group: "A", service: "web" }, both)?.service, "web");
  assert.equal(mapService({ group: "B", service: "web" }, both)?.service, "B@@web");
});

test("metadata that is the application's own harms nothing", () => {
  const many = Object.fromEntries(Array.from({ length: 200 }, (_, at) => [`key-${at}`, "v"]));
  assert.equal(Object.keys(read({}, many).labels).length, 64);
  const odd = read(
    {},
    { locality: "a/b/c/d", "service-account": "Not A Name", "service-port": "x", long: "x".repeat(2_000) },
  );
  assert.deepEqual(
    [odd.locality, odd.serviceAccount, odd.servicePort, odd.labels.long],
    ["", "", undefined, undefined],
  );
  assert.equal(read({}, { region: "eu", zone: "b" }).locality, "eu/b");
});

test("a URL gives its settings, and a wrong one is refused by what is wrong", () => {
  const parse = (text: string) => parseNacosUrl(parseRegistryUrl(text), undefined);
  const { namespace, groups: read, contextPath, toNamespace, transport } = parse("nacos://h:8848,h:8849");
  assert.deepEqual([namespace, read, contextPath, toNamespace], ["public", ["DEFAULT_GROUP"], "/nacos", "default"]);
  assert.equal(transport, "auto");
  assert.deepEqual(parse("nacos://h:1?group=A,B,A").groups, ["A", "B"]);
  assert.equal(parse("nacos://h:1/registry/").contextPath, "/registry");
  const wrong: readonly [string, RegExp][] = [
    ["nacos:", /names no HOST:PORT/],
    ["nacos://h:1?group=", /group that is none/],
    ["nacos://h:1?to-namespace=A_B", /no namespace of the mesh/],
    ["nacos://h:1?transport=udp", /none of auto, grpc and http/],
    ["nacos://h:1?grpc-port=0", /grpc-port/],
    ["nacos://h:1?ca=/no/such/file", /cannot be read/],
    ["nacos://h:1?server-name=x", /server-name without ca/],
    ["nacos://h:1?colour=red", /has an option colour/],
    ["nacos://user:secret@h:1", /holds a user or a password/],
  ];
  for (const [text, problem] of wrong) assert.throws(() => parse(text), problem);
});
