/** PKCS#10 certificate signing requests (RFC 2986): what a workload sends, what the CA reads. */
import type { KeyObject } from "node:crypto";
import { type AltNames, encodeAltNames, noAltNames, parseAltNames } from "./alt-names.ts";
import { readExtension } from "./certificate.ts";
import { bitString, context, derTag, integer, octetString, oid, sequence, setOf } from "./der.ts";
import { DerError, type DerReader, enterOnly, oidText, smallInteger, wholeBits } from "./der-reader.ts";
import { publicKeyDer, publicKeyOf, signatureAlgorithm, signDer, signDerAside, verifyDer } from "./keys.ts";
import { oids } from "./oids.ts";
import { decodePem, encodePem } from "./pem.ts";

const label = "CERTIFICATE REQUEST";

/** A request larger than this, as PEM, is not read. */
export const csrBytesMax = 16 * 1024;

export interface CertificateRequest {
  /** DER of SubjectPublicKeyInfo, of a kind that is certified. */
  readonly publicKey: Buffer;
  readonly altNames: AltNames;
}

/** A request as PEM, signed with the private key, for the given names or for none. */
export const createCsr = (key: KeyObject, altNames: AltNames): string => {
  const body = requestBody(key, altNames);
  return encodeRequest(key, body, signDer(key, body));
};

/** The same, signed on Node's thread pool. */
export const createCsrAside = async (key: KeyObject, altNames: AltNames): Promise<string> => {
  const body = requestBody(key, altNames);
  return encodeRequest(key, body, await signDerAside(key, body));
};

const encodeRequest = (key: KeyObject, body: Buffer, signature: Buffer): string =>
  encodePem(label, sequence(body, signatureAlgorithm(key), bitString(signature)));

const requestBody = (key: KeyObject, altNames: AltNames): Buffer => {
  const named = altNames.uris.length + altNames.dnsNames.length + altNames.ipAddresses.length > 0;
  const names = sequence(oid(oids.subjectAltName), octetString(encodeAltNames(altNames)));
  const attribute = named ? sequence(oid(oids.extensionRequest), setOf(sequence(names))) : Buffer.alloc(0);
  return sequence(integer(Buffer.from([0])), sequence(), publicKeyDer(key), context(0, "constructed", attribute));
};

/** Reads a request and checks that it is signed with the key it is for. Throws DerError. */
export const parseCsr = (pem: string): CertificateRequest => {
  if (pem.length > csrBytesMax) throw new DerError("a request that is too large");
  const [der, ...more] = decodePem(label, pem) ?? decodePem(`NEW ${label}`, pem) ?? [];
  if (!der || more.length > 0) throw new DerError("not one certificate request in PEM");
  const outer = enterOnly(der);
  const body = outer.next(derTag.sequence);
  const algorithm = outer.next(derTag.sequence).whole;
  const signature = wholeBits(outer.next(derTag.bitString).content);
  outer.end();

  const fields = enterOnly(body.whole);
  if (smallInteger(fields.next(derTag.integer).content) !== 0) throw new DerError("a request of another version");
  fields.next(derTag.sequence);
  const publicKey = fields.next(derTag.sequence).whole;
  const altNames = fields.done ? noAltNames : readAttributes(fields.enter(0xa0));
  fields.end();
  if (!verifyDer(publicKeyOf(publicKey), { algorithm, bytes: body.whole, signature })) {
    throw new DerError("a request that is not signed with its key");
  }
  return { publicKey, altNames };
};

/** The names asked for; other attributes and extensions mean nothing to us. */
const readAttributes = (attributes: DerReader): AltNames => {
  let altNames: AltNames | undefined;
  while (!attributes.done) {
    const attribute = attributes.enter(derTag.sequence);
    const id = oidText(attribute.next(derTag.oid).content);
    const values = attribute.enter(derTag.set);
    attribute.end();
    if (id !== oids.extensionRequest) continue;
    const extensions = values.enter(derTag.sequence);
    values.end();
    while (!extensions.done) {
      const extension = readExtension(extensions);
      if (extension.id !== oids.subjectAltName) continue;
      if (altNames) throw new DerError("two lists of names");
      altNames = parseAltNames(extension.value);
    }
  }
  return altNames ?? noAltNames;
};
