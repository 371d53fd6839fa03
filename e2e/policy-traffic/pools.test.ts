/** Limits of pools, ejection of bad hosts, and patches of clusters, in a stock Envoy and in our sidecar. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { findFreePort } from "@weft/net/process/free-port";
import { startControlPlane, type TestControlPlane } from "@weft/testkit/control-plane";
import { eventually } from "@weft/testkit/eventually";
import { type Program, startProgram } from "@weft/testkit/processes";
import { type Hosts, startHosts } from "./hosts.ts";
import {
  type Answer,
  type Client,
  entryOf,
  foundation,
  places,
  routesOf,
  ruleOf,
  startBoth,
  tally,
  testsFor,
  together,
} from "./mesh.ts";

const stack = new AsyncDisposableStack();
let hosts: Hosts;
let cp: TestControlPlane;
let clients: readonly Client[] = [];
let silent: { readonly program: Program; readonly port: number };

const turns = `
    loadBalancer: {simple: ROUND_ROBIN}`;
const pool = (spec: string): string => `
  trafficPolicy:
    connectionPool:
${spec}
`;
const ejecting = (spec: string): string => `
  trafficPolicy:${turns}
    outlierDetection:
${spec}
`;
/** Ten hosts, of which Istio's default lets one be out. */
const many = 10;
const noRetries = (host: string): string =>
  routesOf(host, `    - {route: [{destination: {host: ${host}}}], retries: {attempts: 0}}`);

const clusterPatch = (name: string, service: string, value: string): string => `
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: ${name}, namespace: default}
spec:
  configPatches:
    - applyTo: CLUSTER
      match:
        context: SIDECAR_OUTBOUND
        ${service === "" ? "" : `cluster: {service: ${service}}`}
      patch:
        operation: MERGE
        value:
          ${value}
`;

const mergedWeights = (heavy: string): string =>
  entryOf(
    "merged.test",
    places(49, 2).map((place) => ({ ...place, weight: place.address === heavy ? 20 : 1 })),
    { port: hosts.port },
  );

const configuration = ({ port, http2Port }: Hosts, closedPort: number): string =>
  together(
    foundation(port),
    entryOf("limited.test", places(31, 1), { port }),
    ruleOf(
      "limited.test",
      pool(`      tcp: {maxConnections: 1, connectTimeout: 10s}
      http: {http1MaxPendingRequests: 1, http2MaxRequests: 1000, maxRetries: 3}`),
    ),
    entryOf("short.test", places(32, 1), { port }),
    ruleOf("short.test", pool("      http: {maxRequestsPerConnection: 2}")),
    entryOf("idle.test", places(33, 1), { port }),
    ruleOf(
      "idle.test",
      pool("      tcp: {connectTimeout: 1s, maxConnections: 1000}\n      http: {idleTimeout: 100ms}"),
    ),
    entryOf("silent.test", [{ address: "127.34.0.1" }], { port: silent.port }),
    ruleOf("silent.test", pool("      tcp: {connectTimeout: 30ms, maxConnections: 100}")),
    entryOf("requests.test", places(35, 1), { port: http2Port, protocol: "HTTP2" }),
    ruleOf("requests.test", pool("      http: {http2MaxRequests: 1, maxRequestsPerConnection: 2}")),
    JSON.stringify({
      apiVersion: "networking.istio.io/v1",
      kind: "ServiceEntry",
      metadata: { name: "ports" },
      spec: {
        hosts: ["ports.test"],
        ports: [80, 81].map((number) => ({ number, name: `p${number}`, protocol: "HTTP" })),
        resolution: "STATIC",
        location: "MESH_EXTERNAL",
        endpoints: [{ address: "127.36.0.1", ports: { p80: port, p81: port } }],
      },
    }),
    ruleOf(
      "ports.test",
      `
  trafficPolicy:
    connectionPool: {http: {maxRequestsPerConnection: 1}}
    portLevelSettings:
      - port: {number: 80}
        outlierDetection: {consecutive5xxErrors: 1, interval: 300s, baseEjectionTime: 3m, maxEjectionPercent: 100}
`,
    ),
    entryOf("strict.test", places(37, 1), { port }),
    ruleOf(
      "strict.test",
      `
  trafficPolicy:
    portLevelSettings:
      - port: {number: 80}
        connectionPool: {http: {http1MaxPendingRequests: 1, maxRequestsPerConnection: 1}}
        outlierDetection: {consecutive5xxErrors: 1, interval: 300s, baseEjectionTime: 3m, maxEjectionPercent: 100}
`,
    ),
    entryOf("five.test", places(40, many), { port }),
    ruleOf("five.test", ejecting("      {consecutive5xxErrors: 5, interval: 300s, baseEjectionTime: 600s}")),
    entryOf("gateway.test", places(41, many), { port }),
    ruleOf(
      "gateway.test",
      ejecting("      {consecutiveGatewayErrors: 3, interval: 300s, baseEjectionTime: 600s, maxEjectionPercent: 10}"),
    ),
    JSON.stringify({
      apiVersion: "networking.istio.io/v1",
      kind: "ServiceEntry",
      metadata: { name: "origin" },
      spec: {
        hosts: ["origin.test"],
        ports: [{ number: 80, name: "http", protocol: "HTTP" }],
        resolution: "STATIC",
        location: "MESH_EXTERNAL",
        endpoints: places(42, many).map(({ address }, i) => ({
          address,
          ports: { http: i === 0 ? closedPort : port },
        })),
      },
    }),
    ruleOf(
      "origin.test",
      ejecting(
        "      {consecutive5xxErrors: 50, interval: 300s, baseEjectionTime: 600s, splitExternalLocalOriginErrors: true}",
      ),
    ),
    noRetries("origin.test"),
    clusterPatch("merge-updates", "merged.test", "common_lb_config: {update_merge_window: 600s}"),
    mergedWeights("127.49.0.1"),
    ruleOf("merged.test", `  trafficPolicy:${turns}`),
    clusterPatch(
      "first-threshold",
      "patched.test",
      "circuit_breakers: {thresholds: [{priority: DEFAULT, max_connections: 1, max_pending_requests: 1}]}",
    ),
    entryOf("patched.test", places(50, 1), { port }),
    clusterPatch("quick", "hasty.test", "connect_timeout: 0.03s"),
    entryOf("hasty.test", [{ address: "127.34.0.1" }], { port: silent.port }),
  );

