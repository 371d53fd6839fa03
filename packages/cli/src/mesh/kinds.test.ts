import assert from "node:assert/strict";
import { test } from "node:test";
import { kindNamed, objectNamed } from "./kinds.ts";

test("a kind is known by its name, plural and short form in any case, with its group or without", () => {
  for (const given of ["VirtualService", "virtualservices", "VS", "virtualservices.networking.istio.io"])
    assert.equal(kindNamed(given), "VirtualService", given);
  assert.equal(kindNamed("dr"), "DestinationRule");
});

test("what is no kind, and a kind in a wrong group, are refused with those there are", () => {
  for (const given of ["vss", "", "vs.security.istio.io", "constructor"])
    assert.throws(
      () => kindNamed(given),
      { code: "WF9022", next: /^use one of VirtualService, DestinationRule/ },
      given,
    );
});

test("KIND/NAME names an object as KIND NAME does", () => {
  assert.deepEqual(objectNamed("vs/reviews", undefined), { kind: "VirtualService", name: "reviews" });
  assert.deepEqual(objectNamed("vs", "reviews"), { kind: "VirtualService", name: "reviews" });
  assert.deepEqual(objectNamed(undefined, undefined), { kind: undefined, name: undefined });
});
