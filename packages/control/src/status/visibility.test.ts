import assert from "node:assert/strict";
import { test } from "node:test";
import type { GrpcCallHead, GrpcPeer } from "@weft/net/grpc/calls";
import { visibilityOf } from "./visibility.ts";

const options = {
  trustDomain: "cluster.local",
  rootNamespace: "istio-system",
  isAdminToken: (t: string) => t === "ADMIN",
};
const head = (peer: Partial<GrpcPeer>, authorization?: string): GrpcCallHead => ({
  path: "/x",
  metadata: new Map(authorization === undefined ? [] : [["authorization", authorization]]),
  peer: { address: "10.0.0.9", secure: true, spiffe: undefined, ...peer },
});
const seen = (given: GrpcCallHead): readonly string[] =>
  ["default", "shop", "istio-system"].filter(visibilityOf(given, options));
const all = ["default", "shop", "istio-system"];

test("from this machine, or with the admin token over TLS, everything is seen", () => {
  for (const address of ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
    assert.deepEqual(seen(head({ address, secure: false })), all);
  assert.deepEqual(seen(head({}, "Bearer ADMIN")), all);
});

test("a workload sees its own namespace, one of the root namespace sees all", () => {
  assert.deepEqual(seen(head({ spiffe: "spiffe://cluster.local/ns/shop/sa/web" })), ["shop"]);
  assert.deepEqual(seen(head({ spiffe: "spiffe://cluster.local/ns/istio-system/sa/x" })), all);
});

test("others see nothing and are told why", () => {
  const refused: readonly (readonly [GrpcCallHead, number])[] = [
    [head({}), 16],
    [head({ secure: false }), 16],
    [head({ secure: false }, "Bearer ADMIN"), 16],
    [head({}, "Bearer WRONG"), 16],
    [head({ spiffe: "spiffe://other/ns/istio-system/sa/istiod" }), 7],
  ];
  for (const [given, status] of refused)
    assert.throws(
      () => visibilityOf(given, options),
      (error: { status?: number; message?: string }) => {
        assert.equal(error.status, status);
        assert.match(error.message ?? "", /^WF4002 /);
        return true;
      },
    );
});
