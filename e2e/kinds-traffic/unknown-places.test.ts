/**
 * Where connections of an unaware program go by where it was going: ServiceEntries with resolution NONE, and what
 * MeshConfig and a Sidecar say of places nobody knows. Each proxy is on a machine of its own.
 */
import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { findFreePort } from "@weft/net/process/free-port";
import { startControlPlane, type TestControlPlane } from "@weft/testkit/control-plane";
import { startEchoServer } from "@weft/testkit/echo-server";
import { envoyPath } from "@weft/testkit/envoy";
import { eventually } from "@weft/testkit/eventually";
import { createNetworkNamespace, type NetworkNamespace } from "@weft/testkit/network-namespace";
import { weftEntry } from "@weft/testkit/processes";
import { keysOf, testCa } from "./edges.ts";

const names = ["envoy", "weft"] as const;
type Name = (typeof names)[number];
const proxyId = "1337";
const admin = "127.0.0.1:15000";

const stack = new AsyncDisposableStack();
const machines = new Map<Name, NetworkNamespace>();
const inside = (name: Name): NetworkNamespace => machines.get(name) ?? assert.fail(name);
let cp: TestControlPlane;
/** The port of services, one of services behind TLS, and one that is of none. */
let known: number;
let secure: number;
let unknown: number;

const configuration = (): string => `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: none, namespace: default}
spec:
  hosts: [none.example, "*.wild.example"]
  location: MESH_EXTERNAL
  resolution: NONE
  ports: [{number: ${known}, name: http, protocol: HTTP}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: secure, namespace: default}
spec:
  hosts: ["*.wild.example"]
  location: MESH_EXTERNAL
  resolution: NONE
  ports: [{number: ${secure}, name: tls, protocol: TLS}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: none, namespace: default}
spec:
  hosts: [none.example]
  http: [{route: [{destination: {host: none.example}}], headers: {request: {set: {x-through: none}}}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: wild, namespace: default}
spec:
  hosts: ["*.wild.example"]
  http: [{route: [{destination: {host: "*.wild.example"}}], headers: {request: {set: {x-through: wild}}}}]
`;

const bootstrapOf = (name: Name, net: NetworkNamespace, xdsPort: number): object => {
  const ads = { ads: {}, resourceApiVersion: "V3" };
  const address = (host: string, portValue: number) => ({ socketAddress: { address: host, portValue } });
  const type = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
  return {
    node: {
      id: `sidecar~${net.inside.ipv4}~client.of-${name}~of-${name}.svc.cluster.local`,
      cluster: "client",
      metadata: { NAMESPACE: `of-${name}`, INTERCEPTION_MODE: "REDIRECT", LABELS: { app: "client" } },
    },
    admin: { address: address("127.0.0.1", 15_000) },
    dynamicResources: {
      adsConfig: {
        apiType: "GRPC",
        transportApiVersion: "V3",
        grpcServices: [{ envoyGrpc: { clusterName: "plane" } }],
      },
      ldsConfig: ads,
      cdsConfig: ads,
    },
    staticResources: {
      clusters: [
        {
          name: "plane",
          type: "STATIC",
          connectTimeout: "2s",
          typedExtensionProtocolOptions: {
            [type]: { "@type": `type.googleapis.com/${type}`, explicitHttpConfig: { http2ProtocolOptions: {} } },
          },
          loadAssignment: {
            clusterName: "plane",
            endpoints: [{ lbEndpoints: [{ endpoint: { address: address(net.outside.ipv4[0], xdsPort) } }] }],
          },
        },
      ],
    },
  };
};

/** A machine whose programs' connections go through the proxy, which runs there as the user that is left out. */
const startMachine = async (name: Name, folder: string): Promise<void> => {
  const net = inside(name);
  const file = join(folder, `${name}.json`);
  writeFileSync(file, JSON.stringify(bootstrapOf(name, net, Number(cp.xds.split(":").at(-1)))));
  const program =
    name === "envoy"
      ? [envoyPath, "-c", file, "--concurrency", "1", "--disable-hot-restart", "-l", "warning"]
      : [process.execPath, "--disable-warning=ExperimentalWarning", weftEntry, "sidecar", "--bootstrap", file];
  const asProxy = ["--reuid", proxyId, "--regid", proxyId, "--clear-groups"];
  stack.use(net.start("setpriv", [...asProxy, ...program]));
  const ready = () => net.run("curl", ["-sf", "-m", "5", `http://${admin}/ready`]);
  await eventually(`${name} is ready`, async () => (await ready()).code === 0 || undefined);
  const { code, stderr } = await net.run(process.execPath, [weftEntry, "intercept", "apply"]);
  assert.equal(code, 0, stderr);
};

