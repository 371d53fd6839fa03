/**
 * The mesh's certificate authority: one self-signed root, made at the first start and kept by the store, that signs
 * workloads' and the control plane's own certificates. It decides nothing about who may have which identity.
 */
import { createPrivateKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { WeftError } from "@weft/core/error";
import { formatIdentity, type Identity } from "@weft/core/identity";
import { type AltNames, noAltNames } from "@weft/protocols/x509/alt-names";
import type { Certificate } from "@weft/protocols/x509/certificate";
import { type Issuer, issueLeaf, issueRoot, issuerOf } from "@weft/protocols/x509/issue";
import { publicKeyDer } from "@weft/protocols/x509/keys";
import { decodePem, encodePem } from "@weft/protocols/x509/pem";
import { caLimits } from "./ca-limits.ts";
import type { CaStore } from "./ca-store.ts";
import { addressBytes } from "./ip-address.ts";

export interface AuthorityOptions {
  readonly store: CaStore;
  readonly trustDomain: string;
  readonly nowMs: number;
  readonly randomBytes: (size: number) => Buffer;
}

export interface IssuedCertificate {
  /** PEM, the leaf first and the root last. */
  readonly chain: readonly string[];
  readonly notAfterMs: number;
}

export interface ServerNames {
  /** Given beside the names, so that mesh clients can check it. */
  readonly identity: Identity;
  /** DNS names and IP addresses. */
  readonly hosts: readonly string[];
}

export interface Authority {
  readonly trustDomain: string;
  /** PEM of the root, which every member of the mesh trusts. */
  readonly rootPem: string;
  readonly rootNotAfterMs: number;
  /** Signs the key for one identity. The duration is kept within the limits and within the root's. */
  issue(publicKey: Buffer, identity: Identity, ttlMs: number, nowMs: number): IssuedCertificate;
  /** A new key and its certificate for a server of the control plane's own. */
  issueServer(names: ServerNames, ttlMs: number, nowMs: number): IssuedServer;
}

export interface IssuedServer extends IssuedCertificate {
  /** The chain as peers are shown it: without the root, which they trust and so have (RFC 8446, section 4.4.2). */
  readonly shownPem: string;
  readonly keyPem: string;
}

/** The store's names. */
export const rootKeyName = "root-key.pem";
export const rootCertificateName = "root-cert.pem";

/** Opens the root, or makes one when the store has neither key nor certificate. Throws WF7120 and WF7121. */
export const openAuthority = (options: AuthorityOptions): Authority => {
  const root = loadRoot(options.store) ?? createRoot(options);
  refuseExpired(root, options.nowMs);
  const { trustDomain, randomBytes } = options;
  return authorityOf({ trustDomain, randomBytes, root: root.certificate, issuer: () => root });
};

/** Throws WF7121. */
export const refuseExpired = ({ certificate }: Issuer, nowMs: number): void => {
  if (certificate.notAfterMs > nowMs) return;
  throw new WeftError("WF7121", `the mesh's root certificate expired at ${isoTime(certificate.notAfterMs)}`, {
    next: `remove ${rootKeyName} and ${rootCertificateName} for a new root, and restart every sidecar`,
  });
};

export interface AuthorityParts {
  readonly trustDomain: string;
  readonly randomBytes: (size: number) => Buffer;
  readonly root: Certificate;
  /** Who signs now: the root, or an intermediate that it signed. */
  readonly issuer: () => Issuer;
}

/** An authority that signs with the issuer of the moment. */
export const authorityOf = ({ trustDomain, randomBytes, root, issuer }: AuthorityParts): Authority => {
  const rootPem = encodePem("CERTIFICATE", root.der);

  const sign = (publicKey: Buffer, altNames: AltNames, ttlMs: number, nowMs: number): IssuedCertificate => {
    const by = issuer();
    const { certificate } = by;
    const ttl = Math.min(Math.max(ttlMs, caLimits.leafTtlMinMs), caLimits.leafTtlMaxMs);
    const notAfterMs = Math.min(Math.ceil((nowMs + ttl) / 1000) * 1000, certificate.notAfterMs);
    const der = issueLeaf(by, {
      publicKey,
      altNames,
      serial: randomBytes(16),
      notBeforeMs: Math.max(nowMs - caLimits.backdateMs, certificate.notBeforeMs),
      notAfterMs,
    });
    const between = certificate.der.equals(root.der) ? [] : [encodePem("CERTIFICATE", certificate.der)];
    return { chain: [encodePem("CERTIFICATE", der), ...between, rootPem], notAfterMs };
  };

  return {
    trustDomain,
    rootPem,
    rootNotAfterMs: root.notAfterMs,
    issue: (publicKey, identity, ttlMs, nowMs) =>
      sign(publicKey, { ...noAltNames, uris: [formatIdentity(identity)] }, ttlMs, nowMs),
    issueServer: ({ identity, hosts }, ttlMs, nowMs) => {
      const key = newKey();
      const ipAddresses = hosts.flatMap((host) => addressBytes(host) ?? []);
      const dnsNames = hosts.filter((host) => !addressBytes(host));
      const altNames = { uris: [formatIdentity(identity)], dnsNames, ipAddresses };
      const issued = sign(publicKeyDer(key), altNames, ttlMs, nowMs);
      return { ...issued, shownPem: issued.chain.slice(0, -1).join(""), keyPem: exportKey(key) };
    },
  };
};

export const newKey = (): KeyObject => generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
export const exportKey = (key: KeyObject): string => key.export({ format: "pem", type: "pkcs8" }).toString();
const isoTime = (ms: number): string => new Date(ms).toISOString();

/** Makes a root and writes it. */
export const createRoot = ({ store, trustDomain, nowMs, randomBytes }: AuthorityOptions): Issuer => {
  const key = newKey();
  const der = issueRoot({
    key,
    organization: trustDomain,
    commonName: `Root of ${trustDomain}`,
    serial: randomBytes(16),
    notBeforeMs: nowMs - caLimits.backdateMs,
    notAfterMs: nowMs + caLimits.rootTtlMs,
  });
  // The certificate goes last: without it the key is no root yet, and a crash between the two is told apart.
  store.write(rootKeyName, exportKey(key));
  store.write(rootCertificateName, encodePem("CERTIFICATE", der));
  return issuerOf(der, key);
};

/** The root that the store has; `undefined` where it has none. Throws WF7120. */
export const loadRoot = (store: CaStore): Issuer | undefined => {
  const keyPem = store.read(rootKeyName);
  const certificatePem = store.read(rootCertificateName);
  if (certificatePem === undefined) return undefined;
  try {
    if (keyPem === undefined) throw new Error(`${rootKeyName} is missing`);
    const [der, ...more] = decodePem("CERTIFICATE", certificatePem) ?? [];
    if (!der || more.length > 0) throw new Error(`${rootCertificateName} is not one certificate in PEM`);
    const root = issuerOf(der, createPrivateKey(keyPem));
    if (!root.certificate.isCa) throw new Error(`${rootCertificateName} is no CA's certificate`);
    if (!publicKeyDer(root.key).equals(root.certificate.publicKey)) {
      throw new Error(`${rootKeyName} is not the key of ${rootCertificateName}`);
    }
    return root;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new WeftError("WF7120", `the mesh's root cannot be used: ${reason}`, {
      next: "restore the CA's folder from a copy; a new root would lock out every running sidecar",
      cause: error,
    });
  }
};
