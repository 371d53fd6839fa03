/** Certificates and keys a peer must have one of: how they are written, and which do. */
import assert from "node:assert/strict";
import { createHash, createPublicKey, X509Certificate } from "node:crypto";
import { test } from "node:test";
import { createTestCa } from "../identity/testing/test-ca.ts";
import { acceptsPins, compilePins } from "./certificate-pins.ts";
import { compileTlsCommon } from "./tls-context.ts";

const now = Date.now();
const peerOf = () => {
  const pem = createTestCa(now).issue({ notBeforeMs: now - 1_000, notAfterMs: now + 60_000 }).chain[0] ?? "";
  const { fingerprint256, publicKey } = new X509Certificate(pem);
  const key = createPublicKey(publicKey.export({ format: "pem", type: "spki" })).export({
    format: "der",
    type: "spki",
  });
  return {
    pem,
    fingerprint: fingerprint256.replaceAll(":", "").toLowerCase(),
    withColons: fingerprint256,
    spki: createHash("sha256").update(key).digest("base64"),
  };
};
const [peer, other] = [peerOf(), peerOf()];

test("one of the certificates or one of the keys will do, and nothing else", () => {
  const accepts = (json: Parameters<typeof compilePins>[0]): boolean => {
    const pins = compilePins(json, "at");
    return pins === undefined ? assert.fail() : acceptsPins(pins, peer);
  };
  assert.equal(accepts({ verifyCertificateHash: [peer.fingerprint] }), true);
  assert.equal(accepts({ verifyCertificateHash: [other.fingerprint, peer.withColons] }), true);
  assert.equal(accepts({ verifyCertificateSpki: [other.spki, peer.spki] }), true);
  assert.equal(accepts({ verifyCertificateHash: [other.fingerprint], verifyCertificateSpki: [peer.spki] }), true);
  assert.equal(accepts({ verifyCertificateHash: [other.fingerprint] }), false);
  assert.equal(accepts({ verifyCertificateSpki: [other.spki] }), false);
  assert.equal(compilePins({}, "at"), undefined);
});

test("a peer without a certificate is none of them", () => {
  const pins = compilePins({ verifyCertificateSpki: [peer.spki], verifyCertificateHash: [peer.fingerprint] }, "at");
  assert.equal(pins && acceptsPins(pins, { fingerprint: "", pem: "" }), false);
});

test("what is no SHA-256 is refused where it stands", () => {
  for (const text of ["", "ab", `${peer.fingerprint}00`, peer.fingerprint.replace(/.$/, "g")])
    assert.throws(() => compilePins({ verifyCertificateHash: [peer.fingerprint, text] }, "at"), /Hash\[1\]/, text);
  for (const text of ["", peer.spki.slice(1), `${peer.spki}=`, peer.spki.replace(/.=$/, "!=")])
    assert.throws(() => compilePins({ verifyCertificateSpki: [text] }, "at"), /Spki\[0\]/, text);
});

test("without roots to check the peer by, neither they nor lists of revoked ones are taken", () => {
  for (const validationContext of [
    { verifyCertificateSpki: [peer.spki] },
    { crl: { inlineString: "-----BEGIN X509 CRL-----" } },
  ])
    assert.throws(() => compileTlsCommon({ validationContext }, "tls"), /without trusted roots/);
});
