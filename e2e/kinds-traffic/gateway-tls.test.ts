/** Which clients a Gateway's TLS server lets in, and which of its certificates it shows, at our edge and at a stock Envoy. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type ConnectionOptions, connect } from "node:tls";
import { findFreePort } from "@weft/net/process/free-port";
import { startControlPlane } from "@weft/testkit/control-plane";
import { eventually } from "@weft/testkit/eventually";
import { type Hosts, startHosts } from "../policy-traffic/hosts.ts";
import { entryOf, foundation, together } from "../policy-traffic/mesh.ts";
import { createAuthority, type Issued } from "./certificates.ts";
import { askSecurely, type EdgeName, edgeNames, type Keys, secretOf, startEdges } from "./edges.ts";

const stack = new AsyncDisposableStack();
const ports = new Map<EdgeName, number>();
const at = (edge: EdgeName): number => ports.get(edge) ?? assert.fail(edge);
const ca = createAuthority("clients");
const [one, two, three, revoked] = ["one", "two", "three", "revoked"].map((name) => ca.issue(name)) as [
  Issued,
  Issued,
  Issued,
  Issued,
];
const foreign = createAuthority("foreign").issue("one");
const server = ca.issue("server.example");
/** Envoy looks at key types only among certificates that have the name asked for. */
const pair = { rsa: ca.issue("*.example", "rsa"), ec: ca.issue("*.example") };
let hosts: Hosts;

const folder = mkdtempSync(join(tmpdir(), "weft-gateway-tls-"));
const fileOf = (name: string, text: string): string => {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
};

const sites = ["spki", "hash", "either", "list", "listed", "pair", "files"] as const;
const secret = "mode: MUTUAL, credentialName: server";
const files = (): string => {
  const [cert, key] = [fileOf("server.pem", server.cert), fileOf("server.key", server.key)];
  return `serverCertificate: ${cert}, privateKey: ${key}`;
};
const pairFiles = (): string =>
  Object.entries(pair)
    .map(([type, { cert, key }]) => {
      const [certFile, keyFile] = [fileOf(`${type}.pem`, cert), fileOf(`${type}.key`, key)];
      return `{serverCertificate: ${certFile}, privateKey: ${keyFile}}`;
    })
    .join(", ");

const gatewayOf = (edge: EdgeName): string => {
  const serverOf = (name: (typeof sites)[number], tls: string): string =>
    `{port: {number: ${at(edge)}, name: https-${name}, protocol: HTTPS}, hosts: [${name}.example], tls: {${tls}}}`;
  const roots = fileOf("roots.pem", ca.rootPem);
  const crl = fileOf("revoked.pem", ca.revoke(revoked));
  return `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge-${edge}, namespace: default}
spec:
  selector: {edge: ${edge}}
  servers:
    - ${serverOf("spki", `${secret}, verifyCertificateSpki: ["${one.spki}"]`)}
    - ${serverOf("hash", `${secret}, verifyCertificateHash: ["${two.hash}"]`)}
    - ${serverOf("either", `${secret}, verifyCertificateSpki: ["${one.spki}"], verifyCertificateHash: ["${two.hash.replaceAll(":", "").toLowerCase()}"]`)}
    - ${serverOf("list", `mode: MUTUAL, ${files()}, caCertificates: ${roots}, caCrl: ${crl}`)}
    - ${serverOf("listed", "mode: MUTUAL, credentialName: listed")}
    - ${serverOf("pair", "mode: SIMPLE, credentialNames: [pair-rsa, pair-ec]")}
    - ${serverOf("files", `mode: SIMPLE, tlsCertificates: [${pairFiles()}]`)}
`;
};

const routeOf = (site: string): string => `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: ${site}, namespace: default}
spec:
  hosts: [${site}.example]
  gateways: [edge-envoy, edge-weft]
  http: [{route: [{destination: {host: site.test}}]}]
`;

const withList = (name: string, keys: Keys, list: string): string => {
  const object = JSON.parse(secretOf(name, keys, ca.rootPem)) as { stringData: Record<string, string> };
  object.stringData["ca.crl"] = list;
  return JSON.stringify(object);
};

