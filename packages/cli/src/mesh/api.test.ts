import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, createServer } from "node:net";
import { test } from "node:test";
import { run } from "../testing/command-line.ts";
import { askApi, findApi } from "./api.ts";

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

const answering = async (
  status: number,
  body: object,
): Promise<Disposable & { readonly address: string; asked: number }> => {
  const server = createHttpServer((_, response) => {
    own.asked++;
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const own = { address, asked: 0, [Symbol.dispose]: () => void server.close() };
  return own;
};

test("of several control planes the next is asked where one is away or cannot take changes, not where one refuses", async () => {
  using away = await answering(503, { code: "WF2202", message: "the shared store cannot take changes now" });
  using good = await answering(200, { name: "good" });
  using refusing = await answering(404, { code: "WF8404", message: "no" });
  const target = (...addresses: readonly string[]) => findApi({ cp: addresses.join(",") }, {});
  assert.deepEqual(await askApi(target("127.0.0.1:1", away.address, good.address), "/v1/version"), { name: "good" });
  await assert.rejects(askApi(target(refusing.address, good.address), "/v1/version"), { code: "WF8404" });
  assert.equal(good.asked, 1);
  await assert.rejects(askApi(target("127.0.0.1:1", away.address), "/v1/version"), { code: "WF2202" });
  await assert.rejects(askApi(target(away.address, "127.0.0.1:1"), "/v1/version"), { code: "WF9030" });
  assert.equal((await run(["get", "--cp", "127.0.0.1:1,a b"])).code, 2);
});
