/** A workload's key and certificates, checked to belong together, and the forms they are handed out in. */
import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { formatIdentity, type Identity } from "@weft/core/identity";
import { type Certificate, parseCertificate, peerIdentity } from "@weft/protocols/x509/certificate";
import { publicKeyDer } from "@weft/protocols/x509/keys";
import { decodePem } from "@weft/protocols/x509/pem";
import type { SecretJson } from "@weft/xds/gen/envoy/extensions/transport_sockets/tls/v3/secret";

/** What rests in the store; all PEM. */
export interface StoredIdentity {
  readonly keyPem: string;
  /** The leaf first, the root last. */
  readonly chain: readonly string[];
}

export interface IdentityMaterial extends StoredIdentity {
  readonly identity: Identity;
  /** The leaf and what is between it and the root, as one text. */
  readonly certificatePem: string;
  readonly rootPem: string;
  readonly serial: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

/** The names Istio gives the two secrets. */
export const certificateSecretName = "default";
export const rootSecretName = "ROOTCA";

const chainMax = 10;

/**
 * Reads what a CA answered or a store kept. Throws an Error that says what does not fit: not a chain of certificates,
 * one not signed by the next, a leaf of another key or identity. Says nothing of expiry.
 */
export const readMaterial = ({ keyPem, chain }: StoredIdentity, identity: Identity): IdentityMaterial => {
  const certificates = chain.map(readCertificate);
  const leaf = certificates[0];
  const root = certificates.at(-1);
  if (!leaf || !root || leaf === root) throw new Error("the chain has no leaf and root");
  if (certificates.length > chainMax) throw new Error(`the chain has more than ${chainMax} certificates`);
  for (const [i, { oracle }] of certificates.entries()) {
    const issuer = certificates[Math.min(i + 1, certificates.length - 1)]?.oracle as X509Certificate;
    if (!oracle.verify(issuer.publicKey))
      throw new Error(`certificate ${i + 1} of the chain is not signed by the next`);
  }
  const proven = peerIdentity(leaf.certificate.der);
  if (proven.kind === "refused") throw new Error(`the leaf cannot be used: ${proven.reason}`);
  if (proven.uri !== formatIdentity(identity)) {
    throw new Error(`the leaf is of ${proven.uri}, not of ${formatIdentity(identity)}`);
  }
  if (!publicKeyDer(readKey(keyPem)).equals(leaf.certificate.publicKey)) throw new Error("the leaf is of another key");
  const { serial, notBeforeMs, notAfterMs } = leaf.certificate;
  return {
    keyPem,
    chain,
    identity,
    certificatePem: chain.slice(0, -1).join(""),
    rootPem: chain.at(-1) as string,
    serial,
    notBeforeMs,
    notAfterMs,
  };
};

const readKey = (pem: string): KeyObject => {
  try {
    return createPrivateKey(pem);
  } catch {
    throw new Error("the private key cannot be read");
  }
};

const readCertificate = (pem: string): { readonly certificate: Certificate; readonly oracle: X509Certificate } => {
  const [der, ...more] = decodePem("CERTIFICATE", pem) ?? [];
  if (!der || more.length > 0) throw new Error("a member of the chain is not one certificate in PEM");
  return { certificate: parseCertificate(der), oracle: new X509Certificate(der) };
};

const inline = (pem: string): { inlineBytes: string } => ({ inlineBytes: Buffer.from(pem).toString("base64") });

/** The two secrets as resources: `default` and `ROOTCA`. */
export const identitySecrets = (material: IdentityMaterial): readonly SecretJson[] => [
  {
    name: certificateSecretName,
    tlsCertificate: { certificateChain: inline(material.certificatePem), privateKey: inline(material.keyPem) },
  },
  { name: rootSecretName, validationContext: { trustedCa: inline(material.rootPem) } },
];

/** Files as proxyless gRPC and Istio's agent name them. The key is to be readable by its owner only. */
export const identityFiles = (material: IdentityMaterial): ReadonlyMap<string, string> =>
  new Map([
    ["key.pem", material.keyPem],
    ["cert-chain.pem", material.certificatePem],
    ["root-cert.pem", material.rootPem],
  ]);