/** A server of the outside that says who it is to all names. */
const startSecure = async (): Promise<number> => {
  const server = createServer(keysOf(testCa()), (_, response) => void response.end("secure"));
  await new Promise<void>((resolve) => server.listen(0, "0.0.0.0", resolve));
  stack.defer(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
};

before(async () => {
  for (const name of names) machines.set(name, stack.use(createNetworkNamespace()));
  known = await findFreePort("0.0.0.0", 0);
  secure = await startSecure();
  cp = stack.use(
    await startControlPlane({
      yaml: configuration(),
      addresses: { xds: `0.0.0.0:${await findFreePort("0.0.0.0", 0)}`, secure: "127.0.0.1:0", http: "127.0.0.1:0" },
    }),
  );
  stack.use(await startEchoServer("known", known, "0.0.0.0"));
  const elsewhere = stack.use(await startEchoServer("unknown", 0, "0.0.0.0"));
  unknown = elsewhere.port;
  const folder = mkdtempSync(join(tmpdir(), "weft-unknown-places-"));
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  chmodSync(folder, 0o755);
  await Promise.all(names.map((name) => startMachine(name, folder)));
});
after(() => stack.disposeAsync());

/** Who answered a request to a port outside, and what the request was marked with; else the status, or 0. */
const call = async (name: Name, port: number, host: string): Promise<string> => {
  const net = inside(name);
  const url = `http://${net.outside.ipv4[0]}:${port}/`;
  const sent = ["-sS", "-m", "10", "--noproxy", "*", "-H", `Host: ${host}`, "-w", "\n%{http_code}", url];
  const { stdout } = await net.run("curl", sent);
  const at = stdout.lastIndexOf("\n");
  const status = stdout.slice(at + 1);
  if (status !== "200") return String(Number(status));
  const { name: from, headers } = JSON.parse(stdout.slice(0, at)) as { name: string; headers: Record<string, string> };
  return `${from} ${headers["x-through"] ?? "unmarked"}`;
};

/** Who answered behind TLS, with that name asked for; empty where nobody did. */
const callSecurely = async (name: Name, host: string): Promise<string> => {
  const net = inside(name);
  const place = ["--resolve", `${host}:${secure}:${net.outside.ipv4[0]}`, `https://${host}:${secure}/`];
  return (await net.run("curl", ["-sSk", "-m", "10", "--noproxy", "*", ...place])).stdout;
};

/** Answers for hosts of the ServiceEntries, for a host that none has, and at a port that none has; then by TLS. */
const outcome = async (name: Name): Promise<readonly string[]> => [
  await call(name, known, "none.example"),
  await call(name, known, "a.wild.example"),
  await call(name, known, "nobody.example"),
  await call(name, unknown, "nobody.example"),
  await callSecurely(name, "a.wild.example"),
  await callSecurely(name, "nobody.example"),
];
const becomes = async (name: Name, wanted: readonly string[]): Promise<void> => {
  let found: readonly string[] = [];
  await eventually(`${name} ${wanted}`, async () => {
    found = await outcome(name);
    return found.join() === wanted.join() || undefined;
  }).catch((error: unknown) => assert.deepEqual(found, wanted, String(error)));
};

const marked = ["known none", "known wild"];
const anyPlace = [...marked, "known unmarked", "unknown unmarked", "secure", "secure"];
const noPlace = [...marked, "502", "0", "secure", ""];

test("places nobody knows are open, closed by MeshConfig, opened again by a Sidecar; resolution NONE keeps the address", {
  timeout: 90_000,
}, async () => {
  for (const name of names) await becomes(name, anyPlace);
  await cp.apply(`
apiVersion: mesh.istio.io/v1alpha1
kind: MeshConfig
metadata: {name: mesh, namespace: istio-system}
spec: {outboundTrafficPolicy: {mode: REGISTRY_ONLY}}
`);
  for (const name of names) await becomes(name, noPlace);
  for (const name of names) {
    await cp.apply(`
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: own, namespace: of-${name}}
spec: {outboundTrafficPolicy: {mode: ALLOW_ANY}}
`);
    await becomes(name, anyPlace);
  }
});
