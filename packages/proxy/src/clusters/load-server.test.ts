import assert from "node:assert/strict";
import { test } from "node:test";
import { compileTools } from "../compile/testing/fixtures.ts";
import { compileCluster } from "./compile-cluster.ts";
import { staticCluster } from "./testing/fixtures.ts";

test("a cluster may name the server it comes from as the one to be told its load, and no other", () => {
  const compile = (lrsServer: object) =>
    compileCluster({ ...staticCluster(["10.0.0.1"]), lrsServer }, undefined, compileTools());
  for (const server of [{ self: {} }, { ads: {} }]) assert.equal(compile(server).hosts().length, 1);
  assert.throws(() => compile({ path: "/run/x" }), /lrsServer: load is told to the server that clusters come from/);
});
