import assert from "node:assert/strict";
import { generateKeyPairSync, X509Certificate } from "node:crypto";
import { test } from "node:test";
import { WeftError } from "@weft/core/error";
import { seededRandom } from "@weft/core/random";
import { peerIdentity } from "@weft/protocols/x509/certificate";
import { type Issuer, issueIntermediate, issuerOf } from "@weft/protocols/x509/issue";
import { publicKeyDer } from "@weft/protocols/x509/keys";
import { decodePem } from "@weft/protocols/x509/pem";
import { authorityOf, loadRoot, newKey, openAuthority, rootCertificateName, rootKeyName } from "./authority.ts";
import { type CaStore, memoryCaStore } from "./ca-store.ts";

const nowMs = Date.parse("2026-01-01T00:00:00Z");
const hour = 3_600_000;
const day = 24 * hour;
const random = seededRandom(1);
const randomBytes = (size: number): Buffer => Buffer.from(Array.from({ length: size }, () => random() * 256));
const open = (store: CaStore = memoryCaStore(), at = nowMs) =>
  openAuthority({ store, trustDomain: "cluster.local", nowMs: at, randomBytes });
const identity = { trustDomain: "cluster.local", namespace: "default", serviceAccount: "web" };
const publicKey = publicKeyDer(generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey);
const codeOf = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    return error instanceof WeftError ? error.code : String(error);
  }
  return "none";
};

test("the root is made once and found again", () => {
  const store = memoryCaStore();
  const first = open(store);
  const second = open(store, nowMs + day);
  assert.equal(second.rootPem, first.rootPem);
  assert.equal(new X509Certificate(first.rootPem).ca, true);
  assert.equal(first.rootNotAfterMs, nowMs + 3650 * day);
  assert.equal(store.read(rootCertificateName), first.rootPem);
});

test("a workload's certificate chains to the root and proves its identity", () => {
  const authority = open();
  const { chain, notAfterMs } = authority.issue(publicKey, identity, day, nowMs);
  const [leaf, root] = chain.map((pem) => new X509Certificate(pem));
  assert.ok(leaf && root);
  assert.equal(leaf.verify(root.publicKey), true);
  assert.equal(chain.at(-1), authority.rootPem);
  assert.equal(notAfterMs, nowMs + day);
  assert.equal(Date.parse(leaf.validTo), notAfterMs);
  assert.equal(Date.parse(leaf.validFrom), nowMs - 600_000);
  assert.deepEqual(peerIdentity(decodePem("CERTIFICATE", chain[0] ?? "")?.[0] as Buffer), {
    kind: "identity",
    uri: "spiffe://cluster.local/ns/default/sa/web",
  });
});

test("two certificates have two serial numbers", () => {
  const authority = open();
  const serials = [1, 2].map(
    () => new X509Certificate(authority.issue(publicKey, identity, day, nowMs).chain[0] ?? "").serialNumber,
  );
  assert.notEqual(serials[0], serials[1]);
});

test("a duration beyond the limits or the root's end is shortened", () => {
  const authority = open();
  assert.equal(authority.issue(publicKey, identity, 1, nowMs).notAfterMs, nowMs + 60_000);
  assert.equal(authority.issue(publicKey, identity, 10_000 * day, nowMs).notAfterMs, nowMs + 90 * day);
  const late = authority.rootNotAfterMs - hour;
  assert.equal(authority.issue(publicKey, identity, day, late).notAfterMs, authority.rootNotAfterMs);
});

test("a server's certificate carries its names, its addresses and its identity", () => {
  const { chain, keyPem } = open().issueServer(
    { identity: { ...identity, serviceAccount: "weft" }, hosts: ["localhost", "127.0.0.1", "::1", "weft.internal"] },
    day,
    nowMs,
  );
  const certificate = new X509Certificate(chain[0] ?? "");
  assert.equal(certificate.checkHost("localhost"), "localhost");
  assert.equal(certificate.checkHost("weft.internal"), "weft.internal");
  assert.equal(certificate.checkIP("127.0.0.1"), "127.0.0.1");
  assert.equal(certificate.checkIP("::1"), "::1");
  assert.match(certificate.subjectAltName ?? "", /URI:spiffe:\/\/cluster\.local\/ns\/default\/sa\/weft/);
  assert.match(keyPem, /BEGIN PRIVATE KEY/);
});

test("a server shows its own certificate and what is between it and the root, never the root", () => {
  const names = { identity, hosts: ["weft.internal"] };
  const store = memoryCaStore();
  const single = open(store).issueServer(names, day, nowMs);
  assert.equal(single.shownPem, single.chain[0]);

  const root = loadRoot(store) as Issuer;
  const key = newKey();
  const intermediate = issueIntermediate(root, {
    ...{ publicKey: publicKeyDer(key), serial: randomBytes(16), notBeforeMs: nowMs, notAfterMs: nowMs + day },
    ...{ organization: "cluster.local", commonName: "between" },
  });
  const parts = { trustDomain: "cluster.local", randomBytes, root: root.certificate };
  const replica = authorityOf({ ...parts, issuer: () => issuerOf(intermediate, key) });
  const { chain, shownPem } = replica.issueServer(names, day, nowMs);
  assert.equal(shownPem, chain.slice(0, 2).join(""));
  assert.deepEqual([chain.length, chain[2]], [3, replica.rootPem]);
});

test("a root that cannot be used is refused, never replaced", () => {
  const good = memoryCaStore();
  open(good);
  const other = memoryCaStore();
  open(other);
  const key = good.read(rootKeyName) ?? "";
  const certificate = good.read(rootCertificateName) ?? "";
  const leaf = open(good).issue(publicKey, identity, day, nowMs).chain[0] ?? "";
  const broken: readonly (readonly [key: string | undefined, certificate: string])[] = [
    [undefined, certificate],
    ["", certificate],
    [key, ""],
    [key, `${certificate}${certificate}`],
    [key, certificate.slice(0, 200)],
    [key, leaf],
    [other.read(rootKeyName), certificate],
  ];
  for (const [i, [keyText, certificateText]] of broken.entries()) {
    const store = memoryCaStore();
    if (keyText !== undefined) store.write(rootKeyName, keyText);
    store.write(rootCertificateName, certificateText);
    assert.equal(
      codeOf(() => open(store)),
      "WF7120",
      `case ${i}`,
    );
    assert.equal(store.read(rootCertificateName), certificateText);
  }
});

test("a key without a certificate is what a crash while making the root leaves: it is made anew", () => {
  const store = memoryCaStore();
  store.write(rootKeyName, "half");
  assert.match(open(store).rootPem, /BEGIN CERTIFICATE/);
});

test("an expired root is refused with the way out", () => {
  const store = memoryCaStore();
  open(store);
  assert.equal(
    codeOf(() => open(store, nowMs + 3651 * day)),
    "WF7121",
  );
});
