import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { test } from "node:test";

test("standard input is read to its end, also when it comes late and in parts", async () => {
  const module = JSON.stringify(new URL("./read-text.ts", import.meta.url).href);
  const source = `const { readStandardInput } = await import(${module}); console.error("reads");
process.stdout.write(JSON.stringify(await readStandardInput()));`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", source], { stdio: ["pipe", "pipe", "pipe"] });
  const output = text(child.stdout);
  await once(child.stderr, "data");
  child.stdin.write("kind: ");
  await new Promise((resolve) => setImmediate(resolve));
  child.stdin.end("Gateway é\n");
  assert.equal(await output, '"kind: Gateway é\\n"');
});
