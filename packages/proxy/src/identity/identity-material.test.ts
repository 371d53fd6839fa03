import assert from "node:assert/strict";
import { test } from "node:test";
import { identityFiles, identitySecrets, readMaterial, type StoredIdentity } from "./identity-material.ts";
import { createTestCa, newKeyPem, testIdentity } from "./testing/test-ca.ts";

const nowMs = Date.parse("2026-01-01T00:00:00Z");
const ca = createTestCa(nowMs);
const life = { notBeforeMs: nowMs, notAfterMs: nowMs + 86_400_000 };
const good = ca.issue(life);
const decoded = (inline: { inlineBytes?: string } | undefined): string =>
  Buffer.from(inline?.inlineBytes ?? "", "base64").toString();

test("what a CA answers is read with its times and handed out as two secrets", () => {
  const material = readMaterial(good, testIdentity);
  assert.equal(material.notAfterMs, life.notAfterMs);
  const [own, roots] = identitySecrets(material);
  assert.equal(own?.name, "default");
  assert.equal(decoded(own?.tlsCertificate?.privateKey), good.keyPem);
  assert.equal(decoded(own?.tlsCertificate?.certificateChain), good.chain[0]);
  assert.equal(roots?.name, "ROOTCA");
  assert.equal(decoded(roots?.validationContext?.trustedCa), ca.rootPem);
});

test("the files are a key, the chain without the root, and the root", () => {
  const files = identityFiles(readMaterial(good, testIdentity));
  assert.deepEqual([...files.keys()], ["key.pem", "cert-chain.pem", "root-cert.pem"]);
  assert.equal(files.get("cert-chain.pem"), good.chain[0]);
  assert.equal(files.get("root-cert.pem"), ca.rootPem);
});

test("material that does not belong together is refused", () => {
  const [leaf = "", root = ""] = good.chain;
  const other = createTestCa(nowMs);
  const cases: readonly (readonly [RegExp, StoredIdentity])[] = [
    [/no leaf and root/, { ...good, chain: [] }],
    [/no leaf and root/, { ...good, chain: [leaf] }],
    [/not one certificate/, { ...good, chain: ["x", root] }],
    [/not one certificate/, { ...good, chain: [leaf + root, root] }],
    [/certificate 1 of the chain is not signed/, { ...good, chain: [leaf, other.rootPem] }],
    [/certificate 1 of the chain is not signed/, { ...good, chain: [root, leaf] }],
    [/more than 10/, { ...good, chain: [leaf, ...Array.from({ length: 10 }, () => root)] }],
    [/another key/, { ...good, keyPem: newKeyPem() }],
    [/key cannot be read/, { ...good, keyPem: "x" }],
    [/is of spiffe:.*sa\/other, not of/, ca.issue({ ...life, uri: "spiffe://cluster.local/ns/shop/sa/other" })],
    [/cannot be used/, ca.issue({ ...life, uri: "https://a" })],
    [/cannot be used: a CA/, { ...good, chain: [root, root] }],
  ];
  for (const [expected, stored] of cases) assert.throws(() => readMaterial(stored, testIdentity), expected);
});
