import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { exitWithParentVariable, startChild } from "./child.ts";

const node = (script: string, extra: Partial<Parameters<typeof startChild>[0]> = {}) =>
  startChild({ command: process.execPath, args: ["-e", script], env: process.env, ...extra });

test("output comes as whole lines with its stream", async () => {
  const lines: string[] = [];
  const child = node("console.log('a'); console.error('b'); process.stdout.write('c')", {
    onLine: (line, stream) => lines.push(`${stream}:${line}`),
  });
  assert.deepEqual(await child.exited, { code: 0, signal: null });
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(lines.sort(), ["stderr:b", "stdout:a", "stdout:c"].sort());
});

test("a program that cannot be started is an exit with an error, not an exception", async () => {
  const child = startChild({ command: "/nonexistent/program", args: [], env: {} });
  const exit = await child.exited;
  assert.match(exit.error?.message ?? "", /ENOENT/);
  assert.equal(child.hasExited(), true);
});

test("stop kills a child that ignores SIGTERM", async () => {
  let ready = (): void => {};
  const started = new Promise<void>((resolve) => {
    ready = resolve;
  });
  const child = node("process.on('SIGTERM', () => {}); console.log('up'); setInterval(() => {}, 1000)", {
    onLine: () => ready(),
  });
  await started;
  assert.equal((await child.stop(50)).signal, "SIGKILL");
});

test("a child told so ends when its parent is killed", async () => {
  const module = new URL("./child.ts", import.meta.url).href;
  const grandchild = `import("${module}").then((m) => { m.exitWithParent(process.env); console.log("up"); setInterval(() => {}, 1000); })`;
  const parent = `import("${module}").then((m) => m.startChild({ command: process.execPath, args: ["-e", ${JSON.stringify(grandchild)}],
    env: { ...process.env, ${exitWithParentVariable}: "1" }, inheritOutput: true }))`;
  const child = spawn(process.execPath, ["-e", parent], { stdio: ["ignore", "pipe", "inherit"] });
  await once(child.stdout, "data");
  const exited = once(child, "exit");
  child.kill("SIGKILL");
  // The pipe closes only when the grandchild, which shares it, has ended as well.
  await once(child.stdout.resume(), "close");
  assert.deepEqual(await exited, [null, "SIGKILL"]);
});
