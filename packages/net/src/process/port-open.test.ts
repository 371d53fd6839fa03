import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { test } from "node:test";
import { findFreePort } from "./free-port.ts";
import { untilPortOpens } from "./port-open.ts";

test("a port that opens later is waited for", async () => {
  const port = await findFreePort("127.0.0.1", 0);
  const opened = untilPortOpens("127.0.0.1", port, new AbortController().signal);
  const server = createServer().listen(port, "127.0.0.1");
  await once(server, "listening");
  assert.equal((server.address() as AddressInfo).port, port);
  assert.equal(await opened, true);
  server.close();
});

test("aborting ends the wait", async () => {
  const stop = new AbortController();
  const opened = untilPortOpens("127.0.0.1", await findFreePort("127.0.0.1", 0), stop.signal);
  stop.abort();
  assert.equal(await opened, false);
});
