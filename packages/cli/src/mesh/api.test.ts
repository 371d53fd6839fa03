import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { test } from "node:test";
import { run } from "../testing/command-line.ts";
import { askApi } from "./api.ts";

test("a control plane that takes the connection and says nothing is a timeout", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const asking = askApi({ baseUrl, adminToken: undefined, mesh: undefined }, "/v1/version", { withinMs: 20 });
  await assert.rejects(asking, { code: "WF9033", message: /did not answer within 0\.02 s/ });
  server.close();
});

test("an address that is none is a usage error", async () => {
  for (const cp of ["http://127.0.0.1:99999", "a b", "127.0.0.1:x"]) {
    const { code, err } = await run(["get", "--cp", cp]);
    assert.equal(code, 2, cp);
    assert.match(err, /^WF9022 ".*" is not an address of a control plane/);
  }
});
