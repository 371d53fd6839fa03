import { constants } from "node:crypto";
import { createSecureContext, getCiphers, rootCertificates, type SecureContext } from "node:tls";

/** Keys, certificates and rules of one side, as text. */
export interface TlsMaterial {
  /** The chain, leaf first, and its key. */
  readonly certificatePem: string | undefined;
  readonly keyPem: string | undefined;
  /** Those of other types of key: whoever connects gets one that it can check. Two of one type cannot be had. */
  readonly others?: readonly { readonly certificatePem: string; readonly keyPem: string }[];
  /** Whom the peer's certificate must descend from. Without it the peer is not verified. */
  readonly rootsPem: string | undefined;
  /** What authorities have revoked: each of the peer's chain must have its list here. */
  readonly revokedPem?: string | undefined;
  readonly minVersion: "TLSv1.2" | "TLSv1.3";
  readonly maxVersion: "TLSv1.2" | "TLSv1.3";
  /** OpenSSL names; empty for the defaults. Only TLS 1.2 is concerned. */
  readonly ciphers: readonly string[];
  /** Groups of the key exchange, most wanted first, and signature algorithms by their TLS names; absent: the defaults. */
  readonly curves?: readonly string[];
  readonly signatures?: readonly string[];
}

export type TlsContext = SecureContext;

/** Envoy's: forward secret and authenticated encryption only. Those of TLS 1.3 must be named with them. */
const defaultCiphers: readonly string[] = [
  "TLS_AES_128_GCM_SHA256",
  "TLS_AES_256_GCM_SHA384",
  "TLS_CHACHA20_POLY1305_SHA256",
  "ECDHE-ECDSA-AES128-GCM-SHA256",
  "ECDHE-ECDSA-CHACHA20-POLY1305",
  "ECDHE-RSA-AES128-GCM-SHA256",
  "ECDHE-RSA-CHACHA20-POLY1305",
  "ECDHE-ECDSA-AES256-GCM-SHA384",
  "ECDHE-RSA-AES256-GCM-SHA384",
];

/**
 * Builds a context; throws what OpenSSL says of a key or certificate it cannot take. Expensive: once per version of
 * the material, never per connection. No session is resumed: it would outlive the certificate, the roots and the names
 * it was made under.
 */
export const createTlsContext = (material: TlsMaterial): TlsContext =>
  createSecureContext({
    ...(material.certificatePem === undefined
      ? {}
      : { cert: [material.certificatePem, ...(material.others ?? []).map((one) => one.certificatePem)] }),
    ...(material.keyPem === undefined
      ? {}
      : { key: [material.keyPem, ...(material.others ?? []).map((one) => one.keyPem)] }),
    ...(material.revokedPem === undefined ? {} : { crl: material.revokedPem }),
    ...(material.rootsPem === undefined ? {} : { ca: material.rootsPem }),
    ciphers: (material.ciphers.length === 0 ? defaultCiphers : material.ciphers).join(":"),
    ...(material.curves?.length ? { ecdhCurve: material.curves.join(":") } : {}),
    ...(material.signatures?.length ? { sigalgs: material.signatures.join(":") } : {}),
    minVersion: material.minVersion,
    maxVersion: material.maxVersion,
    secureOptions: constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION,
  });

/** Why OpenSSL cannot have a handshake by these rules; `undefined` when it can. It passes over ciphers it does not know. */
export const refuseParameters = (
  rules: Pick<TlsMaterial, "minVersion" | "maxVersion" | "ciphers" | "curves" | "signatures">,
): string | undefined => {
  const known = getCiphers();
  const unknown = rules.ciphers.find((cipher) => !known.includes(cipher.toLowerCase()));
  if (unknown !== undefined) return `no cipher is called ${unknown}`;
  try {
    createTlsContext({ certificatePem: undefined, keyPem: undefined, rootsPem: undefined, ...rules });
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
};

/** The roots that come with Node, as PEM. */
export const systemRoots = (): string => rootCertificates.join("\n");
