import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { formatAddress } from "@weft/core/address";
import { openTestPlane, type TestPlane } from "../testing/plane.ts";

interface Items {
  readonly items: readonly Readonly<Record<string, unknown>>[];
  readonly summary: Readonly<Record<string, number>>;
}
interface Refusal {
  readonly code: string;
  readonly message: string;
  readonly next?: string;
}

const rule = (name: string, host: string): string =>
  `apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: { name: ${name} }\nspec: { host: ${host} }\n`;
const put = (mesh: TestPlane, path: string, body: unknown, headers = {}) =>
  mesh.api<Refusal & { resourceVersion: number }>(`/v1/registry/${path}`, { method: "PUT", body, headers });

describe("who may do what", () => {
  test("everybody on this machine reads; a change needs the admin token", async () => {
    await using mesh = await openTestPlane();
    assert.equal((await mesh.api("/ready", { token: "" })).status, 200);
    assert.equal((await mesh.api("/v1/registry", { token: "" })).status, 200);
    for (const token of ["", "wrong", `${mesh.adminToken}x`]) {
      const { status, body } = await mesh.api<Refusal>("/v1/config/apply", { method: "POST", body: "", token });
      assert.deepEqual([status, body.code], [401, "WF8401"]);
    }
    assert.equal((await put(mesh, "payments/instances/x", { address: "10.0.0.1", port: 80 })).status, 201);
    const denied = await mesh.api("/v1/registry/payments/instances/y", { method: "PUT", body: {}, token: "" });
    assert.equal(denied.status, 401);
  });

  test("a page of another origin changes nothing, even with the token", async () => {
    await using mesh = await openTestPlane();
    const options = { method: "POST", body: rule("a", "a") };
    const evil = await mesh.api<Refusal>("/v1/config/apply", {
      ...options,
      headers: { origin: "https://evil.example" },
    });
    assert.deepEqual([evil.status, evil.body.code], [403, "WF8403"]);
    const own = await mesh.api("/v1/config/apply", { ...options, headers: { origin: "http://localhost:8080" } });
    assert.equal(own.status, 200);
  });

  test("a foreign name that resolves here is refused, also for reading", async () => {
    await using mesh = await openTestPlane();
    const { request } = await import("node:http");
    const statusFor = (host: string): Promise<number> =>
      new Promise((resolve) => {
        const { port } = mesh.plane.http;
        const ask = request({ host: "127.0.0.1", port, path: "/v1/version", headers: { host } }, (response) => {
          response.resume();
          resolve(response.statusCode ?? 0);
        });
        ask.end();
      });
    assert.deepEqual(
      await Promise.all(["evil.example", "mesh.test:8080", "localhost", "[::1]:1"].map(statusFor)),
      [403, 200, 200, 200],
    );
  });
});

