/** With several threads one checks and ejects for all: every connection, whichever thread serves it, sees the same. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { findFreePort } from "@weft/net/process/free-port";
import { eventually } from "@weft/testkit/eventually";
import { type Program, startWeft } from "@weft/testkit/processes";
import { type CheckedHosts, startCheckedHosts } from "./checked-hosts.ts";
import { askAll, assigned, at, balancingBootstrap, keysOf } from "./parts.ts";

const folder = mkdtempSync(join(tmpdir(), "weft-health-"));
let upstream: CheckedHosts;
let program: Program;
let admin = 0;
let main = 0;

before(async () => {
  upstream = await startCheckedHosts();
  admin = await findFreePort("127.0.0.1", 0);
  main = await findFreePort("127.0.0.1", 0, (port) => port === admin);
  const cluster = {
    commonLbConfig: { healthyPanicThreshold: {} },
    healthChecks: [
      {
        ...{ timeout: "1s", interval: "0.05s", noTrafficInterval: "0.05s" },
        ...{ unhealthyThreshold: 1, healthyThreshold: 1, httpHealthCheck: { path: "/only-1" } },
      },
    ],
    ...assigned({ lbEndpoints: [1, 2, 3].map((n) => at(n, upstream.port)) }),
  };
  const bootstrap = balancingBootstrap({ listener: () => main, admin, log: "" }, [{ name: "checked", cluster }]);
  const file = join(folder, "weft.json");
  writeFileSync(file, JSON.stringify(bootstrap));
  program = startWeft(["sidecar", "--bootstrap", file, "--concurrency", "2"]);
  await eventually(
    "the sidecar is ready",
    async () => ((await fetch(`http://127.0.0.1:${admin}/ready`)).status === 200 ? true : undefined),
    20_000,
  );
});
after(async () => {
  for (const each of [program, upstream]) await each?.[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

const healthy = async (): Promise<string> => {
  const text = await (await fetch(`http://127.0.0.1:${admin}/clusters`)).text();
  return [...text.matchAll(/^checked::127\.0\.0\.(\d):\d+::health_flags::healthy$/gm)].map(([, n]) => n).join();
};
/** Forty connections, which the threads share among them. */
const answers = async (): Promise<readonly string[]> => {
  const proxy = { port: () => main } as unknown as Parameters<typeof askAll>[0];
  return [...new Set(await askAll(proxy, "checked", keysOf(200), 40))].sort();
};

test("all threads go by what the one that checks has found, at once and after each change", async () => {
  for (const [fails, wanted, hosts] of [
    [false, "1", ["127.0.0.1"]],
    [true, "", ["503"]],
    [false, "1", ["127.0.0.1"]],
  ] as const) {
    upstream.failing = fails;
    await eventually(
      `hosts that pass: ${wanted}`,
      async () => ((await healthy()) === wanted ? true : undefined),
      10_000,
    );
    assert.deepEqual(await answers(), hosts);
  }
});
