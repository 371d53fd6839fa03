import assert from "node:assert/strict";
import { test } from "node:test";
import type { Cluster } from "../../clusters/cluster.ts";
import { exchange, filterTools, request } from "../../compile/testing/fixtures.ts";
import { grpcStats } from "./grpc-stats.ts";

test("methods beyond the bound are counted together, and those known before still apart", () => {
  const tools = filterTools();
  const filter = grpcStats.configure({ statsForAllMethods: true })(tools);
  const call = (method: string): void =>
    filter.onEnd?.(
      exchange({
        cluster: { statName: "app" } as Cluster,
        request: request(`/svc/${method}`, { "content-type": "application/grpc" }, { method: "POST" }),
      }),
    );
  for (let i = 0; i < 1500; i++) call(`m${i}`);
  call("m0");
  assert.equal(tools.value("cluster.app.grpc.svc.m0.total"), 2);
  assert.equal(tools.value("cluster.app.grpc.total"), 500);
});
