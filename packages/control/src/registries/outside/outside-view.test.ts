import assert from "node:assert/strict";
import { test } from "node:test";
import { createGraph } from "@weft/core/collection";
import type { InForce } from "./held-instances.ts";
import { dnsLabel, outsideView, serviceInstancesMax, unusableNamesMax } from "./outside-view.ts";
import type { SourceInstance } from "./source-events.ts";
import { testInstance } from "./testing/instance.ts";

const make = () => {
  const graph = createGraph();
  const view = outsideView(graph, { name: "etcd", domain: "cluster.local", rank: 40 });
  const put = (instance: SourceInstance, held?: InForce["held"]): void =>
    view.instances.put({ key: instance.key, instance, held });
  const commit = (): void => assert.deepEqual(graph.commit().failures, []);
  return { view, put, commit };
};

test("instances are services with the ports of all of them, and endpoints with what they say of themselves", () => {
  const { view, put, commit } = make();
  const more = { labels: { version: "v1", workload: "web-v1" }, serviceAccount: "web", locality: "eu/a", weight: 3 };
  put(testInstance("a", { port: 8080, servicePort: 80, ...more }));
  put(testInstance("b", { address: "::1", port: 9090, protocol: "grpc", health: "draining" }), "absent");
  commit();
  const [service] = view.services.values();
  assert.deepEqual(
    [
      service?.hostname,
      service?.rank,
      service?.resolution,
      service?.ports.map(({ number, protocol }) => [number, protocol]),
    ],
    [
      "web.shop.svc.cluster.local",
      40,
      "eds",
      [
        [80, "http"],
        [9090, "grpc"],
      ],
    ],
  );
  const [a, b] = view.endpoints.values();
  assert.deepEqual(
    [a?.service, a?.servicePort, a?.port, a?.workload, a?.weight, a?.meshTls, a?.held],
    ["shop/web.shop.svc.cluster.local", 80, 8080, "web-v1", 3, true, undefined],
  );
  assert.deepEqual(
    [b?.address, b?.workload, b?.health, b?.meshTls, b?.held],
    ["::1", "b", "draining", false, "absent"],
  );
});

test("one change touches one service", () => {
  const { view, put, commit } = make();
  for (const service of ["one", "two", "three"]) put(testInstance("a", { service }));
  commit();
  const changes: string[] = [];
  view.services.watch((all) => changes.push(...all.map(({ key }) => key)));
  view.endpoints.watch((all) => changes.push(...all.map(({ key }) => key)));
  put(testInstance("a", { service: "two", port: 81 }));
  commit();
  assert.deepEqual(changes.sort(), ["etcd/shop/shop/two/a", "etcd/shop/two.shop.svc.cluster.local"]);
});

test("names become those of DNS; of two that become one, the one written so has it", () => {
  assert.equal(dnsLabel("com.acme.Catalog_v2"), "com-acme-catalog-v2");
  const { view, put, commit } = make();
  put(testInstance("a", { service: "Web" }));
  commit();
  assert.deepEqual([[...view.services.values()].map(({ name }) => name), view.problems()], [["web"], []]);
  put(testInstance("b", { service: "web", address: "10.0.0.2" }));
  put(testInstance("c", { service: "WEB" }));
  commit();
  assert.deepEqual(
    [...view.endpoints.values()].map(({ address }) => address),
    ["10.0.0.2"],
  );
  assert.deepEqual(view.problems(), [
    { code: "WF2113", service: "shop/web", problem: "is the name of shop/web; shop/WEB, shop/Web are left out" },
  ]);
  view.instances.drop("shop/web/b");
  commit();
  assert.equal([...view.endpoints.values()].length, 1);
  assert.match(view.problems()[0]?.problem ?? "", /^is the name of shop\/WEB; shop\/Web is left out$/);
});

