import assert from "node:assert/strict";
import { test } from "node:test";
import { hostSuggester } from "./host-suggester.ts";

const suggest = (hosts: readonly string[], host: string): string | undefined =>
  hostSuggester(hosts.map((hostname) => ({ hostname })))(host);
const known = [
  "prices.shop.svc.cluster.local",
  "orders.shop.svc.cluster.local",
  "prices.till.svc.cluster.local",
  "api.example",
];

test("a name that is cut short is taken for the whole", () => {
  assert.equal(suggest(known, "orders.shop"), "orders.shop.svc.cluster.local");
});

test("a misspelt service is looked for in its own namespace, however alike hosts are otherwise", () => {
  assert.equal(suggest(known, "ordesr.shop.svc.cluster.local"), "orders.shop.svc.cluster.local");
  assert.equal(suggest(known, "prics.till.svc.cluster.local"), "prices.till.svc.cluster.local");
  assert.equal(
    suggest([...known, "a.b.svc.cluster.local"], "orders.shpo.svc.cluster.local"),
    "orders.shop.svc.cluster.local",
  );
});

test("a short name gets a short or a whole one, and nothing where nothing is near", () => {
  assert.equal(suggest(known, "ordrs"), "orders");
  assert.equal(suggest(known, "payments"), undefined);
  assert.equal(suggest([], "orders"), undefined);
});

test("among many hosts the same are found", () => {
  const many = Array.from({ length: 20_000 }, (_, at) => `service-${at}.far.svc.cluster.local`);
  const suggestOf = hostSuggester([...many, ...known].map((hostname) => ({ hostname })));
  assert.equal(suggestOf("ordesr.shop.svc.cluster.local"), "orders.shop.svc.cluster.local");
  assert.equal(suggestOf("orders.shpo.svc.cluster.local"), "orders.shop.svc.cluster.local");
  assert.equal(suggestOf("nobody.here.svc.cluster.local"), undefined);
});

test("after fifty no more are made, and those that were stay", () => {
  const suggestOf = hostSuggester(known.map((hostname) => ({ hostname })));
  assert.equal(suggestOf("ordrs"), "orders");
  for (let at = 0; at < 60; at++) suggestOf(`nobody-${at}`);
  assert.deepEqual([suggestOf("ordrs"), suggestOf("ordesr")], ["orders", undefined]);
});
