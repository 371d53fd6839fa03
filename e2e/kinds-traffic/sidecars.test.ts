/** What Sidecars, EnvoyFilters and ServiceEntries with WorkloadEntries change for clients of a namespace, in both proxies. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { findFreePort } from "@weft/net/process/free-port";
import { startControlPlane, type TestControlPlane } from "@weft/testkit/control-plane";
import { eventually } from "@weft/testkit/eventually";
import { type Hosts, startHosts } from "../policy-traffic/hosts.ts";
import { askThrough, type Client, entryOf, foundation, startClient, tally, together } from "../policy-traffic/mesh.ts";

const names = ["envoy", "weft"] as const;
type Name = (typeof names)[number];

const stack = new AsyncDisposableStack();
/** Each client has a namespace of its own, with a Sidecar there that opens these ports. */
const opened = new Map<Name, { readonly egress: number; readonly ingress: number }>();
const at = (name: Name) => opened.get(name) ?? assert.fail(name);
const clients = new Map<Name, Client>();
let free: Client;
let hosts: Hosts;
let cp: TestControlPlane;

/** Imports what a client needs, and gives one port to one service alone. */
const sidecarOf = (name: Name): string => {
  const { egress, ingress } = at(name);
  return `
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: own, namespace: of-${name}}
spec:
  workloadSelector: {labels: {app: client}}
  ingress:
    - port: {number: ${ingress}, name: http, protocol: HTTP}
      bind: 127.0.0.1
      captureMode: NONE
      defaultEndpoint: 127.0.0.1:${hosts.port}
  egress:
    - port: {number: ${egress}, name: http, protocol: HTTP}
      bind: 127.0.0.1
      captureMode: NONE
      hosts: [default/alone-${name}.test]
    - hosts: [default/ready.test, default/imported.test, default/patched.test, default/vm.test, "default/*.wild.test"]
`;
};

const patchesOf = (name: Name): string => `
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: marks, namespace: of-${name}}
spec:
  configPatches:
    - applyTo: HTTP_FILTER
      match:
        context: SIDECAR_OUTBOUND
        listener: {filterChain: {filter: {name: envoy.filters.network.http_connection_manager, subFilter: {name: envoy.filters.http.router}}}}
      patch:
        operation: INSERT_BEFORE
        value:
          name: marks
          typed_config:
            "@type": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation
            mutations:
              request_mutations: [{append: {header: {key: x-filter, value: outbound}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}}]
    - applyTo: HTTP_ROUTE
      match:
        context: SIDECAR_OUTBOUND
        routeConfiguration: {vhost: {name: "patched.test:80"}}
      patch:
        operation: MERGE
        value: {response_headers_to_add: [{header: {key: x-route, value: merged}}]}
    - applyTo: VIRTUAL_HOST
      match:
        context: SIDECAR_OUTBOUND
        routeConfiguration: {vhost: {name: "patched.test:80"}}
      patch:
        operation: MERGE
        value: {request_headers_to_add: [{header: {key: x-host-patch, value: "yes"}}]}
    - applyTo: HTTP_FILTER
      match:
        context: SIDECAR_INBOUND
        listener: {filterChain: {filter: {name: envoy.filters.network.http_connection_manager, subFilter: {name: envoy.filters.http.router}}}}
      patch:
        operation: INSERT_BEFORE
        value:
          name: marks
          typed_config:
            "@type": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation
            mutations:
              request_mutations: [{append: {header: {key: x-filter, value: inbound}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}}]
`;

const workload = (name: string, address: string, app: string): string => `
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: ${name}, namespace: default}
spec: {address: ${address}, labels: {app: ${app}}, ports: {main: ${hosts.port}}}
`;

const configuration = (): string => {
  const { port } = hosts;
  return together(
    foundation(port),
    entryOf("imported.test", [{ address: "127.93.0.1" }], { port }),
    entryOf("other.test", [{ address: "127.93.0.2" }], { port }),
    entryOf("patched.test", [{ address: "127.93.0.3" }], { port }),
    entryOf("*.wild.test", [{ address: "127.93.0.4" }], { port }).replace('"*-wild-test"', '"wild"'),
    `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: vm, namespace: default}
spec:
  hosts: [vm.test]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports: [{number: 80, name: main, protocol: HTTP}]
  workloadSelector: {labels: {app: vm}}
`,
    workload("vm-1", "127.93.1.1", "vm"),
    workload("vm-2", "127.93.1.2", "vm"),
    workload("vm-3", "127.93.1.3", "else"),
    ...names.flatMap((name) => [
      entryOf(`alone-${name}.test`, [{ address: "127.93.0.5" }], { port, number: at(name).egress }),
      sidecarOf(name),
      patchesOf(name),
    ]),
  );
};

