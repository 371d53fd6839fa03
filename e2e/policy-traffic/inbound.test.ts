/** What policies do at the server's side: who gets in, who is turned away, and which limits hold there. */
import assert from "node:assert/strict";
import { connect } from "node:net";
import { after, before, test } from "node:test";
import { findFreePort } from "@weft/net/process/free-port";
import { startControlPlane, type TestControlPlane } from "@weft/testkit/control-plane";
import { eventually } from "@weft/testkit/eventually";
import { registerInstance, startSidecar, type TestSidecar } from "@weft/testkit/sidecar";
import { type Hosts, startHosts } from "./hosts.ts";
import { type Answer, askThrough, foundation, ruleOf, together } from "./mesh.ts";

const stack = new AsyncDisposableStack();
let hosts: Hosts;
let cp: TestControlPlane;
let app: TestSidecar;
let web: TestSidecar;
let sleep: TestSidecar;
/** Where the mesh dials the application that is taken as bytes, and that application. */
let bytesPort: number;
let bytes: Hosts;

const peerAuthentication = (name: string, mode: string, created: string): string => `
apiVersion: security.istio.io/v1beta1
kind: PeerAuthentication
metadata: {name: ${name}, namespace: default${created === "" ? "" : `, creationTimestamp: "${created}"`}}
spec: {mtls: {mode: ${mode}}}
`;
const authorization = (spec: string): string => `
apiVersion: security.istio.io/v1beta1
kind: AuthorizationPolicy
metadata: {name: policy, namespace: default}
spec:
  selector: {matchLabels: {app: app}}
${spec}
`;
/** No policy for anybody: takes the place of the one before. */
const allowAll = authorization("  action: ALLOW\n  rules: [{}]");

before(async () => {
  hosts = stack.use(await startHosts());
  bytes = stack.use(await startHosts());
  cp = stack.use(await startControlPlane({ yaml: foundation(hosts.port) }));
  bytesPort = await findFreePort("127.0.0.1", 0);
  const starting = [
    startSidecar(cp, {
      name: "app",
      appPort: hosts.port,
      args: ["--inbound", `tcp:tcp:127.0.0.1:${bytesPort}:${bytes.port}`],
    }),
    startSidecar(cp, { name: "web" }),
    startSidecar(cp, { name: "sleep" }),
  ] as const;
  [app, web, sleep] = await Promise.all(starting);
  for (const sidecar of [app, web, sleep]) stack.use(sidecar);
  await registerInstance(cp, {
    ...{ service: "bytes", id: "bytes", port: bytesPort, appPort: bytes.port, protocol: "tcp", servicePort: 9000 },
    labels: { app: "app" },
  });
  await eventually("all is there", async () => (await fromWeb()).status === 200 || undefined);
});
after(() => stack.disposeAsync());

const fromWeb = (path = "/"): Promise<Answer> => askThrough(web.outbound, "app", { path });
const fromSleep = (path = "/"): Promise<Answer> => askThrough(sleep.outbound, "app", { path });

/** What an application answers over plain bytes to a port; empty where the connection was refused or closed. */
const overBytes = (port: number): Promise<string> =>
  new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port });
    let heard = "";
    socket.setTimeout(20_000, () => socket.destroy());
    socket.on("error", () => {});
    socket.on("close", () => resolve(/^HTTP\/1\.1 (\d+)/.exec(heard)?.[1] ?? ""));
    socket.on("data", (part: Buffer) => {
      heard += part.toString("latin1");
    });
    socket.write("GET / HTTP/1.1\r\nhost: app\r\nconnection: close\r\n\r\n");
  });

const becomes = (what: string, ask: () => Promise<unknown>, expected: unknown): Promise<unknown> =>
  eventually(`${what} becomes ${expected}`, async () => (await ask()) === expected || undefined);
const status = (ask: () => Promise<Answer>) => async (): Promise<number> => (await ask()).status;

