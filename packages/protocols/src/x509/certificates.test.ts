import assert from "node:assert/strict";
import { generateKeyPairSync, type KeyObject, X509Certificate } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { isSpiffeId, noAltNames, parseAltNames } from "./alt-names.ts";
import { parseCertificate, peerIdentity } from "./certificate.ts";
import { createCsr, createCsrAside, parseCsr } from "./csr.ts";
import { context, sequence } from "./der.ts";
import { DerError } from "./der-reader.ts";
import { type Issuer, issueLeaf, issueRoot, issuerOf } from "./issue.ts";
import { publicKeyDer } from "./keys.ts";
import { decodePem, encodePem } from "./pem.ts";

const start = Date.parse("2026-01-01T00:00:00Z");
const day = 86_400_000;
const uri = "spiffe://cluster.local/ns/default/sa/catalog";

const newKey = (namedCurve = "P-256"): KeyObject => generateKeyPairSync("ec", { namedCurve }).privateKey;
const newRoot = (): Issuer => {
  const key = newKey();
  const der = issueRoot({
    key,
    organization: "weft",
    commonName: "cluster.local root",
    serial: Buffer.alloc(16, 3),
    notBeforeMs: start,
    notAfterMs: start + 3650 * day,
  });
  return issuerOf(der, key);
};
const root = newRoot();
const leafKey = newKey();
const leaf = (uris: readonly string[] = [uri], issuer: Issuer = root): Buffer =>
  issueLeaf(issuer, {
    publicKey: publicKeyDer(leafKey),
    altNames: { uris, dnsNames: [], ipAddresses: [] },
    serial: Buffer.alloc(16, 0xff),
    notBeforeMs: start,
    notAfterMs: start + day,
  });

test("a root is self-signed, a CA, and read by OpenSSL as by us", () => {
  const { certificate } = root;
  const oracle = new X509Certificate(certificate.der);
  assert.equal(oracle.ca, true);
  assert.equal(oracle.verify(oracle.publicKey), true);
  assert.equal(oracle.subject, "O=weft\nCN=cluster.local root");
  assert.equal(oracle.issuer, oracle.subject);
  assert.equal(certificate.isCa, true);
  assert.deepEqual([...(certificate.keyUsage ?? [])], [5, 6]);
  assert.equal(certificate.notAfterMs, start + 3650 * day);
});

test("a leaf is issued by its root for one identity, for both ends of TLS", () => {
  const der = leaf();
  const oracle = new X509Certificate(der);
  const ca = new X509Certificate(root.certificate.der);
  assert.equal(oracle.checkIssued(ca), true);
  assert.equal(oracle.verify(ca.publicKey), true);
  assert.equal(oracle.checkPrivateKey(leafKey), true);
  assert.equal(oracle.ca, false);
  assert.equal(oracle.subjectAltName, `URI:${uri}`);
  assert.deepEqual(oracle.keyUsage, ["1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"]);
  assert.equal(Date.parse(oracle.validTo), start + day);
  assert.equal(oracle.serialNumber.toLowerCase(), parseCertificate(der).serial);
  assert.deepEqual(peerIdentity(der), { kind: "identity", uri });
});

test("a leaf's DNS names and addresses are kept", () => {
  const der = issueLeaf(root, {
    publicKey: publicKeyDer(leafKey),
    altNames: {
      uris: [uri],
      dnsNames: ["istiod.istio-system.svc", "localhost"],
      ipAddresses: [Buffer.from([127, 0, 0, 1])],
    },
    serial: Buffer.alloc(16),
    notBeforeMs: start,
    notAfterMs: start + day,
  });
  const expected = `URI:${uri}, DNS:istiod.istio-system.svc, DNS:localhost, IP Address:127.0.0.1`;
  assert.equal(new X509Certificate(der).subjectAltName, expected);
  assert.deepEqual(parseCertificate(der).altNames.dnsNames, ["istiod.istio-system.svc", "localhost"]);
});

test("serial numbers are positive and not empty, whatever the random bytes", () => {
  for (const fill of [0, 0x7f, 0x80, 0xff]) {
    const der = issueLeaf(root, {
      publicKey: publicKeyDer(leafKey),
      altNames: { ...noAltNames, uris: [uri] },
      serial: Buffer.alloc(16, fill),
      notBeforeMs: start,
      notAfterMs: start + day,
    });
    assert.match(parseCertificate(der).serial, /^[4-7]/);
  }
});

test("identities that are not exactly one workload's are refused", () => {
  const refused = (uris: readonly string[]): string => {
    const result = peerIdentity(leaf(uris));
    return result.kind === "refused" ? result.reason : result.uri;
  };
  assert.equal(refused([uri, uri]), "more than one URI name");
  assert.equal(refused(["https://a/b"]), "its URI name is no workload's SPIFFE ID");
  assert.equal(refused(["spiffe://cluster.local"]), "its URI name is no workload's SPIFFE ID");
  assert.match(refused([`${uri}\0.evil`]), /not visible ASCII/);
  assert.match(refused([]), /no names/);
  assert.equal(peerIdentity(root.certificate.der).kind, "refused");
  assert.equal(peerIdentity(Buffer.from("x")).kind, "refused");
});

