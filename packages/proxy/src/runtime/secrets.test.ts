/** What TLS contexts are made of beside a key and roots: certificates of other types of key, and lists of revoked ones. */
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import { publicKeyDer } from "@weft/protocols/x509/keys";
import type { SecretSource } from "../clusters/cluster.ts";
import { createTestCa } from "../identity/testing/test-ca.ts";
import { type ContextInput, Secrets } from "./secrets.ts";

const now = Date.now();
const ca = createTestCa(now);
const dates = { notBeforeMs: now - 1_000, notAfterMs: now + 60_000 };

const keyOf = (type: "ec" | "rsa"): SecretSource => {
  const key =
    type === "ec"
      ? generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey
      : generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
  const keyPem = key.export({ format: "pem", type: "pkcs8" }).toString();
  return { kind: "inline", keyPem, certificatePem: ca.sign(publicKeyDer(key), dates).join("") };
};
const [ec, otherEc, rsa] = [keyOf("ec"), keyOf("ec"), keyOf("rsa")] as [SecretSource, SecretSource, SecretSource];

const open = (files: Readonly<Record<string, string>> = {}): Secrets =>
  new Secrets({
    readText: (path) => files[path] ?? assert.fail(`no file ${path}`),
    systemRoots: () => ca.rootPem,
  });
const inputOf = (more: Partial<ContextInput>): ContextInput => ({
  certificate: ec,
  trust: { kind: "inline", rootsPem: ca.rootPem },
  ...{ minVersion: "TLSv1.2", maxVersion: "TLSv1.3", ciphers: [] },
  ...more,
});
const reasonOf = (secrets: Secrets, input: ContextInput): string => {
  const made = secrets.context(input);
  return made.kind === "missing" ? made.reason : made.kind;
};

test("a server has a certificate for each type of key, and not two of one", () => {
  const secrets = open();
  assert.equal(reasonOf(secrets, inputOf({ otherCertificates: [rsa] })), "ready");
  const same = inputOf({ otherCertificates: [rsa, otherEc] });
  assert.match(reasonOf(secrets, same), /two certificates have keys of the type ec/);
  assert.throws(() => secrets.checkFiles(same, "at"), /at: two certificates/);
});

test("a second certificate that is not there yet is waited for", () => {
  const secrets = open();
  const input = inputOf({ otherCertificates: [{ kind: "named", name: "second" }] });
  secrets.checkFiles(input, "at");
  assert.match(reasonOf(secrets, input), /second is not there yet/);
  secrets.set("second", { certificatePem: "x" });
  assert.match(reasonOf(secrets, input), /has no certificate and key/);
});

test("lists of revoked certificates are read where they are to be, and what is none is refused", () => {
  const broken = { kind: "named", name: "file:/revoked" } as const;
  const secrets = open({ "/revoked": "nothing of the kind" });
  assert.throws(() => secrets.checkFiles(inputOf({ revoked: broken }), "at"), /at: .*crl/i);
  const absent = { kind: "named", name: "file:/absent" } as const;
  assert.throws(() => secrets.checkFiles(inputOf({ revoked: absent }), "at"), /absent/);
  assert.notEqual(reasonOf(secrets, inputOf({ revoked: absent })), "ready");
  const validationContext = { trustedCa: { inlineString: ca.rootPem }, crl: { inlineString: "nothing" } };
  assert.throws(() => secrets.compile({ name: "x", validationContext }), /validationContext\.crl/);
});

test("whom to accept is not taken from a secret", () => {
  const validationContext = {
    trustedCa: { inlineString: ca.rootPem },
    verifyCertificateHash: ["ab".repeat(32)],
  };
  assert.throws(() => open().compile({ name: "x", validationContext }), /whom to accept/);
});