before(async () => {
  hosts = stack.use(await startHosts());
  for (const name of names) {
    const [egress, ingress] = [await findFreePort("127.0.0.1", 0), await findFreePort("127.0.0.1", 0)];
    opened.set(name, { egress, ingress });
  }
  cp = stack.use(await startControlPlane({ yaml: configuration() }));
  const start = (name: Name, namespace: string) => startClient(cp, name, { namespace });
  const [envoy, weft, third] = await Promise.all([
    start("envoy", "of-envoy"),
    start("weft", "of-weft"),
    start("weft", "elsewhere"),
  ]);
  clients.set("envoy", stack.use(envoy)).set("weft", stack.use(weft));
  free = stack.use(third);
});
after(() => stack.disposeAsync());

const forBoth = (what: string, check: (client: Client, name: Name) => Promise<void>): void => {
  for (const name of names)
    test(`${what} (${name})`, { timeout: 60_000 }, () => check(clients.get(name) ?? assert.fail(), name));
};
const headersIn = (body: string): Readonly<Record<string, string>> =>
  (JSON.parse(body) as { headers: Record<string, string> }).headers;

forBoth("a name the Sidecar does not import is unknown, which others reach", async (client) => {
  assert.equal((await client.ask("imported.test")).host, "127.93.0.1");
  assert.equal((await client.ask("other.test")).status, 502);
  assert.equal((await free.ask("other.test")).host, "127.93.0.2");
});

forBoth("an egress listener with a port has what it imports, and nothing else", async (client, name) => {
  const own = `127.0.0.1:${at(name).egress}`;
  const alone = `alone-${name}.test`;
  const answer = await eventually("the port is open", () => askThrough(own, `${alone}:${at(name).egress}`));
  assert.deepEqual([answer.status, answer.host], [200, "127.93.0.5"]);
  assert.equal((await askThrough(own, "imported.test")).status, 502);
  assert.equal((await client.ask("imported.test")).status, 200);
});

forBoth("an ingress listener hands what comes to it to its defaultEndpoint", async (_, name) => {
  const { status, host } = await askThrough(`127.0.0.1:${at(name).ingress}`, "whoever.test");
  assert.deepEqual([status, host], [200, "127.0.0.1"]);
});

forBoth("an EnvoyFilter's patches mark requests and answers, where they match", async (client, name) => {
  const patched = await client.ask("patched.test");
  const sent = headersIn(patched.body);
  assert.deepEqual([sent["x-filter"], sent["x-host-patch"], patched.headers["x-route"]], ["outbound", "yes", "merged"]);
  const other = await client.ask("imported.test");
  const sentOther = headersIn(other.body);
  assert.deepEqual(
    [sentOther["x-filter"], sentOther["x-host-patch"], other.headers["x-route"]],
    ["outbound", undefined, undefined],
  );
  const inbound = await askThrough(`127.0.0.1:${at(name).ingress}`, "whoever.test");
  assert.equal(headersIn(inbound.body)["x-filter"], "inbound");
  assert.equal(headersIn((await free.ask("patched.test")).body)["x-filter"], undefined);
});

forBoth("a wildcard host takes every name below it, and not the bare one", async (client) => {
  for (const host of ["a.wild.test", "b.c.wild.test"]) assert.equal((await client.ask(host)).host, "127.93.0.4", host);
  assert.equal((await client.ask("wild.test")).status, 502);
});

test("a ServiceEntry's workloadSelector finds WorkloadEntries, and follows their labels", async () => {
  const seen = async (client: Client) => Object.keys(tally(await client.askMany("vm.test", 24))).sort();
  for (const client of clients.values())
    assert.deepEqual(await seen(client), ["127.93.1.1", "127.93.1.2"], client.name);
  await cp.apply(together(workload("vm-2", "127.93.1.2", "gone"), workload("vm-3", "127.93.1.3", "vm")));
  for (const client of clients.values())
    await eventually(`${client.name} follows`, async () => {
      const now = await seen(client);
      assert.ok(
        now.every((host) => /^127\.93\.1\.[123]$/.test(host)),
        now.join(),
      );
      return now.join() === "127.93.1.1,127.93.1.3";
    });
});
