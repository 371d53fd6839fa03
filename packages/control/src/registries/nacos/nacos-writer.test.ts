import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger } from "@weft/core/world";
import type { HttpAnswer, HttpCall } from "@weft/net/http/client";
import { readHosts } from "@weft/protocols/nacos/answers";
import { WriteRefusal, type WrittenInstance, writtenByLabel } from "../outside/write-session.ts";
import { mapService, readInstance } from "./nacos-record.ts";
import { openNacosWriter } from "./nacos-writer.ts";

type Answer = (call: HttpCall, url: URL) => { readonly status: number; readonly body: unknown } | undefined;

const open = async (version: "v1" | "v3", answers: Answer = () => undefined) => {
  const calls: { readonly line: string; readonly query: URLSearchParams }[] = [];
  const call = async (asked: HttpCall): Promise<HttpAnswer> => {
    const url = new URL(asked.path, "http://nacos");
    calls.push({ line: `${asked.method} ${url.pathname}`, query: url.searchParams });
    const there = url.pathname.startsWith(`/nacos/${version}/`);
    const fine = version === "v3" ? { code: 0, data: [] } : url.pathname.endsWith("/beat") ? { code: 10_200 } : "ok";
    const { status, body } =
      answers(asked, url) ?? (there ? { status: 200, body: fine } : { status: 404, body: "none" });
    return { status, headers: {}, body: Buffer.from(typeof body === "string" ? body : JSON.stringify(body)) };
  };
  const session = await openNacosWriter({
    ...{ namespace: "public", toNamespace: "default", groups: ["G"], contextPath: "/nacos", credentials: undefined },
    dial: () => ({ http: { call, [Symbol.dispose]: () => undefined }, [Symbol.dispose]: () => undefined }),
  })({
    ...{ ended: () => undefined, mesh: "mesh.test", log: silentLogger, random: () => 0 },
    clock: { nowMs: () => 0, wallMs: () => 0 },
    setTimer: () => ({ [Symbol.dispose]: () => undefined }),
  });
  calls.length = 0;
  return { session, calls };
};

const instance = (more: Partial<WrittenInstance> = {}): WrittenInstance => ({
  ...{ key: "default/web/a/8080", namespace: "default", service: "web", id: "a", address: "10.0.0.1", port: 8_080 },
  ...{ servicePort: 80, protocol: "http", labels: { version: "v1", [writtenByLabel]: "mesh.test" } },
  ...{ serviceAccount: "web", locality: "eu/a", weight: 3, health: "healthy", ...more },
});
const beats = (call: HttpCall): boolean => call.path.includes("/beat?") || call.path.includes("heartBeat=true");

for (const version of ["v1", "v3"] as const) {
  const path = version === "v1" ? "/nacos/v1/ns/instance" : "/nacos/v3/client/ns/instance";
  test(`by the interface ${version} an instance is registered, kept and taken out`, async () => {
    const { session, calls } = await open(version);
    await session.put(instance());
    assert.deepEqual(await session.renew(new Map([["k", instance()]])), []);
    await session.remove(instance());
    const beat = version === "v1" ? `PUT ${path}/beat` : `POST ${path}`;
    assert.deepEqual(
      calls.map(({ line }) => line),
      [`POST ${path}`, beat, `DELETE ${path}`],
    );
    const [put] = calls;
    assert.equal(put?.query.get("serviceName"), "web");
    assert.equal(put?.query.get("groupName"), "G");
  });

  test(`by the interface ${version} an instance that is not there any more is told, so that it is put again`, async () => {
    const gone = { status: 200, body: { code: version === "v1" ? 20_404 : 21_003 } };
    const { session } = await open(version, (call) => (beats(call) ? gone : undefined));
    assert.deepEqual(await session.renew(new Map([["k", instance()]])), ["k"]);
  });
}

test("what was written is read as what it was", async () => {
  const { session, calls } = await open("v1");
  await session.put(instance());
  const metadata: unknown = JSON.parse(calls[0]?.query.get("metadata") ?? "");
  const [read] = readHosts({ hosts: [{ ip: "10.0.0.1", port: 8_080, weight: 3, metadata }] }) ?? [];
  const mapping = mapService({ group: "G", service: "web" }, ["G"]);
  assert.ok(read?.kind === "host" && mapping);
  const {
    labels,
    id: _,
    key: __,
    ...rest
  } = readInstance(read.host, {
    ...{ key: "", namespace: "default", mapping, scale: 1 },
  });
  const { labels: written, id: ___, key: ____, ...wanted } = instance();
  assert.deepEqual(rest, wanted);
  for (const [name, value] of Object.entries(written)) assert.equal(labels[name], value);
});

test("an instance that is not to be called is taken out, and gets no heartbeat", async () => {
  const { session, calls } = await open("v1");
  await session.put(instance({ health: "draining" }));
  await session.renew(new Map([["k", instance({ health: "unhealthy" })]]));
  assert.deepEqual(
    calls.map(({ line }) => line),
    ["DELETE /nacos/v1/ns/instance"],
  );
});

test("a service of another namespace has its name, too", async () => {
  const { session, calls } = await open("v1");
  await session.put(instance({ namespace: "shop" }));
  assert.equal(calls[0]?.query.get("serviceName"), "web-shop");
});

test("a record that Nacos does not take is refused alone; everything else ends the session", async () => {
  const answering = (status: number, body: unknown) =>
    open("v1", (call) => (call.method === "POST" ? { status, body } : undefined));
  await assert.rejects((await answering(400, "bad name")).session.put(instance()), WriteRefusal);
  await assert.rejects((await answering(200, { code: 21_000 })).session.put(instance()), WriteRefusal);
  for (const status of [401, 403, 500, 503]) {
    const { session } = await answering(status, "no");
    await assert.rejects(session.put(instance()), (error) => !(error instanceof WriteRefusal));
  }
});

test("a server with nothing to register with, and one that refuses the user, open no session", async () => {
  await assert.rejects(
    open("v1", () => ({ status: 404, body: "none" })),
    /nothing to register with/,
  );
  await assert.rejects(
    open("v1", () => ({ status: 403, body: "unknown user!" })),
    /HTTP 403: unknown user!/,
  );
});

test("two services of the mesh that would have one name in Nacos are not mixed: the one that stands there has it", async () => {
  const { session, calls } = await open("v3");
  const own = instance({ service: "web-shop", key: "default/web-shop/a/8080" });
  const other = instance({ namespace: "shop", key: "shop/web/a/8080" });
  await session.put(own);
  await assert.rejects(
    session.put(other),
    (error) => error instanceof WriteRefusal && /name of default\/web-shop/.test(error.message),
  );
  await session.remove(other);
  assert.equal(calls.length, 1, "what was refused touches nothing of the other's");
  await session.remove(own);
  await session.put(other);
  assert.deepEqual([calls.length, calls.at(-1)?.query.get("serviceName")], [3, "web-shop"]);
});