before(async () => {
  hosts = stack.use(await startHosts());
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  for (const edge of edgeNames) ports.set(edge, await findFreePort("127.0.0.1", 0));
  const yaml = together(
    foundation(hosts.port),
    entryOf("site.test", [{ address: "127.92.0.1" }], { port: hosts.port }),
    ...sites.map(routeOf),
    secretOf("server", server, ca.rootPem),
    withList("listed", server, ca.revoke(revoked)),
    secretOf("pair-rsa", pair.rsa),
    secretOf("pair-ec", pair.ec),
    ...edgeNames.map(gatewayOf),
  );
  const cp = stack.use(await startControlPlane({ yaml }));
  await startEdges(stack, cp);
  for (const edge of edgeNames)
    for (const [site, keys] of [
      ["spki", one],
      ["hash", two],
      ["either", one],
      ["list", one],
      ["listed", one],
      ["pair"],
    ] as const)
      await eventually(`${edge} serves ${site}`, async () => ((await lets(edge, site, keys)) ? true : undefined));
});
after(() => stack.disposeAsync());

/** The request is answered. TLS 1.3 tells a client that it is refused only after the client's handshake. */
const lets = async (edge: EdgeName, site: (typeof sites)[number], keys?: Keys): Promise<boolean> => {
  const given = keys === undefined ? {} : { keys: { key: keys.key, cert: keys.cert } };
  const answer = await askSecurely(at(edge), `${site}.example`, given).catch(() => undefined);
  return answer?.status === 200;
};

const clients: readonly (readonly [name: string, Issued | undefined])[] = [
  ["one", one],
  ["two", two],
  ["three", three],
  ["revoked", revoked],
  ["foreign", foreign],
  ["nobody", undefined],
];

for (const edge of edgeNames) {
  for (const [site, what, expected] of [
    ["spki", "verifyCertificateSpki lets in those keys alone", "one"],
    ["hash", "verifyCertificateHash lets in those certificates alone", "two"],
    ["either", "with both, one of them will do", "one two"],
    ["list", "caCrl keeps those out that were revoked, and no others", "one two three"],
    ["listed", "ca.crl of a Secret does the same", "one two three"],
  ] as const)
    test(`${what} (${edge})`, { timeout: 60_000 }, async () => {
      const letIn: string[] = [];
      for (const [name, keys] of clients) if (await lets(edge, site, keys)) letIn.push(name);
      assert.equal(letIn.join(" "), expected);
    });

  for (const site of ["pair", "files"] as const)
    test(`of two certificates each client is shown one that it can check (${site}, ${edge})`, async () => {
      for (const [options, type] of [
        [{ maxVersion: "TLSv1.2", ciphers: "ECDHE-RSA-AES128-GCM-SHA256" }, "rsa"],
        [{ maxVersion: "TLSv1.2", ciphers: "ECDHE-ECDSA-AES128-GCM-SHA256" }, "ec"],
        [{ minVersion: "TLSv1.3", sigalgs: "RSA-PSS+SHA256" }, "rsa"],
        [{ minVersion: "TLSv1.3", sigalgs: "ECDSA+SHA256" }, "ec"],
      ] as const)
        assert.equal(await shown(edge, site, options), type, JSON.stringify(options));
    });
}

/** The type of key in the certificate for a client that has only so much. */
const shown = (edge: EdgeName, site: (typeof sites)[number], options: ConnectionOptions): Promise<string> =>
  new Promise((resolve, reject) => {
    const target = { host: "127.0.0.1", port: at(edge), servername: `${site}.example`, rejectUnauthorized: false };
    const socket = connect({ ...target, ...options });
    socket.once("secureConnect", () => {
      resolve(socket.getPeerX509Certificate()?.publicKey.asymmetricKeyType ?? "");
      socket.destroy();
    });
    socket.once("error", (error) => reject(new Error(JSON.stringify(options), { cause: error })));
  });
