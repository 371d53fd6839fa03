import assert from "node:assert/strict";
import { test } from "node:test";
import { addressTable, createScreen, keyLines, shopTable } from "./screen.ts";
import type { RunningWorkload } from "./start-shop.ts";

test("a row shows rates, shares, ejections and the version split", () => {
  const view = {
    ...{ service: "reviews", rps: 39.96, success: 0.9931, mtls: 1, p50: 1.23, p99: 42, endpoints: 3, ejected: 1 },
    versions: [
      { version: "v1", share: 0.9 },
      { version: "v2", share: 0.1 },
    ],
  };
  assert.equal(
    shopTable([view]).split("\n")[1],
    "reviews  40.0  99.3%    1.2ms  42ms  100%  3 (1 ejected)  v1 90.0%  v2 10.0%",
  );
});

test("a redraw moves up over exactly what was drawn, which no narrow terminal wraps", () => {
  const out: string[] = [];
  const screen = createScreen((text) => out.push(text));
  screen.draw("a\nb\n");
  screen.draw("c\n");
  screen.say("kept\n");
  screen.draw("d\n");
  const up = (n: number) => `${String.fromCharCode(27)}[${n}A${String.fromCharCode(27)}[J`;
  const cut = (text: string) => `${String.fromCharCode(27)}[?7l${text}${String.fromCharCode(27)}[?7h`;
  assert.deepEqual(out, [cut("a\nb\n"), `${up(2)}${cut("c\n")}`, `${up(1)}kept\n`, cut("d\n")]);
});

test("every scenario's key is offered, within 80 columns", () => {
  assert.match(keyLines(), /\[1\] canary.*\[2\].*\[3\].*\[0\].*\[q\] quit\n$/s);
  for (const line of keyLines().split("\n")) assert.ok(line.length <= 80, line);
});

test("where workloads listen fits in a terminal, two endpoints and the highest ports included", () => {
  const workload = {
    name: "reviews-v1",
    inbound: ["127.0.0.1:65534", "127.0.0.1:65533"],
    outbound: "127.0.0.1:65535",
    sidecar: { admin: "127.0.0.1:65532" },
    appPorts: [65531, 65530],
  } as unknown as RunningWorkload;
  const lines = addressTable([workload]).split("\n");
  assert.match(lines[1] ?? "", /^reviews-v1 +65534 65533 +65535 +65532 +65531 65530$/);
  assert.ok(lines.every((line) => line.length <= 100));
});
