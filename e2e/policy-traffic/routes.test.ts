/** What VirtualServices do to requests, by the defaults and pitfalls people know from Istio, in Envoy and in our sidecar. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { findFreePort } from "@weft/net/process/free-port";
import { startControlPlane } from "@weft/testkit/control-plane";
import { eventually } from "@weft/testkit/eventually";
import { type Hosts, startHosts } from "./hosts.ts";
import {
  type Client,
  entryOf,
  foundation,
  places,
  routesOf,
  ruleOf,
  startBoth,
  startClient,
  tally,
  testsFor,
  together,
} from "./mesh.ts";

const stack = new AsyncDisposableStack();
let hosts: Hosts;
let clients: readonly Client[] = [];
/** Our sidecar in the namespace `shop`. */
let shopper: Client;

const subsets = `
  trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
`;
const twoVersions = (net: number) => places(net, 2).map((place, i) => ({ ...place, labels: { version: `v${i + 1}` } }));
const perConnection = (count: number): string =>
  `  trafficPolicy: {connectionPool: {http: {maxRequestsPerConnection: ${count}}}}`;

/** A Kubernetes Service with one address. */
const serviceAt = (name: string, namespace: string, ip: string, port: number): string => `
apiVersion: v1
kind: Service
metadata: {name: ${name}, namespace: ${namespace}}
spec: {ports: [{name: http, port: 80, targetPort: ${port}}]}
---
apiVersion: v1
kind: Endpoints
metadata: {name: ${name}, namespace: ${namespace}}
subsets: [{addresses: [{ip: ${ip}}], ports: [{name: http, port: ${port}}]}]
`;

/** Adds a word to an answer's header, so that the order of patches shows. */
const adding = (word: string, namespace: string, rest = "", created = ""): string => `
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: ${word}, namespace: ${namespace}${created === "" ? "" : `, creationTimestamp: "${created}"`}}
spec:
  ${rest}
  configPatches:
    - applyTo: VIRTUAL_HOST
      match:
        context: SIDECAR_OUTBOUND
        routeConfiguration: {vhost: {name: "order.test:80"}}
      patch:
        operation: MERGE
        value:
          response_headers_to_add: [{header: {key: x-order, value: ${word}}}]
`;

/** Two places, one of which takes no connections. */
const halfDead = (host: string, net: number, port: number, closedPort: number): string =>
  JSON.stringify({
    apiVersion: "networking.istio.io/v1",
    kind: "ServiceEntry",
    metadata: { name: host.replace(".", "-") },
    spec: {
      hosts: [host],
      ports: [{ number: 80, name: "http", protocol: "HTTP" }],
      resolution: "STATIC",
      location: "MESH_EXTERNAL",
      endpoints: places(net, 2).map(({ address }, i) => ({ address, ports: { http: i === 0 ? closedPort : port } })),
    },
  });

