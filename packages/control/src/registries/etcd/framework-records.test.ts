import assert from "node:assert/strict";
import { test } from "node:test";
import { readFrameworkRecord } from "./framework-records.ts";

const micro = (node: object, more: object = {}) =>
  readFrameworkRecord({
    ...{ name: "greeter", version: "latest", metadata: null, endpoints: [{ name: "Greeter.Hello" }] },
    ...{ nodes: [{ id: "greeter-1", address: "10.0.0.1:45987", ...node }], ...more },
  });
const kratos = (endpoints: readonly unknown[], more: object = {}) =>
  readFrameworkRecord({ id: "1", name: "shop", version: "v1", metadata: { zone: "a" }, endpoints, ...more });

test("go-micro: its node is the instance, with what both say as labels", () => {
  assert.deepEqual(
    micro({ metadata: { protocol: "grpc", registry: "etcd", weight: 3 } }, { metadata: { team: "a" } }),
    {
      ...{ address: "10.0.0.1", port: 45987, protocol: "grpc" },
      labels: { version: "latest", team: "a", protocol: "grpc", registry: "etcd" },
    },
  );
  assert.equal((micro({ metadata: { protocol: "mucp" } }) as { protocol?: string }).protocol, undefined);
});

test("Kratos: gRPC's server is called where there is one, else the first", () => {
  const labels = { version: "v1", zone: "a" };
  assert.deepEqual(kratos(["http://10.0.0.1:8000", "grpc://10.0.0.1:9000"]), {
    ...{ address: "10.0.0.1", port: 9000, protocol: "grpc", labels },
  });
  assert.deepEqual(kratos(["http://[::1]:8000?isSecure=false"], { version: "" }), {
    ...{ address: "::1", port: 8000, protocol: "http", labels: { zone: "a" } },
  });
});

test("a server of Kratos that speaks TLS itself is not spoken to in plain text", () => {
  const found = kratos(["grpc://10.0.0.1:9000?isSecure=true"]);
  assert.equal((found as { protocol?: string }).protocol, "tls");
});

test("what cannot be called says why, and what is of nobody here is left to others", () => {
  assert.match(String(micro({}, { nodes: [] })), /0 nodes/);
  assert.match(String(micro({}, { nodes: [{}, {}] })), /2 nodes/);
  assert.match(String(micro({}, { nodes: [null] })), /nodes/);
  assert.match(String(micro({ address: "10.0.0.1" })), /address/);
  assert.match(String(micro({ address: 7 })), /address/);
  for (const endpoints of [[], [7], ["10.0.0.1:80"], ["http://host"], ["http://10.0.0.1:80@x"], ["://10.0.0.1:80"]])
    assert.match(String(kratos(endpoints)), /^endpoints/, JSON.stringify(endpoints));
  assert.equal(readFrameworkRecord({ address: "10.0.0.1", port: 80 }), undefined);
});
