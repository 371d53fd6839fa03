import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { run } from "../testing/command-line.ts";

const startAdmin = async (status = 200, body = "active loggers:\n  main: info\n  xds: debug\n\n") => {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`);
    response.writeHead(status).end(body);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    asked,
    flags: ["--admin", `127.0.0.1:${(server.address() as AddressInfo).port}`],
    [Symbol.dispose]: () => {
      server.closeAllConnections();
      server.close();
    },
  };
};

test("a proxy's log levels are shown as a table, or as a bare list", async () => {
  using admin = await startAdmin();
  const { code, out } = await run(["proxy-config", "log", "web", ...admin.flags]);
  assert.deepEqual([code, out], [0, "LOGGER  LEVEL\nmain    info\nxds     debug\n"]);
  const { out: json } = await run(["pc", "log", "web", "-o", "json", ...admin.flags]);
  assert.deepEqual(JSON.parse(json)[1], { name: "xds", level: "debug" });
  assert.deepEqual(admin.asked, ["POST /logging", "POST /logging"]);
});

test("levels are set for all, for some, for a while, and reset", async () => {
  using admin = await startAdmin();
  for (const flags of [["--level", "debug"], ["--level", "xds:debug,http:trace", "--for", "10m"], ["--reset"]])
    assert.equal((await run(["proxy-config", "log", "web", ...flags, ...admin.flags])).code, 0);
  assert.deepEqual(admin.asked, [
    "POST /logging?level=debug",
    "POST /logging?paths=xds%3Adebug%2Chttp%3Atrace&for=10m",
    "POST /logging?level=info",
  ]);
});

test("flags that contradict each other are refused before anybody is asked", async () => {
  using admin = await startAdmin();
  for (const flags of [
    ["--for", "10m"],
    ["--level", "debug", "--reset"],
    ["--level", "debug", "--for", "soon"],
  ]) {
    const { code, err } = await run(["proxy-config", "log", "web", ...flags, ...admin.flags]);
    assert.equal(code, 2, flags.join(" "));
    assert.match(err, /^WF9020 /);
  }
  assert.deepEqual(admin.asked, []);
});

test("what the proxy refuses is told in its words", async () => {
  using admin = await startAdmin(400, "error: unknown logger name\n\nusage: x\n");
  const { code, err } = await run(["proxy-config", "log", "web", "--level", "nobody:debug", ...admin.flags]);
  assert.equal(code, 1);
  assert.match(err, /^WF9035 the proxy refused: error: unknown logger name/);
});

test("a proxy that does not answer is an error with a next step", async () => {
  const { code, err } = await run(["proxy-config", "log", "web", "--admin", "127.0.0.1:1"]);
  assert.equal(code, 1);
  assert.match(err, /^WF9028 .* Next: /);
});
