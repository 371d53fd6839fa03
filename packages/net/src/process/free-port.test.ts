import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
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

const ranges = "/proc/sys/net/ipv4/ip_local_port_range";
test("no outgoing connection can take it", { skip: !existsSync(ranges) && "no such range here" }, async () => {
  const [low = 0, high = 0] = readFileSync(ranges, "utf8").split(/\s+/).map(Number);
  for (let i = 0; i < 20; i++) {
    const port = await findFreePort("127.0.0.1", 0);
    assert.ok(low <= 21_000 || port < low || port > high, `${port}`);
  }
});