describe("configuration", () => {
  test("apply, read, list and delete one object, with kinds in any form", async () => {
    await using mesh = await openTestPlane();
    const applied = await mesh.api<Items>("/v1/config/apply", { method: "POST", body: rule("a", "a") });
    assert.deepEqual(applied.body.items, [
      { kind: "DestinationRule", namespace: "default", name: "a", result: "created" },
    ]);
    for (const kind of ["DestinationRule", "destinationrules", "destinationrule"]) {
      const { status, body } = await mesh.api<{ spec: object; source: object }>(`/v1/config/${kind}/default/a`);
      assert.deepEqual([status, body.spec], [200, { host: "a" }]);
    }
    assert.equal((await mesh.api<Items>("/v1/config?kind=DestinationRule&namespace=default")).body.items.length, 1);
    assert.equal((await mesh.api<Items>("/v1/config?namespace=other")).body.items.length, 0);
    assert.equal((await mesh.api("/v1/config?kind=Nonsense")).status, 400);
    assert.equal((await mesh.api("/v1/config/DestinationRule/default/a", { method: "DELETE" })).status, 200);
    assert.equal((await mesh.api("/v1/config/DestinationRule/default/a", { method: "DELETE" })).status, 404);
  });

  test("a wrong object is refused with its place and all findings, and nothing of the text is taken", async () => {
    await using mesh = await openTestPlane();
    const text = `${rule("a", "a")}---\n${rule("b", "b")}speck: 1\n`;
    const { status, body } = await mesh.api<Refusal & { findings: readonly object[] }>("/v1/config/apply?file=x.yaml", {
      method: "POST",
      body: text,
    });
    assert.equal(status, 422);
    assert.match(body.message, /^x\.yaml:10:1 .*speck/);
    assert.equal(body.findings.length, 1);
    assert.equal((await mesh.api<Items>("/v1/config")).body.items.length, 0);
  });

  test("what a Secret holds is not read back", async () => {
    await using mesh = await openTestPlane();
    const body =
      "{apiVersion: v1, kind: Secret, metadata: {name: s}, data: {tls.key: c2VjcmV0}, stringData: {a: secret}}";
    assert.equal((await mesh.api("/v1/config/apply", { method: "POST", body })).status, 200);
    for (const path of ["/v1/config/Secret/default/s", "/v1/config?kind=Secret"]) {
      const text = JSON.stringify((await mesh.api(path)).body);
      assert.match(text, /"tls.key":"\[redacted\]"/, path);
      assert.doesNotMatch(text, /c2VjcmV0|"secret"/, path);
    }
  });

  test("PUT takes exactly the object its path names", async () => {
    await using mesh = await openTestPlane();
    const path = "/v1/config/DestinationRule/default/a";
    assert.equal((await mesh.api(path, { method: "PUT", body: rule("b", "b") })).status, 400);
    assert.equal((await mesh.api(path, { method: "PUT", body: rule("a", "a") })).status, 201);
    assert.equal((await mesh.api(path, { method: "PUT", body: rule("a", "a2") })).status, 200);
  });

  test("analyze tells of references to nothing", async () => {
    await using mesh = await openTestPlane();
    await put(mesh, "real/instances/a", { address: "10.0.0.1", port: 80 });
    const text = `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: v }
spec: { hosts: [real], http: [{ route: [{ destination: { host: nobody } }] }] }`;
    await mesh.api("/v1/config/apply", { method: "POST", body: text });
    const { body } = await mesh.api<Items>("/v1/analyze");
    assert.ok(body.items.some(({ message }) => String(message).includes("nobody")));
  });
});