const configuration = (port: number, closedPort: number): string =>
  together(
    foundation(port),
    entryOf("reviews.test", twoVersions(61), { port }),
    ruleOf("reviews.test", subsets),
    routesOf(
      "reviews.test",
      `
    - match: [{headers: {end-user: {exact: jason}}}]
      route: [{destination: {host: reviews.test, subset: v2}}]
    - route: [{destination: {host: reviews.test, subset: v1}}]
`,
    ),
    ...["usual", "none"].flatMap((name, i) => {
      const host = `${name}.test`;
      const route = `route: [{destination: {host: ${host}}}]`;
      return [
        halfDead(host, 62 + i, port, closedPort),
        ruleOf(host, "  trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}"),
        routesOf(host, `    - {${route}${name === "none" ? ", retries: {}" : ""}}`),
      ];
    }),
    entryOf("patient.test", places(64, 1), { port }),
    routesOf("patient.test", "    - {route: [{destination: {host: patient.test}}]}"),
    entryOf("hasty.test", places(65, 1), { port }),
    routesOf("hasty.test", "    - {route: [{destination: {host: hasty.test}}], timeout: 0.2s}"),
    entryOf("shadow.test", twoVersions(66), { port }),
    ruleOf("shadow.test", subsets),
    routesOf(
      "shadow.test",
      `
    - match: [{uri: {prefix: /v2}}]
      route: [{destination: {host: shadow.test, subset: v2}}]
    - route: [{destination: {host: shadow.test, subset: v1}}]
    - match: [{uri: {prefix: /late}}]
      route: [{destination: {host: shadow.test, subset: v2}}]
`,
    ),
    entryOf("fault.test", places(67, 1), { port }),
    routesOf(
      "fault.test",
      `
    - match: [{uri: {prefix: /all}}]
      fault: {abort: {httpStatus: 418, percentage: {value: 100}}}
      route: [{destination: {host: fault.test}}]
    - fault: {abort: {httpStatus: 418}}
      route: [{destination: {host: fault.test}}]
`,
    ),
    entryOf("mirrored.test", places(68, 1), { port }),
    entryOf("mirror.test", places(69, 1), { port }),
    routesOf(
      "mirrored.test",
      `
    - match: [{uri: {prefix: /never}}]
      route: [{destination: {host: mirrored.test}}]
      mirror: {host: mirror.test}
      mirrorPercentage: {value: 0}
    - route: [{destination: {host: mirrored.test}}]
      mirror: {host: mirror.test}
`,
    ),
    serviceAt("stock", "default", "127.70.0.1", port),
    serviceAt("stock", "shop", "127.70.0.2", port),
    routesOf("short.test", "    - {route: [{destination: {host: stock}}]}", "shop"),
    ...["one", "two", "three"].flatMap((name, i) => {
      const host = `${name}.shop.svc.cluster.local`;
      const rule = (count: number, namespace: string): string =>
        ruleOf(host, perConnection(count), { namespace, name });
      return [
        serviceAt(name, "shop", `127.71.0.${i + 1}`, port),
        ...(i === 0 ? [rule(1, "default")] : []),
        ...(i <= 1 ? [rule(2, "shop")] : []),
        rule(3, "istio-system"),
      ];
    }),
    entryOf("order.test", places(72, 1), { port }),
    adding("late", "default", "", "2025-03-01T00:00:00Z"),
    adding("early", "default", "", "2025-01-01T00:00:00Z"),
    adding("low", "default", "priority: -10"),
    adding("high", "default", "priority: 10"),
    adding("also-late", "default", "", "2025-03-01T00:00:00Z"),
    adding("root", "istio-system", "priority: 100"),
    entryOf("secret.test", places(73, 1), { port }),
    ruleOf("secret.test", "  trafficPolicy: {tls: {mode: SIMPLE, credentialName: client-keys}}"),
    entryOf("secured.test", places(74, 1), { port }),
    ruleOf("secured.test", "  trafficPolicy: {tls: {mode: SIMPLE}}"),
  );

before(async () => {
  hosts = stack.use(await startHosts());
  const closedPort = await findFreePort("127.0.0.1", 0);
  const cp = stack.use(await startControlPlane({ yaml: configuration(hosts.port, closedPort) }));
  clients = await startBoth(stack, cp);
  shopper = stack.use(await startClient(cp, "weft", { namespace: "shop" }));
});
after(() => stack.disposeAsync());
const forBoth = testsFor(() => clients);

const hostOf = async (client: Client, host: string, path = "/", headers = {}): Promise<string> =>
  (await client.ask(host, { path, headers })).host;

forBoth("a header chooses the version", async (client) => {
  assert.equal(await hostOf(client, "reviews.test", "/", { "end-user": "jason" }), "127.61.0.2");
  for (const headers of [{}, { "end-user": "jasons" }, { "end-user": "Jason" }])
    assert.equal(await hostOf(client, "reviews.test", "/", headers), "127.61.0.1");
});

forBoth("trap: two retries hide a place that is down, and an empty block of retries turns them off", async (client) => {
  assert.deepEqual(tally(await client.askMany("usual.test", 20)), { "127.62.0.2": 20 });
  assert.deepEqual(tally(await client.askMany("none.test", 20)), { "503": 10, "127.63.0.2": 10 });
});