test("STRICT turns plaintext away, and a rule that denies a caller denies that caller only", async () => {
  await becomes("plaintext", () => overBytes(app.port), "200");
  await cp.apply(
    together(
      peerAuthentication("default", "STRICT", ""),
      authorization(`  action: DENY
  rules:
    - from:
        - source: {principals: ["cluster.local/ns/default/sa/sleep"]}`),
    ),
  );
  await becomes("sleep", status(fromSleep), 403);
  await becomes("plaintext", () => overBytes(app.port), "");
  assert.equal((await fromWeb()).status, 200);
  assert.match((await fromSleep()).body, /RBAC: access denied/);
});

test("trap: the oldest PeerAuthentication of a namespace holds, whatever its name", async () => {
  await cp.apply(
    together(
      allowAll,
      peerAuthentication("default", "STRICT", "2025-02-01T00:00:00Z"),
      peerAuthentication("zz-older", "PERMISSIVE", "2025-01-01T00:00:00Z"),
    ),
  );
  await becomes("plaintext", () => overBytes(app.port), "200");
  await cp.apply(
    together(
      peerAuthentication("default", "STRICT", "2025-02-01T00:00:00Z"),
      peerAuthentication("zz-older", "PERMISSIVE", "2025-03-01T00:00:00Z"),
    ),
  );
  await becomes("plaintext", () => overBytes(app.port), "");
  await cp.apply(peerAuthentication("default", "PERMISSIVE", "2025-02-01T00:00:00Z"));
  await becomes("plaintext", () => overBytes(app.port), "200");
});

test("trap: ALLOW without rules denies all, DENY without rules nobody", async () => {
  await cp.apply(authorization("  action: ALLOW"));
  for (const ask of [fromWeb, fromSleep]) await becomes("a caller", status(ask), 403);
  await cp.apply(authorization("  action: DENY"));
  for (const ask of [fromWeb, fromSleep]) await becomes("a caller", status(ask), 200);
});

test("trap: on TCP a rule that allows by HTTP is dropped, one that denies loses that field", async () => {
  await cp.apply(allowAll);
  await becomes("bytes", () => overBytes(bytesPort), "200");
  await cp.apply(authorization(`  action: ALLOW\n  rules: [{to: [{operation: {methods: [GET]}}]}]`));
  await becomes("bytes, where no rule is left that allows", () => overBytes(bytesPort), "");
  assert.equal((await fromWeb()).status, 200, "over HTTP the rule holds");
  await cp.apply(allowAll);
  await becomes("bytes", () => overBytes(bytesPort), "200");
  await cp.apply(
    authorization(
      `  action: DENY\n  rules: [{to: [{operation: {methods: [POST], ports: ["${bytes.port}", "${hosts.port}"]}}]}]`,
    ),
  );
  await becomes("bytes, where all of the port is denied", () => overBytes(bytesPort), "");
  assert.equal((await fromWeb()).status, 200, "over HTTP only POST is denied");
  assert.equal((await askThrough(web.outbound, "app", { method: "POST" })).status, 403);
  await cp.apply(allowAll);
  await becomes("bytes", () => overBytes(bytesPort), "200");
});

test("trap: the pool of a DestinationRule holds at the server's side too, for callers that never saw it", async () => {
  await cp.apply(ruleOf("app", "  trafficPolicy: {connectionPool: {http: {http2MaxRequests: 1}}}"));
  const direct = (path: string): Promise<Answer> => askThrough(`127.0.0.1:${app.port}`, "app", { path });
  await eventually("the limit holds", async () => {
    const before = hosts.held();
    const first = direct("/held");
    await eventually("one is held", () => hosts.held() === before + 1 || undefined);
    const second = await Promise.race([direct("/"), first]);
    hosts.release();
    await first;
    if (second.status !== 503) return undefined;
    assert.equal(second.headers["x-envoy-overloaded"], "true");
    return true;
  });
});
