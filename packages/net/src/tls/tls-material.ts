import { constants } from "node:crypto";
import { createSecureContext, rootCertificates, type SecureContext } from "node:tls";

/** Keys, certificates and rules of one side, as text. */
export interface TlsMaterial {
  /** The chain, leaf first, and its key. */
  readonly certificatePem: string | undefined;
  readonly keyPem: string | undefined;
  /** Whom the peer's certificate must descend from. Without it the peer is not verified. */
  readonly rootsPem: string | undefined;
  readonly minVersion: "TLSv1.2" | "TLSv1.3";
  readonly maxVersion: "TLSv1.2" | "TLSv1.3";
  /** OpenSSL names; empty for the defaults. Only TLS 1.2 is concerned. */
  readonly ciphers: readonly string[];
}

export type TlsContext = SecureContext;

/**
 * Builds a context; throws what OpenSSL says of a key or certificate it cannot take. Expensive: once per version of
 * the material, never per connection. No session tickets: a resumed session would outlive the certificate it was
 * made under.
 */
export const createTlsContext = (material: TlsMaterial): TlsContext =>
  createSecureContext({
    ...(material.certificatePem === undefined ? {} : { cert: material.certificatePem }),
    ...(material.keyPem === undefined ? {} : { key: material.keyPem }),
    ...(material.rootsPem === undefined ? {} : { ca: material.rootsPem }),
    ...(material.ciphers.length === 0 ? {} : { ciphers: material.ciphers.join(":") }),
    minVersion: material.minVersion,
    maxVersion: material.maxVersion,
    secureOptions: constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION,
  });

/** The roots that come with Node, as PEM. */
export const systemRoots = (): string => rootCertificates.join("\n");