forBoth("trap: without a timeout a route waits for ever; the one that is written holds", async (client) => {
  const dump = await (await fetch(`http://${client.admin}/config_dump`)).text();
  const timeouts = (cluster: string): readonly string[] => [
    ...new Set(
      [...dump.matchAll(new RegExp(`"cluster": "outbound\\|80\\|\\|${cluster}",\\s+"timeout": "([^"]+)"`, "g"))].map(
        ([, text = ""]) => text,
      ),
    ),
  ];
  assert.deepEqual(timeouts("patient.test"), ["0s"]);
  assert.deepEqual(timeouts("ready.test"), ["0s"]);
  // The route for CONNECT has none.
  assert.deepEqual(timeouts("hasty.test"), ["0s", "0.200s"]);
  const answer = await client.ask("hasty.test", { path: "/held" });
  assert.equal(answer.status, 504);
  const waiting = client.ask("patient.test", { path: "/held" });
  await eventually("it waits", () => hosts.requests.get("127.64.0.1") !== undefined || undefined);
  assert.equal((await client.ask("hasty.test", { path: "/held" })).status, 504);
  hosts.release();
  assert.equal((await waiting).status, 200);
});

forBoth("trap: a rule for everything hides the rules after it", async (client) => {
  assert.equal(await hostOf(client, "shadow.test", "/late"), "127.66.0.1");
});

forBoth("trap: a prefix does not end where a segment does", async (client) => {
  for (const path of ["/v2", "/v2/x", "/v2x", "/v20/y"])
    assert.equal(await hostOf(client, "shadow.test", path), "127.66.0.2", path);
  assert.equal(await hostOf(client, "shadow.test", "/v1"), "127.66.0.1");
});

forBoth("trap: a fault without a percentage never happens", async (client) => {
  assert.deepEqual(tally(await client.askMany("fault.test", 20)), { "127.67.0.1": 20 });
  assert.deepEqual(tally(await client.askMany("fault.test", 5, () => ({ path: "/all" }))), { "418": 5 });
});

forBoth("trap: a mirror without a percentage gets every request", async (client) => {
  const mirrored = (): number => hosts.requests.get("127.69.0.1") ?? 0;
  const start = mirrored();
  await client.askMany("mirrored.test", 10, () => ({ path: "/never" }));
  assert.deepEqual(tally(await client.askMany("mirrored.test", 12)), { "127.68.0.1": 12 });
  await eventually("all are mirrored", () => mirrored() - start === 12 || undefined);
  assert.equal((await client.ask("ready.test")).status, 200);
  assert.equal(mirrored() - start, 12);
});

forBoth("trap: a short name is of the VirtualService's namespace, whoever asks", async (client) => {
  assert.equal(await hostOf(client, "short.test"), "127.70.0.2");
  assert.equal(await hostOf(client, "stock"), "127.70.0.1", "the client's own short names are of its own");
});

test("a client's short names are of its own namespace", async () => {
  assert.equal(await hostOf(shopper, "stock"), "127.70.0.2");
});

const requestsEach = async (client: Client, name: string): Promise<number> => {
  const host = `${name}.shop.svc.cluster.local`;
  await client.askMany(host, 6);
  return 6 / (await client.stat(host, "upstream_cx_total"));
};

forBoth(
  "trap: DestinationRules are looked for in the client's, the service's, then the root namespace",
  async (client) => {
    assert.equal(await requestsEach(client, "one"), 1);
    assert.equal(await requestsEach(client, "two"), 2);
    assert.equal(await requestsEach(client, "three"), 3);
  },
);

test("trap: another namespace's DestinationRule does not hold for this one's clients", async () => {
  assert.equal(await requestsEach(shopper, "one"), 2);
});

forBoth("trap: EnvoyFilters go by namespace, priority, age, name", async (client) => {
  const { headers } = await client.ask("order.test");
  assert.equal(headers["x-order"], "root, low, early, also-late, late, high");
});

forBoth("trap: credentialName without a workload selector means no TLS", async (client) => {
  assert.equal((await client.ask("secret.test")).status, 200, "the host speaks plaintext");
  assert.equal((await client.ask("secured.test")).status, 503);
});
