/**
 * TLS of the mesh at gateways, ours and a stock Envoy: clients' mutual TLS that ends at an egress gateway, which speaks TLS
 * to servers outside in its own name, and mutual TLS that an AUTO_PASSTHROUGH gateway carries unopened to who ends it.
 */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer as createHttp, type IncomingMessage } from "node:http";
import { createServer as createHttps } from "node:https";
import type { AddressInfo, Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { connect, type TLSSocket } from "node:tls";
import { findFreePort } from "@weft/net/process/free-port";
import { startControlPlane } from "@weft/testkit/control-plane";
import { eventually } from "@weft/testkit/eventually";
import { callHttp } from "@weft/testkit/http-call";
import { startSidecar, type TestSidecar } from "@weft/testkit/sidecar";
import { together } from "../policy-traffic/mesh.ts";
import { createAuthority } from "./certificates.ts";
import { type EdgeName, edgeNames, type Keys, startEdges } from "./edges.ts";

const stack = new AsyncDisposableStack();
const ports = new Map<EdgeName, { readonly egress: number; readonly auto: number }>();
const at = (edge: EdgeName) => ports.get(edge) ?? assert.fail(edge);
let client: TestSidecar;

const ca = createAuthority("outside");
const own = ca.issue("own-client");
const folder = mkdtempSync(join(tmpdir(), "weft-egress-tls-"));
const fileOf = (name: string, text: string): string => {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
};

/** What a server outside saw of a request: the name asked for, and who asked. */
interface Seen {
  readonly sni: string | false | null;
  readonly client: string;
}
const seen: Seen[] = [];

const listen = async (server: Server): Promise<number> => {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  stack.defer(() => void server.close());
  return (server.address() as AddressInfo).port;
};

/** A server outside, which asks clients for a certificate and does not insist. */
const startOutside = (keys: Keys): Promise<number> =>
  listen(
    createHttps({ ...keys, ca: ca.rootPem, requestCert: true, rejectUnauthorized: false }, (request, response) => {
      const socket = request.socket as TLSSocket & { readonly servername?: string | false };
      seen.push({ sni: socket.servername ?? null, client: socket.getPeerCertificate().subjectaltname ?? "" });
      response.setHeader("connection", "close");
      response.end("from outside");
    }),
  );

const sites = ["simple", "mutual", "untrusted", "revoked"] as const;
type Site = (typeof sites)[number];

const siteOf = (edge: EdgeName, site: Site, port: number): string => {
  const host = `${site}-${edge}.example`;
  const roots = site === "untrusted" ? createAuthority("other").rootPem : ca.rootPem;
  const caFile = fileOf(`${site}-roots.pem`, roots);
  const tls = {
    simple: `{mode: SIMPLE, sni: simple.example, caCertificates: ${caFile}}`,
    mutual: `{mode: MUTUAL, sni: mutual.example, caCertificates: ${caFile}, clientCertificate: ${fileOf("own.pem", own.cert)}, privateKey: ${fileOf("own.key", own.key)}}`,
    untrusted: `{mode: SIMPLE, sni: simple.example, caCertificates: ${caFile}}`,
    revoked: `{mode: SIMPLE, sni: revoked.example, caCertificates: ${caFile}, caCrl: ${join(folder, "revoked.crl")}}`,
  }[site];
  return together(
    `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: ${site}-${edge}, namespace: default}
spec:
  hosts: [${host}]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: http-tls, protocol: HTTP}]
  endpoints: [{address: 127.0.0.1, ports: {http: ${port}, http-tls: ${port}}}]
`,
    `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: ${site}-${edge}, namespace: default}
spec:
  host: ${host}
  trafficPolicy: {portLevelSettings: [{port: {number: 443}, tls: ${tls}}]}
`,
    `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: ${site}-${edge}, namespace: default}
spec:
  hosts: [${host}]
  gateways: [mesh, edge-${edge}]
  http:
    - match: [{gateways: [mesh], port: 80}]
      route: [{destination: {host: egress-${edge}.test, port: {number: 8443}}}]
    - match: [{gateways: [edge-${edge}], port: ${at(edge).egress}}]
      retries: {attempts: 0}
      route: [{destination: {host: ${host}, port: {number: 443}}}]
`,
  );
};

const edgeOf = (edge: EdgeName): string =>
  together(
    `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge-${edge}, namespace: default}
spec:
  selector: {edge: ${edge}}
  servers:
    - port: {number: ${at(edge).egress}, name: https-out, protocol: HTTPS}
      hosts: [${sites.map((site) => `${site}-${edge}.example`).join(", ")}]
      tls: {mode: ISTIO_MUTUAL}
    - port: {number: ${at(edge).auto}, name: tls-auto, protocol: TLS}
      hosts: ["*.local"]
      tls: {mode: AUTO_PASSTHROUGH}
`,
    `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: egress-${edge}, namespace: default}
spec:
  hosts: [egress-${edge}.test]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 8443, name: http-egress, protocol: HTTP}]
  endpoints: [{address: 127.0.0.1, ports: {http-egress: ${at(edge).egress}}}]
`,
    `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: egress-${edge}, namespace: default}
spec:
  host: egress-${edge}.test
  trafficPolicy:
    tls:
      mode: ISTIO_MUTUAL
      sni: simple-${edge}.example
      subjectAltNames: ["spiffe://cluster.local/ns/default/sa/edge-${edge}"]
`,
  );

const shopRule = `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: shop, namespace: default}
spec:
  host: shop.default.svc.cluster.local
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
`;

const startShop = (version: string): Promise<number> =>
  listen(
    createHttp((request: IncomingMessage, response) => {
      const xfcc = String(request.headers["x-forwarded-client-cert"] ?? "");
      response.setHeader("connection", "close");
      response.end(JSON.stringify({ version, xfcc }));
    }),
  );

before(async () => {
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  for (const edge of edgeNames) {
    const [egress, auto] = [await findFreePort("127.0.0.1", 0), await findFreePort("127.0.0.1", 0)];
    ports.set(edge, { egress, auto });
  }
  const bad = ca.issue("revoked.example");
  fileOf("revoked.crl", ca.revoke(bad));
  const [well, revoked] = [await startOutside(ca.issue("*.example")), await startOutside(bad)];
  const yaml = together(
    shopRule,
    ...edgeNames.flatMap((edge) => [
      edgeOf(edge),
      ...sites.map((site) => siteOf(edge, site, site === "revoked" ? revoked : well)),
    ]),
  );
  const cp = stack.use(await startControlPlane({ yaml }));
  const shops = ["v1", "v2"].map(async (version) => {
    const appPort = await startShop(version);
    stack.use(await startSidecar(cp, { name: `shop-${version}`, service: "shop", labels: { version }, appPort }));
  });
  await Promise.all([
    startEdges(stack, cp),
    ...shops,
    startSidecar(cp, { name: "client" }).then((one) => {
      client = stack.use(one);
    }),
  ]);
  for (const edge of edgeNames) {
    await eventually(`${edge} is reached`, async () => (await ask(edge, "simple")).status === 200 || undefined);
    const carried = () => carry(edge, "outbound_.80_._.shop.default.svc.cluster.local").catch(() => undefined);
    await eventually(`${edge} carries`, async () => ((await carried())?.status === 200 ? true : undefined));
  }
});
after(() => stack.disposeAsync());

const ask = (edge: EdgeName, site: Site) => callHttp(client.outbound, { host: `${site}-${edge}.example` });

/** The keys of the client's sidecar, as its folder keeps them. */
const clientKeys = (): Keys => {
  const text = readFileSync(join(client.folder, "identity", "identity.json"), "utf8");
  const { keyPem, chain } = JSON.parse(text) as { keyPem: string; chain: readonly string[] };
  return { key: keyPem, cert: chain.slice(0, -1).join("") };
};

interface Carried {
  readonly status: number;
  readonly names: string;
  readonly version: string;
  readonly xfcc: string;
}

/** One request in mutual TLS of the mesh through a gateway that looks at the server name alone. */
const carry = (edge: EdgeName, servername: string, { alpn = ["istio-http/1.1", "istio"], keys = clientKeys() } = {}) =>
  new Promise<Carried>((resolve, reject) => {
    const { auto: port } = at(edge);
    const socket = connect({
      ...{ host: "127.0.0.1", port, servername, ALPNProtocols: alpn, rejectUnauthorized: false },
      ...keys,
    });
    let heard = "";
    socket.setTimeout(20_000, () => socket.destroy(new Error("no answer in time")));
    socket.once("error", reject);
    socket.once("close", () => reject(new Error(`closed after: ${heard}`)));
    socket.on("data", (bytes: Buffer) => {
      heard += bytes.toString("latin1");
      const body = /^HTTP\/1\.1 (\d+)[\s\S]*(\{.*\})/.exec(heard);
      if (!body) return;
      const names = socket.getPeerCertificate().subjectaltname ?? "";
      const told = JSON.parse(body[2] ?? "") as { version: string; xfcc: string };
      resolve({ status: Number(body[1]), names, ...told });
      socket.destroy();
    });
    socket.once("secureConnect", () => socket.write("GET / HTTP/1.1\r\nhost: shop\r\n\r\n"));
  });

for (const edge of edgeNames) {
  test(`an egress gateway ends the mesh's TLS and begins its own, by the name the rule gives (${edge})`, async () => {
    seen.length = 0;
    const { status, body } = await ask(edge, "simple");
    assert.deepEqual([status, body], [200, "from outside"]);
    assert.deepEqual(seen, [{ sni: "simple.example", client: "" }]);
  });

  test(`with MUTUAL it shows the rule's certificate, not the mesh's (${edge})`, async () => {
    seen.length = 0;
    assert.equal((await ask(edge, "mutual")).status, 200);
    assert.deepEqual(seen, [{ sni: "mutual.example", client: "DNS:own-client" }]);
  });

  test(`a server outside that is not signed by the rule's authorities, or that they revoked, is sent nothing (${edge})`, async () => {
    seen.length = 0;
    for (const site of ["untrusted", "revoked"] as const) assert.equal((await ask(edge, site)).status, 503, site);
    assert.deepEqual(seen, []);
  });

  test(`whoever shows no certificate of the mesh does not get out (${edge})`, async () => {
    seen.length = 0;
    const { egress } = at(edge);
    await assert.rejects(callHttp(`127.0.0.1:${egress}`, { host: `simple-${edge}.example` }));
    const tell = async (keys: Partial<Keys>): Promise<void> => {
      const options = { host: "127.0.0.1", port: egress, servername: `simple-${edge}.example`, ...keys };
      await new Promise<void>((resolve) => {
        const socket = connect({ ...options, ALPNProtocols: ["istio-http/1.1"], rejectUnauthorized: false });
        socket.on("error", () => {});
        socket.on("data", () => assert.fail("answered"));
        socket.once("close", () => resolve());
        socket.write(`GET / HTTP/1.1\r\nhost: simple-${edge}.example\r\n\r\n`);
      });
    };
    await tell({});
    await tell({ key: own.key, cert: own.cert });
    assert.deepEqual(seen, []);
  });

  test(`AUTO_PASSTHROUGH carries mutual TLS unopened to the service and subset of the server name (${edge})`, async () => {
    const host = "shop.default.svc.cluster.local";
    for (const version of ["v1", "v2"]) {
      const answer = await carry(edge, `outbound_.80_.${version}_.${host}`);
      assert.deepEqual([answer.status, answer.version], [200, version]);
      assert.match(answer.names, /spiffe:\/\/cluster\.local\/ns\/default\/sa\/shop/);
      assert.match(answer.xfcc, /URI=spiffe:\/\/cluster\.local\/ns\/default\/sa\/client/);
    }
    const versions = new Set<string>();
    for (let i = 0; i < 20 && versions.size < 2; i++)
      versions.add((await carry(edge, `outbound_.80_._.${host}`)).version);
    assert.deepEqual([...versions].sort(), ["v1", "v2"]);
  });

  test(`AUTO_PASSTHROUGH closes on other names, other ports, and what is no TLS of the mesh (${edge})`, async () => {
    const host = "shop.default.svc.cluster.local";
    const refused: readonly (readonly [name: string, options?: { readonly alpn: string[] }])[] = [
      [`outbound_.81_._.${host}`],
      [`outbound_.80_.v3_.${host}`],
      [host],
      ["outbound_.80_._.nobody.default.svc.cluster.local"],
      [`outbound_.80_._.${host}`, { alpn: ["http/1.1"] }],
    ];
    for (const [name, options] of refused) await assert.rejects(carry(edge, name, options), name);
    await assert.rejects(callHttp(`127.0.0.1:${at(edge).auto}`, { host }));
    // Who it is for checks who comes, not the gateway.
    await assert.rejects(carry(edge, `outbound_.80_._.${host}`, { keys: own }));
  });
}