test("a name DNS cannot have is left out and reported, the others stand", () => {
  const { view, put, commit } = make();
  for (const service of ["___", "x".repeat(64), "web"]) put(testInstance("a", { service }));
  put(testInstance("b", { namespace: "!" }));
  commit();
  assert.deepEqual(
    [...view.services.values()].map(({ name }) => name),
    ["web"],
  );
  assert.equal([...view.endpoints.values()].length, 1);
  assert.deepEqual(
    view
      .problems()
      .map(({ code, service }) => `${code} ${service}`)
      .sort(),
    ["WF2113 !/web", "WF2113 shop/___", `WF2113 shop/${"x".repeat(64)}`],
  );
});

test("each name that cannot be used is told by itself, also where several become the same, up to a bound", () => {
  const { view, put, commit } = make();
  for (const service of ["\u8ba2\u5355", "\u652f\u4ed8", "\u5e93\u5b58"]) put(testInstance("a", { service }));
  commit();
  assert.deepEqual(
    view.problems().map(({ service }) => service),
    ["shop/\u5e93\u5b58", "shop/\u652f\u4ed8", "shop/\u8ba2\u5355"],
  );
  for (let at = 0; at < unusableNamesMax; at++) put(testInstance("a", { service: "!".repeat(at + 1) }));
  commit();
  assert.equal(view.problems().length, unusableNamesMax);
  assert.match(view.problems().at(-1)?.problem ?? "", /; nor can 3 more$/);
});

test("a huge service is cut at a bound, the same ones each time", () => {
  const { view, put, commit } = make();
  for (let id = 0; id < serviceInstancesMax + 2; id++)
    put(testInstance(String(100_000 + id), { port: 1 + id, servicePort: 80 }));
  commit();
  assert.equal(view.endpoints.size, serviceInstancesMax);
  assert.deepEqual(view.problems(), [
    {
      code: "WF2114",
      service: "shop/web",
      problem: `has ${serviceInstancesMax + 2} instances; the first ${serviceInstancesMax} are used`,
    },
  ]);
  view.instances.drop("shop/web/100000");
  view.instances.drop("shop/web/100001");
  commit();
  assert.deepEqual([view.endpoints.size, view.problems()], [serviceInstancesMax, []]);
});

test("instances that disagree on a port's protocol are reported, and the first key's holds", () => {
  const { view, put, commit } = make();
  put(testInstance("a", { protocol: undefined }));
  put(testInstance("b", { protocol: "grpc", address: "10.0.0.2" }));
  put(testInstance("c", { protocol: "http", address: "10.0.0.3" }));
  commit();
  assert.equal([...view.services.values()][0]?.ports[0]?.protocol, "grpc");
  assert.deepEqual(view.problems(), [
    { code: "WF2116", service: "shop/web", problem: "port 8080 is grpc and http: grpc holds" },
  ]);
  view.instances.drop("shop/web/c");
  put(testInstance("d", { protocol: "GRPC", address: "10.0.0.4" }));
  commit();
  assert.deepEqual(view.problems(), [], "one protocol, written in two ways");
});

test("an application that registered twice is reported with both keys, and is used; one that is held is no second one", () => {
  const { view, put, commit } = make();
  put(testInstance("a"));
  put(testInstance("b"));
  put(testInstance("c"));
  put(testInstance("other port", { servicePort: 81 }));
  put(testInstance("other", { service: "orders" }));
  view.instances.put({
    key: "shop/orders/held",
    instance: testInstance("held", { service: "orders" }),
    held: "absent",
  });
  commit();
  const problem = "has shop/web/a and shop/web/b, which are both 10.0.0.1:8080 for port 8080, and 1 more like these";
  assert.deepEqual(view.problems(), [{ code: "WF2118", service: "shop/web", problem }]);
  assert.equal(view.endpoints.size, 6);
  view.instances.drop("shop/web/b");
  view.instances.drop("shop/web/c");
  commit();
  assert.deepEqual(view.problems(), []);
});
