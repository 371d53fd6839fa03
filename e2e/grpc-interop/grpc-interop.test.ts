/**
 * gRPC's interop cases through a pair of sidecars with mutual TLS between them: grpc-js and grpc-go as clients and as
 * servers, every combination.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { runProgram, startProgram } from "@weft/testkit/processes";
import { grpcGoClient, grpcGoServer } from "../http2-peers.ts";
import { freePort, httpFilter, type RunningSidecar, routeTo, startHttpSidecar } from "../http2-sidecar.ts";
import { cases, openClient } from "./cases.ts";
import { startInteropServer } from "./service.ts";

const goClient = grpcGoClient();
const stack = new AsyncDisposableStack();
const servers = ["js", "go"] as const;
const out: Record<(typeof servers)[number], number> = { js: 0, go: 0 };
let callee: RunningSidecar;

before(async () => {
  const js = stack.use(await startInteropServer());
  const goPort = await freePort();
  const go = stack.use(startProgram(grpcGoServer(), [`--port=${goPort}`, "--use_tls=false"]));
  const ports = { js: js.port, go: goPort };
  const inPorts = { js: await freePort(), go: await freePort() };
  for (const name of servers) out[name] = await freePort();
  const deadlines = { maxGrpcTimeout: "0s" };
  const httpFilters = [httpFilter("grpc_stats", "FilterConfig")];
  callee = stack.use(
    await startHttpSidecar(
      servers.map((name) => ({
        name: `in-${name}`,
        port: inPorts[name],
        tls: "mutual",
        routes: [routeTo(name, "/", deadlines)],
        httpFilters,
      })),
      servers.map((name) => ({ name, port: ports[name], http2: true })),
    ),
  );
  stack.use(
    await startHttpSidecar(
      servers.map((name) => ({ name: `out-${name}`, port: out[name], routes: [routeTo(name, "/", deadlines)] })),
      servers.map((name) => ({ name, port: inPorts[name], http2: true, mutualTls: true })),
    ),
  );
  assert.ok(go.pid > 0);
});
after(() => stack.disposeAsync());

for (const server of servers) {
  for (const [name, run] of Object.entries(cases)) {
    test(`grpc-js to ${server}: ${name}`, { timeout: 20_000 }, async () => {
      using client = openClient(out[server]);
      await run(client);
    });
    test(`grpc-go to ${server}: ${name}`, { timeout: 20_000 }, async () => {
      const { code, stdout, stderr } = await runProgram(goClient, [
        "--server_host=127.0.0.1",
        `--server_port=${out[server]}`,
        "--use_tls=false",
        `--test_case=${name}`,
      ]);
      assert.equal(code, 0, stdout + stderr);
    });
  }
  test(`the calls to ${server} are counted, and none is left open`, async () => {
    assert.ok((await callee.stat(`cluster.${server}.grpc.success`)) >= 2 * 8);
    assert.equal(await callee.stat(`cluster.${server}.upstream_rq_active`), 0);
  });
}
