import assert from "node:assert/strict";
import { connect } from "node:net";
import { test } from "node:test";
import { silentLogger } from "@weft/core/world";
import { accessGuard, sameSecret } from "./access.ts";
import { findRoute, type Routes, route } from "./routes.ts";
import { HttpRefusal, type HttpServer, openHttpServer } from "./server.ts";

const routes: Routes = [
  route("GET", "/things/{name}", ({ params }) => ({ kind: "json", body: { name: params.get("name") } })),
  route("GET", "/things/special", () => ({ kind: "text", body: "special" })),
  route("POST", "/echo", ({ body }) => ({ kind: "text", body: body.toString() })),
  route("GET", "/refuse", () => {
    throw new HttpRefusal(409, "WF8409", "not now", { next: "later" });
  }),
  route("GET", "/break", () => {
    throw new Error("a secret of the server");
  }),
];
const start = (): Promise<HttpServer> =>
  openHttpServer({ address: { host: "127.0.0.1", port: 0 }, routes, log: silentLogger, bodyBytesMax: 100 });
const urlOf = ({ address }: HttpServer, path: string): string => `http://127.0.0.1:${address.port}${path}`;

test("routes: literal parts win, names are decoded, other methods are told", async () => {
  const server = await start();
  assert.deepEqual(await (await fetch(urlOf(server, "/things/a%20b%2Fc"))).json(), { name: "a b/c" });
  assert.equal(await (await fetch(urlOf(server, "/things/special"))).text(), "special");
  assert.equal((await fetch(urlOf(server, "/things/"))).status, 404);
  assert.equal((await fetch(urlOf(server, "/things/%ff"))).status, 404);
  const wrong = await fetch(urlOf(server, "/echo"));
  assert.deepEqual([wrong.status, wrong.headers.get("allow")], [405, "POST"]);
  await server.close();
});

test("a refusal is its code and message, a failure says nothing of itself", async () => {
  const server = await start();
  const refused = await fetch(urlOf(server, "/refuse"));
  assert.deepEqual(
    [refused.status, await refused.json()],
    [409, { code: "WF8409", message: "not now", next: "later" }],
  );
  const broken = await fetch(urlOf(server, "/break"));
  assert.deepEqual([broken.status, await broken.json()], [500, { code: "WF2500", message: "internal error" }]);
  await server.close();
});

test("a body above the limit is refused, and the answer arrives", async () => {
  const server = await start();
  const { status, json } = await fetch(urlOf(server, "/echo"), { method: "POST", body: "x".repeat(50) }).then((r) => ({
    status: r.status,
    json: r.text(),
  }));
  assert.deepEqual([status, (await json).length], [200, 50]);
  const big = await fetch(urlOf(server, "/echo"), { method: "POST", body: "x".repeat(5000) });
  assert.deepEqual([big.status, ((await big.json()) as { code: string }).code], [413, "WF8413"]);
  await server.close();
});

test("what is not HTTP is answered 400 and closed, others are not disturbed", async () => {
  const server = await start();
  const answer = await new Promise<string>((resolve) => {
    const socket = connect(server.address.port, "127.0.0.1");
    let text = "";
    socket.on("data", (data) => (text += data));
    socket.on("close", () => resolve(text));
    socket.write("\x16\x03\x01 hello\r\n\r\n");
  });
  assert.match(answer, /^HTTP\/1\.1 400/);
  assert.equal((await fetch(urlOf(server, "/things/a"))).status, 200);
  await server.close();
});

test("a head request has the length and no body", async () => {
  const server = await start();
  const response = await fetch(urlOf(server, "/things/special"), { method: "HEAD" });
  assert.deepEqual([response.headers.get("content-length"), await response.text()], ["7", ""]);
  await server.close();
});

test("named parts are never taken from a path of another length", () => {
  assert.equal(findRoute(routes, "GET", "/things/a/b").kind, "absent");
  assert.equal(findRoute(routes, "GET", "/things").kind, "absent");
  assert.equal(findRoute(routes, "HEAD", "/things/a").kind, "found");
});

test("secrets are compared whole", () => {
  assert.ok(sameSecret("abc", "abc"));
  for (const other of ["", "ab", "abcd", "abd", "ABC"]) assert.ok(!sameSecret("abc", other));
});

test("from another machine reading needs the token too, but for open paths", () => {
  const guard = accessGuard({ token: "t", hosts: ["mesh.test"], openPaths: ["/ready"] });
  const ask = (path: string, peerAddress: string, authorization = "") =>
    guard({ method: "GET", path, peerAddress, headers: { host: "mesh.test", authorization } });
  for (const peer of ["127.0.0.1", "::1", "::ffff:127.0.0.1"]) ask("/v1/proxies", peer);
  ask("/ready", "10.0.0.9");
  ask("/v1/proxies", "10.0.0.9", "Bearer t");
  assert.throws(() => ask("/v1/proxies", "10.0.0.9"), /another machine/);
  assert.throws(() => ask("/v1/proxies", "", "Bearer u"), /another machine/);
});
