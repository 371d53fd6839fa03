/** `npm start -- --ci` as a stranger runs it: every scenario holds, busy ports are worked around, nothing stays behind. */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { eventually } from "@weft/testkit/eventually";
import { repositoryRoot, startProgram } from "@weft/testkit/processes";

/** Takes a port, unless somebody has it already, which serves as well. */
const occupy = (port: number): Promise<Server> =>
  new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(server));
    server.listen(port, "127.0.0.1", () => resolve(server));
  });

/** Processes of this machine whose environment has the marker: the demo hands its own on to all it starts. */
const processesWith = (marker: string): readonly string[] =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/environ`, "utf8").includes(marker);
      } catch {
        return false;
      }
    });

const openDemo = (args: readonly string[]) => {
  const folder = mkdtempSync(join(tmpdir(), "weft-demo-test-"));
  const marker = `WEFT_STATE_DIR=${join(folder, "state")}`;
  const program = startProgram("./weft", ["demo", ...args], {
    cwd: repositoryRoot,
    env: { WEFT_STATE_DIR: join(folder, "state"), TMPDIR: folder },
  });
  return { folder, marker, program };
};

test("every scenario of the demo holds on busy ports, and nothing is left behind", { timeout: 150_000 }, async () => {
  const busy = [await occupy(8080), await occupy(8000)];
  const { folder, marker, program } = openDemo(["--ci"]);
  try {
    assert.equal(await program.exited, 0, program.lines.join("\n"));
    const text = program.lines.join("\n");
    assert.match(text, /port 8080 \(HTTP API\) is busy: using \d+/);
    assert.match(text, /port 8000 \(ingress\) is busy: using \d+/);
    for (const name of ["normal", "canary", "break", "deny", "after"])
      assert.match(text, new RegExp(`^ok +${name}: `, "m"));
    assert.doesNotMatch(text, /^FAIL/m);
    assert.deepEqual(processesWith(marker), []);
    assert.deepEqual(readdirSync(folder), []);
  } finally {
    for (const server of busy) server.close();
    rmSync(folder, { recursive: true, force: true });
  }
});

test("a demo that is interrupted, or killed outright, takes its processes with it", { timeout: 120_000 }, async () => {
  for (const signal of ["SIGINT", "SIGKILL"] as const) {
    const { folder, marker, program } = openDemo([]);
    await program.waitFor(/another terminal:/, 60_000);
    assert.ok(processesWith(marker).length > 10);
    program.kill(signal);
    await program.exited;
    await eventually(
      `no process is left after ${signal}`,
      () => (processesWith(marker).length === 0 ? true : undefined),
      20_000,
    );
    if (signal === "SIGINT") assert.deepEqual(readdirSync(folder), []);
    rmSync(folder, { recursive: true, force: true });
  }
});
