/** Reads an X.509 certificate (RFC 5280) as far as the mesh decides by it. */
import { type AltNames, isSpiffeId, noAltNames, parseAltNames } from "./alt-names.ts";
import { derTag } from "./der.ts";
import {
  bitNumbers,
  booleanValue,
  checkInteger,
  DerError,
  DerReader,
  enterOnly,
  oidText,
  smallInteger,
  timeMs,
  wholeBits,
} from "./der-reader.ts";
import { keyUsageBit, oids } from "./oids.ts";

export interface Certificate {
  readonly der: Buffer;
  /** Lower-case hexadecimal. */
  readonly serial: string;
  /** DER of the names; equal names have equal bytes among our certificates. */
  readonly issuer: Buffer;
  readonly subject: Buffer;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** DER of SubjectPublicKeyInfo. */
  readonly publicKey: Buffer;
  readonly isCa: boolean;
  /** Bits of KeyUsage; `undefined` when the certificate does not say. */
  readonly keyUsage: ReadonlySet<number> | undefined;
  /** Object identifiers; `undefined` when the certificate does not say. */
  readonly extendedKeyUsage: readonly string[] | undefined;
  readonly altNames: AltNames;
  /** Empty when absent. */
  readonly subjectKeyId: Buffer;
}

/** A certificate larger than this is not read. */
export const certificateBytesMax = 64 * 1024;
const extensionsMax = 64;
const version3 = 2;

/** Throws DerError. The signature is not checked: TLS or the caller does that. */
export const parseCertificate = (der: Buffer): Certificate => {
  if (der.length > certificateBytesMax) throw new DerError("a certificate that is too large");
  const outer = enterOnly(der);
  const signed = outer.enter(derTag.sequence);
  const outerAlgorithm = outer.next(derTag.sequence).whole;
  wholeBits(outer.next(derTag.bitString).content);
  outer.end();

  const version = signed.enter(0xa0);
  if (smallInteger(version.next(derTag.integer).content) !== version3)
    throw new DerError("a certificate of version 1 or 2");
  version.end();
  const serial = signed.next(derTag.integer).content;
  checkInteger(serial);
  if (!signed.next(derTag.sequence).whole.equals(outerAlgorithm)) throw new DerError("two signature algorithms");
  const issuer = signed.next(derTag.sequence).whole;
  const validity = signed.enter(derTag.sequence);
  const notBeforeMs = timeMs(validity.next());
  const notAfterMs = timeMs(validity.next());
  validity.end();
  const subject = signed.next(derTag.sequence).whole;
  const publicKey = signed.next(derTag.sequence).whole;
  const extensions = readExtensions(signed);
  signed.end();
  return {
    der,
    serial: serial.toString("hex"),
    issuer,
    subject,
    notBeforeMs,
    notAfterMs,
    publicKey,
    ...meaning(extensions),
  };
};

interface Extension {
  readonly critical: boolean;
  readonly value: Buffer;
}

const readExtensions = (signed: DerReader): Map<string, Extension> => {
  const byOid = new Map<string, Extension>();
  if (signed.done) return byOid;
  const list = enterOnly(signed.next(0xa3).content);
  while (!list.done) {
    const { id, ...extension } = readExtension(list);
    if (byOid.has(id)) throw new DerError(`extension ${id} twice`);
    if (byOid.size === extensionsMax) throw new DerError("too many extensions");
    byOid.set(id, extension);
  }
  return byOid;
};

/** The next Extension of a list. Throws DerError. */
export const readExtension = (list: DerReader): Extension & { readonly id: string } => {
  const fields = list.enter(derTag.sequence);
  const id = oidText(fields.next(derTag.oid).content);
  const critical = fields.optional(derTag.boolean);
  const value = fields.next(derTag.octetString).content;
  fields.end();
  return { id, critical: critical !== undefined && booleanValue(critical.content), value };
};

const understood: ReadonlySet<string> = new Set([
  oids.subjectKeyIdentifier,
  oids.keyUsage,
  oids.subjectAltName,
  oids.basicConstraints,
  oids.authorityKeyIdentifier,
  oids.extendedKeyUsage,
]);

type Meaning = Pick<Certificate, "isCa" | "keyUsage" | "extendedKeyUsage" | "altNames" | "subjectKeyId">;

const meaning = (extensions: ReadonlyMap<string, Extension>): Meaning => {
  for (const [id, { critical }] of extensions) {
    // RFC 5280 section 4.2: what is critical and not understood makes the certificate unusable.
    if (critical && !understood.has(id) && id !== oids.nameConstraints) throw new DerError(`critical extension ${id}`);
  }
  const value = (id: string): Buffer | undefined => extensions.get(id)?.value;
  const constraints = value(oids.basicConstraints);
  const usage = value(oids.keyUsage);
  const extended = value(oids.extendedKeyUsage);
  const names = value(oids.subjectAltName);
  const keyId = value(oids.subjectKeyIdentifier);
  return {
    isCa: constraints !== undefined && readIsCa(constraints),
    keyUsage: usage && bitNumbers(only(usage, derTag.bitString)),
    extendedKeyUsage: extended && readOids(extended),
    altNames: names ? parseAltNames(names) : noAltNames,
    subjectKeyId: keyId ? only(keyId, derTag.octetString) : Buffer.alloc(0),
  };
};

const only = (der: Buffer, tag: number): Buffer => {
  const reader = new DerReader(der);
  const { content } = reader.next(tag);
  reader.end();
  return content;
};

const readIsCa = (der: Buffer): boolean => {
  const fields = enterOnly(der);
  const ca = fields.optional(derTag.boolean);
  const pathLength = fields.optional(derTag.integer);
  if (pathLength) smallInteger(pathLength.content);
  fields.end();
  return ca !== undefined && booleanValue(ca.content);
};

const readOids = (der: Buffer): string[] => {
  const list = enterOnly(der);
  const found: string[] = [];
  while (!list.done) found.push(oidText(list.next(derTag.oid).content));
  return found;
};

export type PeerIdentity =
  | { readonly kind: "identity"; readonly uri: string }
  | { readonly kind: "refused"; readonly reason: string };

/**
 * The SPIFFE ID a peer's leaf certificate proves, once its chain is verified: exactly one URI name, a SPIFFE ID with a
 * path, in a certificate that is no CA's and may sign. Anything else is refused (SPIFFE X509-SVID sections 2, 4, 5).
 */
export const peerIdentity = (der: Buffer): PeerIdentity => {
  let certificate: Certificate;
  try {
    certificate = parseCertificate(der);
  } catch (error) {
    if (!(error instanceof DerError)) throw error;
    return { kind: "refused", reason: `not a certificate: ${error.message}` };
  }
  const { altNames, isCa, keyUsage } = certificate;
  const [uri] = altNames.uris;
  if (isCa) return { kind: "refused", reason: "a CA's certificate" };
  if (keyUsage && !keyUsage.has(keyUsageBit.digitalSignature))
    return { kind: "refused", reason: "its key may not sign" };
  if (keyUsage?.has(keyUsageBit.keyCertSign)) return { kind: "refused", reason: "its key may sign certificates" };
  if (uri === undefined) return { kind: "refused", reason: "no URI name" };
  if (altNames.uris.length > 1) return { kind: "refused", reason: "more than one URI name" };
  if (!isSpiffeId(uri) || !uri.slice("spiffe://".length).includes("/")) {
    return { kind: "refused", reason: "its URI name is no workload's SPIFFE ID" };
  }
  return { kind: "identity", uri };
};