test("SPIFFE IDs follow their standard to the letter", () => {
  for (const good of ["spiffe://a", "spiffe://a.b-c_d/x", uri]) assert.equal(isSpiffeId(good), true, good);
  const bad = [
    "SPIFFE://a/b",
    "spiffe://A/b",
    "spiffe://a/b/",
    "spiffe://a//b",
    "spiffe://a/./b",
    "spiffe://a/..",
    "spiffe://a/b?c",
    "spiffe://a/b#c",
    "spiffe://a:80/b",
    "spiffe://u@a/b",
    "spiffe://a/b%2f",
    "spiffe:///b",
    "spiffe://",
    `spiffe://a/${"x".repeat(2050)}`,
    "",
  ];
  for (const text of bad) assert.equal(isSpiffeId(text), false, text);
});

test("a certificate with any one byte changed is refused, or read without throwing anything else", () => {
  const der = leaf();
  for (let i = 0; i < der.length; i++) {
    for (const value of [0, 0xff, (der[i] as number) ^ 1]) {
      const changed = Buffer.from(der);
      changed[i] = value;
      peerIdentity(changed);
      if (i % 3 === 0) peerIdentity(changed.subarray(0, i));
    }
  }
});

test("names with odd shapes are refused", () => {
  const name = (tag: number, bytes: Buffer): Buffer => sequence(context(tag, "primitive", bytes));
  const bad = [
    sequence(),
    name(6, Buffer.from("")),
    name(6, Buffer.from("a b")),
    name(6, Buffer.from("a\0b")),
    name(2, Buffer.from("a\n")),
    name(9, Buffer.from("a")),
    sequence(sequence()),
    Buffer.concat([name(6, Buffer.from("a")), Buffer.from([0])]),
    sequence(...Array.from({ length: 300 }, () => context(6, "primitive", Buffer.from("a")))),
  ];
  for (const [i, der] of bad.entries()) assert.throws(() => parseAltNames(der), DerError, `case ${i}`);
});

test("a request is read back with its key and names", () => {
  for (const key of [newKey(), newKey("P-384"), generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey]) {
    const altNames = { uris: [uri], dnsNames: ["a.b"], ipAddresses: [] };
    const request = parseCsr(createCsr(key, altNames));
    assert.deepEqual(request.publicKey, publicKeyDer(key));
    assert.deepEqual(request.altNames, altNames);
  }
});

test("a request for no names is read as one", () => {
  assert.deepEqual(parseCsr(createCsr(leafKey, noAltNames)).altNames, noAltNames);
});

test("requests that cannot be trusted are refused", () => {
  const csr = createCsr(newKey(), { ...noAltNames, uris: [uri] });
  const der = decodePem("CERTIFICATE REQUEST", csr)?.[0] as Buffer;
  const broken = Buffer.from(der);
  broken[broken.indexOf("default")] = 0x44;
  const rsa = generateKeyPairSync("rsa", { modulusLength: 1024 }).privateKey;
  const ed25519 = generateKeyPairSync("ed25519").privateKey;
  const bad: readonly (readonly [RegExp, () => string])[] = [
    [/not signed with its key/, () => encodePem("CERTIFICATE REQUEST", broken)],
    [/not one certificate request/, () => csr + csr],
    [/not one certificate request/, () => ""],
    [/not one certificate request/, () => encodePem("CERTIFICATE", der)],
    [/not one certificate request/, () => `${csr}x`],
    [/too large/, () => csr.padEnd(20_000, "\n")],
    [/kind or size/, () => createCsr(newKey("secp256k1"), noAltNames)],
    [/kind or size/, () => createCsr(rsa, noAltNames)],
  ];
  for (const [i, [expected, make]] of bad.entries()) assert.throws(() => parseCsr(make()), expected, `case ${i}`);
  assert.throws(() => createCsr(ed25519, { ...noAltNames, uris: [uri] }));
});

test("a request with any one byte changed is refused", () => {
  const der = decodePem("CERTIFICATE REQUEST", createCsr(leafKey, { ...noAltNames, uris: [uri] }))?.[0] as Buffer;
  fc.assert(
    fc.property(fc.nat(der.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
      const changed = Buffer.from(der);
      changed[at] = (changed[at] as number) ^ change;
      assert.throws(() => parseCsr(encodePem("CERTIFICATE REQUEST", changed)), DerError);
    }),
    { numRuns: 300 },
  );
});

test("PEM is read back as written and refused with anything beside it", () => {
  const der = Buffer.alloc(100, 5);
  const pem = encodePem("CERTIFICATE", der);
  assert.deepEqual(decodePem("CERTIFICATE", `\n${pem}\r\n${pem}`), [der, der]);
  for (const text of [
    "",
    "x",
    `x${pem}`,
    `${pem}x`,
    pem.replace("B", "-"),
    pem.replace("BQ", "B!"),
    pem.slice(0, -20),
  ]) {
    assert.equal(decodePem("CERTIFICATE", text), undefined, JSON.stringify(text));
  }
});

test("a request signed on another thread is read like any other", async () => {
  const names = { ...noAltNames, uris: ["spiffe://cluster.local/ns/a/sa/b"] };
  assert.deepEqual(parseCsr(await createCsrAside(leafKey, names)).altNames, names);
});
