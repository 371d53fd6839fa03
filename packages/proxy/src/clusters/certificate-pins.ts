/** Certificates and keys that a peer must have one of, by their SHA-256, beside being signed by somebody trusted. */
import { createHash, X509Certificate } from "node:crypto";
import { ConfigError } from "@weft/core/config-error";
import type { CertificateValidationContextJson } from "@weft/xds/gen/envoy/extensions/transport_sockets/tls/v3/common";

export interface CertificatePins {
  /** Of whole certificates: hex in lower case, without colons. */
  readonly certificates: ReadonlySet<string>;
  /** Of public keys with their algorithm (SPKI): base64. */
  readonly keys: ReadonlySet<string>;
}

type Given = Pick<CertificateValidationContextJson, "verifyCertificateHash" | "verifyCertificateSpki">;

/** `undefined` where nothing is asked for. */
export const compilePins = (json: Given, at: string): CertificatePins | undefined => {
  const hashes = json.verifyCertificateHash ?? [];
  const spki = json.verifyCertificateSpki ?? [];
  if (hashes.length + spki.length === 0) return undefined;
  const certificates = hashes.map((text, i) => {
    const hex = text.replaceAll(":", "").toLowerCase();
    if (/^[0-9a-f]{64}$/.test(hex)) return hex;
    throw new ConfigError(`${at}.verifyCertificateHash[${i}]`, "must be the hex of a SHA-256");
  });
  const keys = spki.map((text, i) => {
    if (/^[A-Za-z0-9+/]{43}=$/.test(text)) return text;
    throw new ConfigError(`${at}.verifyCertificateSpki[${i}]`, "must be the base64 of a SHA-256");
  });
  return { certificates: new Set(certificates), keys: new Set(keys) };
};

const keyHash = (pem: string): string => {
  const key = new X509Certificate(pem).publicKey.export({ type: "spki", format: "der" });
  return createHash("sha256").update(key).digest("base64");
};

/** One of either will do, as in Envoy. For handshakes only: keys are read from the certificate each time. */
export const acceptsPins = (
  { certificates, keys }: CertificatePins,
  { fingerprint, pem }: { readonly fingerprint: string; readonly pem: string },
): boolean => certificates.has(fingerprint) || (keys.size > 0 && pem !== "" && keys.has(keyHash(pem)));
