/** h2spec, the public conformance suite of HTTP/2, against our listener: every case, strictly read, plain and over TLS. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { type EchoServer, startEchoServer } from "@weft/testkit/echo-server";
import { runProgram } from "@weft/testkit/processes";
import { h2specPath } from "./http2-peers.ts";
import { freePort, type RunningSidecar, routeTo, startHttpSidecar } from "./http2-sidecar.ts";

const casesOfSuite = 146;
const h2spec = h2specPath();
const stack = new AsyncDisposableStack();
const ports = { plain: 0, tls: 0 };
let sidecar: RunningSidecar;

before(async () => {
  const app: EchoServer = stack.use(await startEchoServer("app"));
  ports.plain = await freePort();
  ports.tls = await freePort();
  const routes = [routeTo("app")];
  sidecar = stack.use(
    await startHttpSidecar(
      [
        { name: "plain", port: ports.plain, routes, hcm: { codecType: "HTTP2" } },
        { name: "tls", port: ports.tls, routes, tls: "server" },
      ],
      [{ name: "app", port: app.port }],
    ),
  );
});
after(() => stack.disposeAsync());

for (const [name, flags] of [
  ["plain", []],
  ["tls", ["--tls", "--insecure"]],
] as const) {
  test(`h2spec --strict: every case passes, ${name}`, { timeout: 240_000 }, async (t) => {
    const args = ["--strict", "--host", "127.0.0.1", "--port", String(ports[name]), "--timeout", "4", ...flags];
    const { stdout, stderr } = await runProgram(h2spec, args);
    const summary = /(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed/.exec(stdout);
    t.diagnostic(summary?.[0] ?? stderr);
    const [, all, passed, skipped, failed] = (summary ?? []).map(Number);
    const failures = stdout.slice(stdout.indexOf("Failures:"));
    assert.deepEqual(
      { all, passed, skipped, failed },
      { all: casesOfSuite, passed: casesOfSuite, skipped: 0, failed: 0 },
      failures,
    );
  });
}

test("the sidecar has seen nothing it did not expect", async () => {
  assert.equal(await sidecar.stat("server.uncaught_errors"), 0);
  assert.ok((await sidecar.stat("http.plain.downstream_cx_protocol_error")) > 50);
});
