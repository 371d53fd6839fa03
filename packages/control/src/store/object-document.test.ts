import assert from "node:assert/strict";
import { test } from "node:test";
import { type ObjectDocument, withoutKeys } from "./object-document.ts";

const secret = (rest: object): ObjectDocument => ({
  ...{ apiVersion: "v1", kind: "Secret", metadata: { name: "s", annotations: { last: '{"data":"k3y"}' } } },
  ...rest,
});

test("what a Secret holds is named and not shown, in whatever shape it comes", () => {
  for (const data of [{ "tls.key": "k3y" }, "k3y", ["k3y"], { a: { b: "k3y" } }]) {
    const shown = JSON.stringify(withoutKeys(secret({ data, stringData: data })));
    assert.ok(!shown.includes("k3y"), shown);
    assert.match(shown, /redacted/);
  }
  assert.deepEqual(withoutKeys(secret({ data: { "tls.key": "k3y" } })).data, { "tls.key": "[redacted]" });
});

test("other kinds are shown as they are", () => {
  const service: ObjectDocument = { apiVersion: "v1", kind: "Service", metadata: { annotations: { a: "b" } }, data: 1 };
  assert.equal(withoutKeys(service), service);
});
