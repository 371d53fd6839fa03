import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";
import { openObjects } from "./objects.ts";
import { step } from "./routing-steps.ts";
import type { ObjectRef } from "./step.ts";

const documents: ReadonlyMap<string, object> = new Map([
  [
    "/v1/config/DestinationRule/shop/pay",
    {
      kind: "DestinationRule",
      metadata: { name: "pay", namespace: "shop" },
      spec: { host: "pay", subsets: [{ name: "v1" }, { name: "v2" }] },
      source: { file: "a.yaml", line: 3, column: 1 },
    },
  ],
  [
    "/v1/config/DestinationRule/shop/pay?field=spec.subsets%5B1%5D",
    {
      kind: "DestinationRule",
      metadata: { name: "pay", namespace: "shop" },
      fields: { "spec.subsets[1]": { file: "a.yaml", line: 9, column: 5 } },
    },
  ],
  [
    "/v1/config?kind=ServiceEntry",
    {
      items: [
        {
          kind: "ServiceEntry",
          metadata: { name: "ext", namespace: "shop" },
          spec: { hosts: ["ext.example"] },
          source: { file: "b.yaml", line: 2, column: 1 },
        },
      ],
    },
  ],
  ["/v1/config?kind=Service", { items: [] }],
]);

const asked: string[] = [];
const server = createServer((request, response) => {
  asked.push(request.url ?? "");
  if (request.url?.includes("/broken/")) {
    response.statusCode = 500;
    return void response.end(JSON.stringify({ code: "WF2500", message: "broken" }));
  }
  const found = documents.get(request.url ?? "");
  response.statusCode = found ? 200 : 404;
  response.end(JSON.stringify(found ?? { code: "WF8404", message: "there is no such object" }));
});
let target: Parameters<typeof openObjects>[0];

before(async () => {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  target = { baseUrl: `http://127.0.0.1:${port}`, adminToken: undefined, mesh: undefined };
});
after(() => server.close());

const rule = (name: string, field: string, namespace = "shop"): ObjectRef => ({
  ...{ kind: "DestinationRule", namespace, name, field },
});
const find = (refs: readonly ObjectRef[], host?: string) =>
  openObjects(target).find(
    step("client", "cluster", "c", { refs, ...(host ? { service: { host, namespace: "shop" } } : {}) }),
  );

test("a subset is found by its name, at its own line", async () => {
  const { objects } = await find([rule("pay", "spec.subsets[name=v2]")]);
  assert.deepEqual(objects, [{ ...rule("pay", "spec.subsets[1]"), file: "a.yaml", line: 9, column: 5 }]);
});

test("an object that the control plane has not is told without a place", async () => {
  const { objects } = await find([rule("gone", "spec.trafficPolicy")]);
  assert.deepEqual(objects, [rule("gone", "spec.trafficPolicy")]);
});

test("a field whose place is not told stands at its object", async () => {
  const { objects } = await find([rule("pay", "")]);
  assert.deepEqual(objects, [{ ...rule("pay", ""), file: "a.yaml", line: 3, column: 1 }]);
});

test("a service is found by the object that has its host, else a registry is said to know it", async () => {
  const declared = await find([], "ext.example");
  assert.deepEqual(
    declared.objects.map(({ kind, name, line }) => [kind, name, line]),
    [["ServiceEntry", "ext", 2]],
  );
  const registered = await find([], "pay.shop.svc.cluster.local");
  assert.deepEqual(registered.objects, []);
  assert.deepEqual(registered.notes, ["no configuration object declares pay.shop.svc.cluster.local: a registry does"]);
});

test("each object is asked for once, whatever number of steps names it", async () => {
  asked.length = 0;
  const objects = openObjects(target);
  await Promise.all([1, 2, 3].map(() => objects.find(step("client", "action", "a", { refs: [rule("pay", "")] }))));
  assert.deepEqual(asked, ["/v1/config/DestinationRule/shop/pay"]);
});

test("a control plane that fails is an error, not an unknown object", async () => {
  await assert.rejects(find([rule("x", "spec", "broken")]), { code: "WF2500" });
});
