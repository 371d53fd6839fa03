/** LocalRateLimit in traffic: a stock Envoy and our sidecar under one control plane turn the same requests away. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { findFreePort } from "@weft/net/process/free-port";
import { startControlPlane, type TestControlPlane } from "@weft/testkit/control-plane";
import { startEchoServer } from "@weft/testkit/echo-server";
import { eventually } from "@weft/testkit/eventually";
import { callHttp, type HttpCall } from "@weft/testkit/http-call";
import { startMeshEnvoy } from "@weft/testkit/mesh-envoy";
import { startSidecar } from "@weft/testkit/sidecar";

const limit = (name: string, spec: string) => `
---
apiVersion: weft.dev/v1alpha1
kind: LocalRateLimit
metadata: { name: ${name} }
spec: ${spec}
`;
/** Longer than the test: what is taken does not come back. */
const slowly = "fillInterval: 1h";

const policies = [
  limit(
    "by-path",
    `{ selector: { matchLabels: { app: client } }, side: outbound, bucket: { maxTokens: 3, ${slowly} },
  match: { hosts: [echo.example], path: { prefix: /limited }, methods: [GET] }, status: 503,
  responseHeaders: { x-limited: "yes" } }`,
  ),
  limit(
    "by-user",
    `{ selector: { matchLabels: { app: client } }, side: outbound, bucket: { maxTokens: 1, ${slowly} },
  match: { path: { exact: /keyed } }, per: key, key: { header: x-user } }`,
  ),
  limit("other-port", `{ side: outbound, bucket: { maxTokens: 1, ${slowly} }, match: { port: 81 } }`),
  limit(
    "server",
    `{ selector: { matchLabels: { app: server } }, bucket: { maxTokens: 2, ${slowly} },
  match: { headers: { x-costly: { exact: "yes" } } } }`,
  ),
].join("");

const stack = new AsyncDisposableStack();
let cp: TestControlPlane;
let echoPort = 0;
let clients: readonly (readonly [name: string, address: string])[];

before(async () => {
  const echo = stack.use(await startEchoServer("v1"));
  echoPort = echo.port;
  const entry = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: echo }
spec:
  hosts: [echo.example]
  ports: [{ number: 80, name: http, protocol: HTTP }]
  resolution: STATIC
  endpoints: [{ address: 127.0.0.1, ports: { http: ${echo.port} } }]
`;
  cp = stack.use(await startControlPlane({ yaml: entry + policies }));
  const outboundPort = await findFreePort("127.0.0.1", 0);
  stack.use(await startMeshEnvoy(cp, { name: "client-e", service: "client" }, { mode: "GRPC", outboundPort }));
  const sidecar = stack.use(await startSidecar(cp, { name: "client", args: ["--log-level", "warn"] }));
  clients = [
    ["envoy", `127.0.0.1:${outboundPort}`],
    ["weft", sidecar.outbound],
  ];
  for (const [name, address] of clients) await serves(name, address);
});

after(() => stack.disposeAsync());

const serves = (name: string, address: string): Promise<unknown> =>
  eventually(`${name} serves`, async () =>
    (await callHttp(address, { host: "echo.example" }).catch(() => undefined))?.status === 200 ? true : undefined,
  );

const statuses = async (address: string, calls: readonly HttpCall[]): Promise<readonly number[]> => {
  const found: number[] = [];
  for (const call of calls) found.push((await callHttp(address, { host: "echo.example", ...call })).status);
  return found;
};

const times = (count: number, call: HttpCall): readonly HttpCall[] => Array.from({ length: count }, () => call);

test("outbound: only requests that meet the match count, and the answer is as written", async () => {
  for (const [name, address] of clients) {
    assert.deepEqual(await statuses(address, times(5, { path: "/limited/a?x=1" })), [200, 200, 200, 503, 503], name);
    const refused = await callHttp(address, { host: "echo.example", path: "/limited" });
    assert.deepEqual([refused.headers["x-limited"], refused.body], ["yes", "local_rate_limited"], name);
    assert.deepEqual(await statuses(address, times(5, { path: "/free" })), [200, 200, 200, 200, 200], name);
    assert.deepEqual(await statuses(address, times(2, { path: "/limited", method: "POST" })), [200, 200], name);
  }
});

test("per key: each value has a bucket, and requests without the header share one", async () => {
  const by = (user: string | undefined): HttpCall => ({
    path: "/keyed",
    ...(user === undefined ? {} : { headers: { "x-user": user } }),
  });
  const users = ["a", "a", "b", "b", undefined, undefined, "a"];
  for (const [name, address] of clients) {
    assert.deepEqual(await statuses(address, users.map(by)), [200, 429, 200, 429, 200, 429, 429], name);
    assert.deepEqual(await statuses(address, times(3, { path: "/keyed/more" })), [200, 200, 200], name);
  }
});

test("inbound: the workload's own proxy turns away what its callers send too much of", async () => {
  const ports = { port: await findFreePort("127.0.0.1", 0), appPort: echoPort };
  const outboundPort = await findFreePort("127.0.0.1", 0);
  const workload = { name: "server-e", service: "server", inbound: ports };
  await using _envoy = await startMeshEnvoy(cp, workload, { mode: "GRPC", outboundPort });
  await using sidecar = await startSidecar(cp, {
    name: "server",
    appPort: echoPort,
    // A listener that changes has new buckets, and this one would change as it becomes known as a service's.
    register: false,
    args: ["--log-level", "warn"],
  });
  const costly: HttpCall = { headers: { "x-costly": "yes" } };
  for (const [name, port] of [
    ["envoy", ports.port],
    ["weft", sidecar.port],
  ] as const) {
    const address = `127.0.0.1:${port}`;
    await serves(name, address);
    assert.deepEqual(await statuses(address, times(4, costly)), [200, 200, 429, 429], name);
    assert.deepEqual(await statuses(address, times(3, {})), [200, 200, 200], name);
  }
});
