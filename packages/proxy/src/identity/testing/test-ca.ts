/** For tests: a root and the leaves a CA would answer with. */
import { createPrivateKey, generateKeyPairSync } from "node:crypto";
import { noAltNames } from "@weft/protocols/x509/alt-names";
import { parseCsr } from "@weft/protocols/x509/csr";
import { type Issuer, issueLeaf, issueRoot, issuerOf } from "@weft/protocols/x509/issue";
import { publicKeyDer } from "@weft/protocols/x509/keys";
import { encodePem } from "@weft/protocols/x509/pem";
import type { StoredIdentity } from "../identity-material.ts";

export const testIdentity = { trustDomain: "cluster.local", namespace: "shop", serviceAccount: "web" };
export const testUri = "spiffe://cluster.local/ns/shop/sa/web";

export const newKeyPem = (): string =>
  generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ format: "pem", type: "pkcs8" }).toString();

export interface LeafOptions {
  readonly uri?: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

export interface TestCa {
  readonly rootPem: string;
  sign(publicKey: Buffer, options: LeafOptions): readonly string[];
  /** A key with its chain. */
  issue(options: LeafOptions): StoredIdentity;
  answer(csrPem: string, options: LeafOptions): readonly string[];
}

export const createTestCa = (nowMs: number): TestCa => {
  const key = createPrivateKey(newKeyPem());
  const day = 86_400_000;
  const der = issueRoot({
    key,
    organization: "test",
    commonName: "root",
    serial: Buffer.alloc(16, 1),
    notBeforeMs: nowMs - 1000 * day,
    notAfterMs: nowMs + 1000 * day,
  });
  const issuer: Issuer = issuerOf(der, key);
  const rootPem = encodePem("CERTIFICATE", der);
  const sign = (publicKey: Buffer, { uri = testUri, notBeforeMs, notAfterMs }: LeafOptions): readonly string[] => {
    const altNames = { ...noAltNames, uris: [uri] };
    const leaf = issueLeaf(issuer, { publicKey, altNames, serial: Buffer.alloc(16, 2), notBeforeMs, notAfterMs });
    return [encodePem("CERTIFICATE", leaf), rootPem];
  };
  return {
    rootPem,
    sign,
    issue: (options) => {
      const keyPem = newKeyPem();
      return { keyPem, chain: sign(publicKeyDer(createPrivateKey(keyPem)), options) };
    },
    answer: (csrPem, options) => sign(parseCsr(csrPem).publicKey, options),
  };
};
