import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { test } from "node:test";
import { findFreePort } from "./free-port.ts";

test("a taken port is worked around", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const taken = (server.address() as AddressInfo).port;
  const found = await findFreePort("127.0.0.1", taken);
  assert.notEqual(found, taken);
  server.close();
  await once(server, "close");
  assert.equal(await findFreePort("127.0.0.1", taken), taken);
});

test("ports to avoid are not given", async () => {
  const seen: number[] = [];
  const found = await findFreePort("127.0.0.1", 0, (port) => seen.push(port) < 3);
  assert.equal(found, seen[2]);
});
