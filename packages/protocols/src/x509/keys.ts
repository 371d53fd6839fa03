/** Keys and signatures as certificates and requests name them. */
import { createHash, createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import { derTag, element, oid, sequence } from "./der.ts";
import { DerError, enterOnly, oidText, wholeBits } from "./der-reader.ts";
import { oids } from "./oids.ts";

const hashes: ReadonlyMap<string, { readonly hash: string; readonly type: "ec" | "rsa" }> = new Map([
  [oids.ecdsaWithSha256, { hash: "sha256", type: "ec" }],
  [oids.ecdsaWithSha384, { hash: "sha384", type: "ec" }],
  [oids.ecdsaWithSha512, { hash: "sha512", type: "ec" }],
  [oids.rsaWithSha256, { hash: "sha256", type: "rsa" }],
  [oids.rsaWithSha384, { hash: "sha384", type: "rsa" }],
  [oids.rsaWithSha512, { hash: "sha512", type: "rsa" }],
]);

/** The algorithm we sign with, for an EC or an RSA key. */
export const signatureAlgorithm = (key: KeyObject): Buffer =>
  key.asymmetricKeyType === "rsa"
    ? sequence(oid(oids.rsaWithSha256), element(derTag.null))
    : sequence(oid(oids.ecdsaWithSha256));

export const signDer = (key: KeyObject, bytes: Buffer): Buffer => sign("sha256", bytes, key);

/** The same on Node's thread pool. */
export const signDerAside = (key: KeyObject, bytes: Buffer): Promise<Buffer> =>
  new Promise((resolve, reject) =>
    sign("sha256", bytes, key, (error, signature) => (error ? reject(error) : resolve(signature))),
  );

/** Whether `signature` over `bytes` was made with that key, under an algorithm that is a whole AlgorithmIdentifier. */
export const verifyDer = (
  key: KeyObject,
  signed: { readonly algorithm: Buffer; readonly bytes: Buffer; readonly signature: Buffer },
): boolean => {
  const fields = enterOnly(signed.algorithm);
  const known = hashes.get(oidText(fields.next(derTag.oid).content));
  if (known?.type === "rsa") fields.optional(derTag.null);
  fields.end();
  return known?.type === key.asymmetricKeyType && verify(known?.hash, signed.bytes, key, signed.signature);
};

const rsaBitsMin = 2048;
const rsaBitsMax = 4096;

/** A SubjectPublicKeyInfo as a key we certify: EC on P-256 or P-384, or RSA of 2048 to 4096 bits. Throws DerError. */
export const publicKeyOf = (der: Buffer): KeyObject => {
  let key: KeyObject;
  try {
    key = createPublicKey({ key: der, format: "der", type: "spki" });
  } catch {
    throw new DerError("a public key that cannot be read");
  }
  const { namedCurve, modulusLength = 0, publicExponent } = key.asymmetricKeyDetails ?? {};
  const curve = namedCurve === "prime256v1" || namedCurve === "secp384r1";
  const rsa = modulusLength >= rsaBitsMin && modulusLength <= rsaBitsMax && publicExponent === 65_537n;
  if (key.asymmetricKeyType === "ec" ? curve : key.asymmetricKeyType === "rsa" && rsa) return key;
  throw new DerError("a public key of a kind or size that is not certified");
};

/** RFC 5280 section 4.2.1.2, method 1: SHA-1 over the key's bits. */
export const keyIdentifier = (publicKeyDer: Buffer): Buffer => {
  const info = enterOnly(publicKeyDer);
  info.next(derTag.sequence);
  const bits = wholeBits(info.next(derTag.bitString).content);
  return createHash("sha1").update(bits).digest();
};

export const publicKeyDer = (key: KeyObject): Buffer =>
  (key.type === "private" ? createPublicKey(key) : key).export({ format: "der", type: "spki" });
