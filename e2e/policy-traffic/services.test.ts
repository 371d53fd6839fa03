/** Where requests to hosts of ServiceEntries and Kubernetes Services go, through Envoy and through our sidecar. */
import assert from "node:assert/strict";
import { connect } from "node:net";
import { hostname } from "node:os";
import { after, before, test } from "node:test";
import { startControlPlane } from "@weft/testkit/control-plane";
import { type Hosts, startHosts } from "./hosts.ts";
import { type Client, foundation, startBoth, tally, testsFor, together } from "./mesh.ts";

const stack = new AsyncDisposableStack();
let hosts: Hosts;
let clients: readonly Client[] = [];

const configuration = (port: number): string =>
  together(
    foundation(port),
    `
apiVersion: networking.istio.io/v1alpha3
kind: ServiceEntry
metadata: {name: partner}
spec:
  hosts: [partner.example]
  location: MESH_EXTERNAL
  ports: [{number: 443, name: https, protocol: TLS}]
  resolution: DNS
  endpoints:
    - {address: 127.81.0.1, ports: {https: ${port}}}
    - {address: 127.81.0.2, ports: {https: ${port}}}
---
apiVersion: networking.istio.io/v1alpha3
kind: ServiceEntry
metadata: {name: partner-https}
spec:
  hosts: [secure.example]
  ports: [{number: 443, name: https, protocol: HTTPS}]
  resolution: DNS
  endpoints:
    - {address: 127.82.0.1, ports: {https: ${port}}}
    - {address: 127.82.0.2, ports: {https: ${port}}}
---
apiVersion: networking.istio.io/v1alpha3
kind: ServiceEntry
metadata: {name: by-name}
spec:
  hosts: ["${hostname()}"]
  ports: [{number: 80, name: http, protocol: HTTP, targetPort: ${port}}]
  location: MESH_EXTERNAL
  resolution: DNS
---
apiVersion: networking.istio.io/v1alpha3
kind: ServiceEntry
metadata: {name: by-name-tls}
spec:
  hosts: [tls.localhost]
  ports: [{number: 443, name: https, protocol: HTTPS, targetPort: ${port}}]
  resolution: DNS
  location: MESH_EXTERNAL
  endpoints: [{address: localhost}]
---
apiVersion: v1
kind: Service
metadata:
  name: user-service
  labels: {app: user-service}
spec:
  selector: {app: user-service}
  ports: [{port: 80, targetPort: ${port}, name: http}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: user-service}
spec:
  replicas: 3
  selector: {matchLabels: {app: user-service}}
  template:
    metadata: {labels: {app: user-service}}
    spec: {containers: [{name: user-service, image: "user-service:latest", ports: [{containerPort: ${port}}]}]}
---
apiVersion: v1
kind: Endpoints
metadata: {name: user-service}
subsets:
  - addresses:
      - ip: 127.83.0.1
        nodeName: node-1
        targetRef: {kind: Pod, name: user-service-7d5b9c8f4c-abcde}
      - ip: 127.83.0.2
        nodeName: node-2
        targetRef: {kind: Pod, name: user-service-7d5b9c8f4c-fghij}
    ports: [{name: http, port: ${port}, protocol: TCP}]
---
apiVersion: networking.istio.io/v1alpha3
kind: DestinationRule
metadata: {name: round-robin}
spec: {host: user-service, trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}}
`,
  );

before(async () => {
  hosts = stack.use(await startHosts());
  const cp = stack.use(await startControlPlane({ yaml: configuration(hosts.port) }));
  clients = await startBoth(stack, cp);
});
after(() => stack.disposeAsync());
const forBoth = testsFor(() => clients);

/** All that comes back over a tunnel to an authority, which carries one request in the clear. */
const tunnelled = (client: Client, authority: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const [host = "", port] = client.outbound.split(":");
    const socket = connect({ host, port: Number(port) });
    let heard = "";
    socket.setTimeout(20_000, () => socket.destroy(new Error(`${authority}: ${heard}`)));
    socket.on("error", reject);
    socket.on("close", () => resolve(heard));
    socket.on("data", (bytes: Buffer) => {
      const had = heard.includes("\r\n\r\n");
      heard += bytes.toString("latin1");
      if (!had && heard.includes("\r\n\r\n")) socket.write("GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    });
    socket.write(`CONNECT ${authority} HTTP/1.1\r\nhost: ${authority}\r\n\r\n`);
  });
const reached = (text: string): string => /x-host: (\S+)/.exec(text)?.[1] ?? text;

for (const [name, authority, net] of [
  ["TLS", "partner.example:443", 81],
  ["HTTPS", "secure.example:443", 82],
] as const) {
  forBoth(`bytes for a ServiceEntry of ${name} with resolution DNS go to each of its addresses`, async (client) => {
    const seen = new Set<string>();
    for (let i = 0; i < 40 && seen.size < 2; i++) seen.add(reached(await tunnelled(client, authority)));
    assert.deepEqual([...seen].sort(), [`127.${net}.0.1`, `127.${net}.0.2`]);
  });
}

forBoth("resolution DNS without endpoints looks the host up", async (client) => {
  const { status, body } = await client.ask(hostname());
  assert.equal(status, 200, body);
  assert.equal((JSON.parse(body) as { headers: { host: string } }).headers.host, hostname());
});

forBoth("an endpoint that is a name is looked up", async (client) => {
  assert.equal(reached(await tunnelled(client, "tls.localhost:443")), "127.0.0.1");
});

forBoth("a Kubernetes Service is reached by each of its names, at the addresses of its Endpoints", async (client) => {
  for (const name of ["user-service", "user-service.default", "user-service.default.svc.cluster.local"]) {
    const seen = tally(await client.askMany(name, 10));
    assert.deepEqual(seen, { "127.83.0.1": 5, "127.83.0.2": 5 }, name);
  }
});

test("a name that nobody has is said to be unknown", async () => {
  for (const client of clients) assert.ok((await client.ask("other-service")).status >= 502, client.name);
});
