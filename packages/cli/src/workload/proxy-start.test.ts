import assert from "node:assert/strict";
import { test } from "node:test";
import { startFacts } from "./proxy-start.ts";

test("what holds is said with the objects it comes from", () => {
  const facts = startFacts({ concurrency: 2, environmentVariables: { GREETING: "hello" }, from: ["shop/web"] });
  assert.deepEqual([facts.concurrency, facts.env], [2, { GREETING: "hello" }]);
  assert.deepEqual(facts.lines, [
    "the sidecar starts with concurrency 2 and variables GREETING (ProxyConfig shop/web)",
  ]);
  assert.deepEqual(startFacts({ environmentVariables: {}, from: [] }).lines, []);
});

test("variables that choose the code that runs are left out, and that is said", () => {
  for (const name of [
    "NODE_OPTIONS",
    "LD_PRELOAD",
    "PATH",
    "Path",
    "WEFT_STATE_DIR",
    "SSL_CERT_FILE",
    "A B",
    "A=B",
    "",
  ]) {
    const facts = startFacts({ environmentVariables: { [name]: "x" }, from: ["shop/web"] });
    assert.deepEqual(facts.env, {}, name);
    assert.match(facts.lines[0] ?? "", /cannot set/);
  }
});
