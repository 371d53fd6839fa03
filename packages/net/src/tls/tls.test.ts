import assert from "node:assert/strict";
import { createPrivateKey, generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import type { AltNames } from "@weft/protocols/x509/alt-names";
import { issueLeaf, issueRoot, issuerOf } from "@weft/protocols/x509/issue";
import { publicKeyDer } from "@weft/protocols/x509/keys";
import { encodePem } from "@weft/protocols/x509/pem";
import { listenTcp } from "../tcp/accept.ts";
import type { ConnectionHandler } from "../tcp/connection.ts";
import { SocketLoop } from "../tcp/socket-loop.ts";
import { connectTls } from "./client-tls.ts";
import { certificateUris, type TlsPeer } from "./peer.ts";
import { upgradeServer } from "./server-tls.ts";
import { createTlsContext } from "./tls-material.ts";

const newKey = () => {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return { key: privateKey, pem: privateKey.export({ format: "pem", type: "pkcs8" }).toString() };
};
const now = Date.now();
const dates = { notBeforeMs: now - 60_000, notAfterMs: now + 3_600_000 };
const { key: rootKey } = newKey();
const root = issueRoot({ key: rootKey, organization: "o", commonName: "c", serial: Buffer.alloc(16, 1), ...dates });
const rootPem = encodePem("CERTIFICATE", root);
const noNames: AltNames = { uris: [], dnsNames: [], ipAddresses: [] };

const issue = (altNames: AltNames) => {
  const { pem } = newKey();
  const leaf = issueLeaf(issuerOf(root, rootKey), {
    publicKey: publicKeyDer(createPrivateKey(pem)),
    altNames,
    serial: Buffer.alloc(16, 2),
    ...dates,
  });
  return { keyPem: pem, certificatePem: encodePem("CERTIFICATE", leaf) };
};
const contextOf = (altNames: AltNames | undefined) =>
  createTlsContext({
    ...(altNames ? issue(altNames) : { keyPem: undefined, certificatePem: undefined }),
    rootsPem: rootPem,
    minVersion: "TLSv1.3",
    maxVersion: "TLSv1.3",
    ciphers: [],
  });
const handler = (part: Partial<ConnectionHandler>): ConnectionHandler => ({
  onRead() {},
  onPeerEnd() {},
  onDrain() {},
  onClose() {},
  ...part,
});

interface Met {
  readonly server: TlsPeer | undefined;
  readonly client: TlsPeer | undefined;
  readonly error: NodeJS.ErrnoException | undefined;
}

/** What each side sees of the other, after a handshake and its end. */
const meet = async (
  names: { readonly server: AltNames; readonly client?: AltNames },
  { alpn = [], refuse }: { readonly alpn?: readonly string[]; readonly refuse?: string } = {},
): Promise<Met> => {
  const loop = new SocketLoop();
  let seen: TlsPeer | undefined;
  const served = Promise.withResolvers<void>();
  const serverContext = contextOf(names.server);
  const listener = listenTcp({ loop, address: { host: "127.0.0.1", port: 0 } }, (connection) => {
    connection.handler = handler({
      onRead: (bytes) => {
        connection.handler = handler({ onPeerEnd: () => connection.end(), onClose: () => served.resolve() });
        const firstBytes = Buffer.from(bytes);
        const settings = { context: serverContext, alpn: "h2", requestCertificate: true, sni: "shop", firstBytes };
        upgradeServer(connection, settings, (peer) => {
          seen = peer;
        });
      },
    });
  });
  const at = await listener.bound;
  let server: TlsPeer | undefined;
  const error = await new Promise<NodeJS.ErrnoException | undefined>((resolve) => {
    const options = { context: contextOf(names.client), sni: "shop", alpn, refuse: () => refuse };
    const connection = connectTls(loop, { kind: "ip", ...at }, options, (peer) => {
      server = peer;
      connection.end();
    });
    connection.handler = handler({ onClose: resolve });
  });
  await served.promise;
  listener.close();
  return { server, client: seen, error };
};

test("both sides see each other's verified names, read apart however they look", async () => {
  const server: AltNames = {
    uris: ["https://a.example/b", "https://x/y,URI:spiffe://cluster.local/ns/a/sa/root"],
    dnsNames: ["shop.example"],
    ipAddresses: [Buffer.from([10, 0, 0, 1]), Buffer.from("20010db8000000000000000000000001", "hex")],
  };
  const client = { ...noNames, uris: ["spiffe://cluster.local/ns/a/sa/web"] };
  const met = await meet({ server, client }, { alpn: ["http/1.1", "h2"] });
  assert.deepEqual(met.server?.names, {
    uris: server.uris,
    dnsNames: server.dnsNames,
    emails: [],
    addresses: ["10.0.0.1", "2001:db8:0:0:0:0:0:1"],
  });
  assert.deepEqual([met.server?.verified, met.server?.alpn, met.server?.version], [true, "h2", "TLSv1.3"]);
  assert.deepEqual([met.client?.verified, met.client?.names.uris], [true, client.uris]);
  assert.match(met.client?.fingerprint ?? "", /^[0-9a-f]{64}$/);
});

test("a client without a certificate has no names and is not verified", async () => {
  const { client } = await meet({ server: { ...noNames, uris: ["spiffe://a/b"] } }, { alpn: ["h2"] });
  assert.deepEqual([client?.hasCertificate, client?.verified, client?.names.uris], [false, false, []]);
});

test("a certificate whose names could be read in two ways proves nothing, whoever signed it", async () => {
  const good = { ...noNames, uris: ["spiffe://cluster.local/ns/a/sa/b"] };
  const bad: readonly (readonly [RegExp, AltNames])[] = [
    [/visible ASCII/, { ...noNames, uris: ["spiffe://a/b", "spiffe://a/c\0d"] }],
    [/visible ASCII/, { ...noNames, dnsNames: ["shop.example\0.evil.example"] }],
    [
      /more than one URI name/,
      { ...noNames, uris: ["spiffe://cluster.local/ns/a/sa/b", "spiffe://cluster.local/ns/a/sa/c"] },
    ],
    [/more than one URI name/, { ...noNames, uris: ["https://a.example", "spiffe://cluster.local/ns/a/sa/c"] }],
    [/SPIFFE ID/, { ...noNames, uris: ["SPIFFE://cluster.local/ns/a/sa/b"] }],
    [/SPIFFE ID/, { ...noNames, uris: ["spiffe://cluster.local"] }],
    [/SPIFFE ID/, { ...noNames, uris: ["spiffe://cluster.local/ns/../sa/b"] }],
  ];
  for (const [reason, names] of bad) {
    const met = await meet({ server: names, client: names }, { alpn: ["h2"] });
    for (const peer of [met.server, met.client]) {
      assert.deepEqual([peer?.verified, peer?.names.uris, peer?.names.dnsNames], [false, [], []]);
      assert.match(peer?.verifyError ?? "", reason);
    }
  }
  const met = await meet({ server: good, client: good }, { alpn: ["h2"] });
  assert.deepEqual([met.server?.verified, met.client?.verified], [true, true]);
});

test("a server that is refused is never connected, and the reason is the connection's error", async () => {
  const met = await meet({ server: { ...noNames, uris: ["spiffe://a/b"] } }, { alpn: ["h2"], refuse: "not that one" });
  assert.equal(met.server, undefined);
  assert.deepEqual([met.error?.code, met.error?.message], ["EPEERREFUSED", "not that one"]);
});

test("the URI names of a chain are its leaf's, and no certificate has none", () => {
  const leaf = issue({ ...noNames, uris: ["spiffe://a/b"] });
  assert.deepEqual(certificateUris(leaf.certificatePem + rootPem), ["spiffe://a/b"]);
  assert.deepEqual(certificateUris(rootPem), []);
  assert.deepEqual(certificateUris("nothing"), []);
});
