/** Makes certificates: a self-signed root, and leaves for the mesh's workloads and servers under it. */
import type { KeyObject } from "node:crypto";
import { type AltNames, encodeAltNames } from "./alt-names.ts";
import { type Certificate, parseCertificate } from "./certificate.ts";
import {
  bitString,
  boolean,
  context,
  integer,
  namedBits,
  octetString,
  oid,
  sequence,
  setOf,
  time,
  utf8String,
} from "./der.ts";
import { keyIdentifier, publicKeyDer, signatureAlgorithm, signDer } from "./keys.ts";
import { keyUsageBit, oids } from "./oids.ts";

/** A CA certificate with its private key. */
export interface Issuer {
  readonly certificate: Certificate;
  readonly key: KeyObject;
}

export interface LeafRequest {
  /** DER of SubjectPublicKeyInfo. */
  readonly publicKey: Buffer;
  /** At least one name; the subject is empty, so they are critical. */
  readonly altNames: AltNames;
  /** 16 random bytes. */
  readonly serial: Buffer;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

export interface RootRequest {
  readonly key: KeyObject;
  readonly organization: string;
  readonly commonName: string;
  readonly serial: Buffer;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

const extension = (id: string, critical: boolean, value: Buffer): Buffer =>
  sequence(oid(id), ...(critical ? [boolean(true)] : []), octetString(value));

const serialBytesMax = 20;

/** RFC 5280 section 4.1.2.2: positive and at most 20 bytes. */
const serialNumber = (bytes: Buffer): Buffer => {
  const positive = Buffer.from(bytes.subarray(0, serialBytesMax));
  positive[0] = ((positive[0] as number) & 0x7f) | 0x40;
  return integer(positive);
};

interface ToSign {
  readonly serial: Buffer;
  readonly issuerName: Buffer;
  readonly subjectName: Buffer;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly publicKey: Buffer;
  readonly extensions: readonly Buffer[];
}

const signCertificate = (key: KeyObject, parts: ToSign): Buffer => {
  const algorithm = signatureAlgorithm(key);
  const signed = sequence(
    context(0, "constructed", integer(Buffer.from([2]))),
    serialNumber(parts.serial),
    algorithm,
    parts.issuerName,
    sequence(time(parts.notBeforeMs), time(parts.notAfterMs)),
    parts.subjectName,
    parts.publicKey,
    context(3, "constructed", sequence(...parts.extensions)),
  );
  return sequence(signed, algorithm, bitString(signDer(key, signed)));
};

/** A name of an organization and a common name; an empty one is left out. */
export const encodeName = (organization: string, commonName: string): Buffer => {
  const part = (id: string, text: string): Buffer[] =>
    text === "" ? [] : [setOf(sequence(oid(id), utf8String(text)))];
  return sequence(...part(oids.organization, organization), ...part(oids.commonName, commonName));
};

/** The DER of a certificate for a workload or server: no CA, for TLS as client and server. */
export const issueLeaf = (issuer: Issuer, request: LeafRequest): Buffer =>
  signCertificate(issuer.key, {
    serial: request.serial,
    issuerName: issuer.certificate.subject,
    subjectName: sequence(),
    notBeforeMs: request.notBeforeMs,
    notAfterMs: request.notAfterMs,
    publicKey: request.publicKey,
    extensions: [
      extension(oids.keyUsage, true, namedBits(keyUsageBit.digitalSignature, keyUsageBit.keyEncipherment)),
      extension(oids.extendedKeyUsage, false, sequence(oid(oids.serverAuth), oid(oids.clientAuth))),
      extension(oids.basicConstraints, true, sequence()),
      extension(oids.subjectKeyIdentifier, false, octetString(keyIdentifier(request.publicKey))),
      extension(oids.authorityKeyIdentifier, false, sequence(context(0, "primitive", issuer.certificate.subjectKeyId))),
      extension(oids.subjectAltName, true, encodeAltNames(request.altNames)),
    ],
  });

/** The DER of a self-signed root that signs leaves only. */
export const issueRoot = (request: RootRequest): Buffer => {
  const publicKey = publicKeyDer(request.key);
  const name = encodeName(request.organization, request.commonName);
  return signCertificate(request.key, {
    serial: request.serial,
    issuerName: name,
    subjectName: name,
    notBeforeMs: request.notBeforeMs,
    notAfterMs: request.notAfterMs,
    publicKey,
    extensions: [
      extension(oids.keyUsage, true, namedBits(keyUsageBit.keyCertSign, keyUsageBit.crlSign)),
      extension(oids.basicConstraints, true, sequence(boolean(true))),
      extension(oids.subjectKeyIdentifier, false, octetString(keyIdentifier(publicKey))),
    ],
  });
};

/** A CA below another: it signs leaves only. */
export interface IntermediateRequest extends Omit<RootRequest, "key"> {
  /** DER of SubjectPublicKeyInfo. */
  readonly publicKey: Buffer;
}

/** The DER of a certificate for a CA that signs leaves in its issuer's name. */
export const issueIntermediate = (issuer: Issuer, request: IntermediateRequest): Buffer =>
  signCertificate(issuer.key, {
    serial: request.serial,
    issuerName: issuer.certificate.subject,
    subjectName: encodeName(request.organization, request.commonName),
    notBeforeMs: request.notBeforeMs,
    notAfterMs: request.notAfterMs,
    publicKey: request.publicKey,
    extensions: [
      extension(oids.keyUsage, true, namedBits(keyUsageBit.keyCertSign, keyUsageBit.crlSign)),
      extension(oids.basicConstraints, true, sequence(boolean(true), integer(Buffer.from([0])))),
      extension(oids.subjectKeyIdentifier, false, octetString(keyIdentifier(request.publicKey))),
      extension(oids.authorityKeyIdentifier, false, sequence(context(0, "primitive", issuer.certificate.subjectKeyId))),
    ],
  });

/** A root read back with its key. Throws DerError. */
export const issuerOf = (certificateDer: Buffer, key: KeyObject): Issuer => ({
  certificate: parseCertificate(certificateDer),
  key,
});