/** Listens and never takes a connection: beyond what waits, nobody is answered. */
const startSilent = async (): Promise<typeof silent> => {
  const script = `
    const server = require("node:net").createServer();
    server.listen({ port: 0, host: "127.34.0.1", backlog: 1 }, () => {
      require("node:fs").writeSync(1, "port=" + server.address().port + "\\n");
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
    });`;
  const program = stack.use(startProgram(process.execPath, ["-e", script]));
  stack.defer(() => program.kill("SIGKILL"));
  const [, port = ""] = await program.waitFor(/^port=(\d+)/);
  const { connect } = await import("node:net");
  for (let i = 0; i < 3; i++) {
    const socket = connect({ host: "127.34.0.1", port: Number(port) });
    socket.on("error", () => {});
    stack.defer(() => void socket.destroy());
  }
  return { program, port: Number(port) };
};

before(async () => {
  hosts = stack.use(await startHosts());
  silent = await startSilent();
  cp = stack.use(await startControlPlane({ yaml: configuration(hosts, await findFreePort("127.0.0.1", 0)) }));
  clients = await startBoth(stack, cp);
});
after(() => stack.disposeAsync());
const forBoth = testsFor(() => clients);

const flagged = (answer: Answer): string => `${answer.status} ${answer.headers["x-envoy-overloaded"] ?? "-"}`;

/** Holds one request at the host, and says when it is there. */
const holdOne = async (client: Client, host: string): Promise<{ readonly answer: Promise<Answer> }> => {
  const answer = client.ask(host, { path: "/held" });
  await eventually("it is held", () => hosts.held() === 1 || undefined);
  return { answer };
};

forBoth("beyond maxConnections one request waits, the next overflows", async (client) => {
  const { answer: first } = await holdOne(client, "limited.test");
  const second = client.ask("limited.test");
  await eventually(
    "one waits",
    async () => (await client.stat("limited.test", "upstream_rq_pending_active")) === 1 || undefined,
  );
  const third = await client.ask("limited.test");
  assert.equal(flagged(third), "503 true");
  assert.match(third.body, /overflow/);
  assert.equal(await client.stat("limited.test", "upstream_rq_pending_overflow"), 1);
  hosts.release();
  assert.deepEqual(await Promise.all([first, second].map(async (one) => (await one).status)), [200, 200]);
  assert.equal(await client.stat("limited.test", "upstream_cx_total"), 1);
});

forBoth("maxRequestsPerConnection ends connections, others are used again", async (client) => {
  const taken = (host: string): Promise<number> => client.stat(host, "upstream_cx_total");
  await client.askMany("short.test", 6);
  assert.equal(await taken("short.test"), 3);
  const before = await taken("ready.test");
  await client.askMany("ready.test", 6);
  assert.ok((await taken("ready.test")) - before <= 1);
});