describe("registry", () => {
  const instance = { address: "10.0.0.1", port: 9080, servicePort: 80, protocol: "http", labels: { version: "v1" } };

  test("an instance makes a service; its endpoints are found by port and labels", async () => {
    await using mesh = await openTestPlane();
    const { status, body } = await put(mesh, "catalog/instances/c1", instance);
    assert.deepEqual([status, body.resourceVersion], [201, 1]);
    const services = (await mesh.api<Items>("/v1/registry")).body.items;
    assert.deepEqual(
      services.map(({ name, hostname, endpoints }) => [name, hostname, endpoints]),
      [["catalog", "catalog.default.svc.cluster.local", 1]],
    );
    const count = async (query: string): Promise<number> =>
      (await mesh.api<Items>(`/v1/registry/catalog/endpoints${query}`)).body.items.length;
    assert.deepEqual(await Promise.all([count(""), count("?port=80"), count("?port=81")]), [1, 1, 0]);
    assert.deepEqual(await Promise.all([count("?labels=version=v1"), count("?labels=version=v2")]), [1, 0]);
    assert.equal((await mesh.api("/v1/registry/nobody")).status, 404);
  });

  test("a service is found by as much of its host name as tells it in the mesh, whatever declares it", async () => {
    const entry = `apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: declared, namespace: default }
spec:
  hosts: [cart.default.svc.cluster.local]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{ number: 80, name: http, protocol: HTTP }]
  endpoints: [{ address: 10.0.0.2 }]
`;
    await using mesh = await openTestPlane();
    assert.equal((await mesh.api("/v1/config/apply", { method: "POST", body: entry })).status, 200);
    const status = async (name: string): Promise<number> => (await mesh.api(`/v1/registry/${name}`)).status;
    for (const name of ["cart", "cart.default", "cart.default.svc", "cart.default.svc.cluster.local"])
      assert.equal(await status(name), 200);
    for (const name of ["car", "default", "cart.shop", "cart.default.s"]) assert.equal(await status(name), 404);
  });

  test("versions guard writes; what is gone must register again", async () => {
    await using mesh = await openTestPlane();
    await put(mesh, "catalog/instances/c1", instance);
    const stale = await put(mesh, "catalog/instances/c1", { ...instance, weight: 2 }, { "if-match": '"7"' });
    assert.deepEqual([stale.status, stale.body.code], [412, "WF8004"]);
    assert.equal(
      (await put(mesh, "catalog/instances/c1", { ...instance, weight: 2 }, { "if-match": '"1"' })).status,
      200,
    );
    const path = "/v1/registry/catalog/instances/c1";
    assert.equal((await mesh.api(`${path}/heartbeat`, { method: "POST" })).status, 200);
    assert.equal((await mesh.api(path, { method: "DELETE" })).status, 200);
    assert.equal((await mesh.api<Refusal>(`${path}/heartbeat`, { method: "POST" })).body.code, "WF8003");
  });

  test("nonsense is refused by name", async () => {
    await using mesh = await openTestPlane();
    for (const [body, word] of [
      [{ address: "nowhere", port: 80 }, /address/],
      [{ address: "10.0.0.1" }, /port/],
      [{ address: "10.0.0.1", port: 80, colour: "red" }, /colour/],
      ["[]", /JSON object/],
      ["{", /JSON object/],
    ] as const) {
      const { status, body: refusal } = await put(mesh, "catalog/instances/c1", body);
      assert.equal(status, 400);
      assert.match(refusal.message, word);
    }
  });

  test("a watch begins with what is there and goes on with what changes, until the server stops", async () => {
    await using mesh = await openTestPlane();
    await put(mesh, "catalog/instances/c1", instance);
    const response = await fetch(`http://${formatAddress(mesh.plane.http)}/v1/registry/watch`);
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    const next = async (): Promise<string> =>
      (JSON.parse(Buffer.from((await reader.read()).value ?? []).toString()) as { type: string }).type;

    assert.equal(await next(), "ADDED");
    await mesh.api("/v1/registry/catalog/instances/c1", { method: "DELETE" });
    assert.equal(await next(), "DELETED");
    await mesh[Symbol.asyncDispose]();
    assert.equal((await reader.read()).done, true);
  });

  test("a watch since an unknown version is refused at once", async () => {
    await using mesh = await openTestPlane();
    const { status, body } = await mesh.api<Refusal>("/v1/registry/watch?since=99");
    assert.deepEqual([status, body.code], [410, "WF8005"]);
  });
});

test("join tokens are made, listed without their secrets, and revoked", async () => {
  await using mesh = await openTestPlane();
  const made = await mesh.api<{ token: string; id: string }>("/v1/tokens", {
    method: "POST",
    body: { ttlSeconds: 60, uses: 1 },
  });
  assert.equal(made.status, 201);
  const { body } = await mesh.api<Items>("/v1/tokens");
  assert.ok(body.items.some(({ id }) => id === made.body.id));
  assert.ok(!JSON.stringify(body).includes(made.body.token));
  for (const [asked, given] of [
    [{}, 1],
    [{ uses: "unlimited" }, "unlimited"],
  ] as const) {
    const other = await mesh.api<{ uses: unknown }>("/v1/tokens", { method: "POST", body: asked });
    assert.deepEqual([other.status, other.body.uses], [201, given]);
  }
  assert.equal((await mesh.api(`/v1/tokens/${made.body.id}`, { method: "DELETE" })).status, 200);
  assert.equal((await mesh.api<Refusal>("/v1/tokens", { method: "POST", body: { uses: "many" } })).status, 400);
});

test("the debug pages answer, and say what is not there", async () => {
  await using mesh = await openTestPlane();
  for (const page of ["syncz", "registryz", "endpointz", "configz", "adsz", "graph"]) {
    assert.equal((await mesh.api(`/debug/${page}`)).status, 200, page);
  }
  assert.equal((await mesh.api("/debug/config_dump?proxyID=nobody")).status, 404);
  assert.equal((await mesh.api("/v1/nothing")).status, 404);
  assert.equal((await mesh.api("/v1/registry", { method: "DELETE" })).status, 405);
});