forBoth("a connection idle for idleTimeout is closed", async (client) => {
  assert.equal((await client.ask("idle.test")).status, 200);
  await eventually("it is closed", () => hosts.open("127.33.0.1") === 0 || undefined);
  assert.equal((await client.ask("idle.test")).status, 200);
  assert.equal(await client.stat("idle.test", "upstream_cx_total"), 2);
});

forBoth("who does not take connections is given up after connectTimeout", async (client) => {
  for (const host of ["silent.test", "hasty.test"]) {
    const { status, body } = await client.ask(host);
    assert.equal(status, 503);
    assert.match(body, /connection timeout/);
    assert.ok((await client.stat(host, "upstream_cx_connect_timeout")) >= 1);
  }
});

forBoth(
  "http2MaxRequests bounds requests at once, maxRequestsPerConnection each connection of HTTP/2",
  async (client) => {
    const { answer } = await holdOne(client, "requests.test");
    const over = await client.ask("requests.test");
    assert.equal(flagged(over), "503 true");
    hosts.release();
    assert.equal((await answer).status, 200);
    assert.deepEqual(tally(await client.askMany("requests.test", 5)), { "127.35.0.1": 5 });
    assert.equal(await client.stat("requests.test", "upstream_cx_http2_total"), 3);
  },
);

forBoth("trap: settings of a port wipe out the rule's other settings at that port", async (client) => {
  const connections = (): number => hosts.connections.get("127.36.0.1") ?? 0;
  const start = connections();
  await client.askMany("ports.test", 5);
  assert.equal(connections() - start, 1, "limit of the rule at a port with settings of its own");
  await client.askMany("ports.test:81", 5);
  assert.equal(connections() - start, 6, "limit of the rule at the other port");
});

forBoth("settings of a port hold: one request for each connection, one strike", async (client) => {
  hosts.statuses.clear();
  await client.askMany("strict.test", 3);
  assert.equal(await client.stat("strict.test", "upstream_cx_total"), 3);
  hosts.statuses.set("127.37.0.1", 500);
  assert.equal((await client.ask("strict.test")).status, 500);
  hosts.statuses.clear();
  await eventually("it is out", async () => (await client.ask("strict.test")).status === 503 || undefined);
});

const rounds = (host: string, bad: string, status: number, expected: number) => async (client: Client) => {
  hosts.statuses.clear();
  hosts.statuses.set(bad, status);
  const first = await client.askMany(host, expected * many);
  assert.equal(tally(first)[String(status)], expected);
  await client.ejected(host, 1);
  await eventually(
    "others answer",
    async () => !(await client.askMany(host, many)).includes(String(status)) || undefined,
  );
  const before = hosts.requests.get(bad);
  await client.askMany(host, 2 * many);
  assert.equal(hosts.requests.get(bad), before, "the bad host gets no more requests");
};

forBoth("five answers 5xx in a row put a host out", rounds("five.test", "127.40.0.3", 500, 5));
forBoth("three gateway errors in a row put a host out", rounds("gateway.test", "127.41.0.4", 502, 3));
forBoth("failures to connect are counted apart where the rule says so", async (client) => {
  hosts.statuses.clear();
  const seen = tally(await client.askMany("origin.test", 5 * many));
  assert.equal(seen["503"], 5);
  await client.ejected("origin.test", 1);
  const counter = "outlier_detection.ejections_enforced_consecutive_local_origin_failure";
  assert.equal(await client.stat("origin.test", counter), 1);
  await eventually(
    "others answer",
    async () => !(await client.askMany("origin.test", many)).includes("503") || undefined,
  );
});

forBoth("an EnvoyFilter's threshold comes after the one that is there, which holds", async (client) => {
  const waiting = Array.from({ length: 4 }, () => client.ask("patched.test", { path: "/held" }));
  await eventually("all are there", () => hosts.held() === 4 || undefined);
  hosts.release();
  for (const answer of waiting) assert.equal((await answer).status, 200);
  const dump = await (await fetch(`http://${client.admin}/config_dump`)).text();
  assert.match(dump, /"max_pending_requests": 1,?\s/);
});

test("a change of weights acts at once, also under an EnvoyFilter's update_merge_window", async () => {
  for (const client of clients)
    assert.match(await (await fetch(`http://${client.admin}/config_dump`)).text(), /"600s"/);
  for (const heavy of ["127.49.0.2", "127.49.0.1"]) {
    await cp.apply(mergedWeights(heavy));
    for (const client of clients)
      await eventually(
        `${client.name} follows`,
        async () => (tally(await client.askMany("merged.test", 42))[heavy] ?? 0) > 30 || undefined,
      );
  }
});
