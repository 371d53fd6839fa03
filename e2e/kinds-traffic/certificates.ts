/** An authority of a test's own: certificates for keys of either type, and lists of those it has revoked. */
import { createHash, createPrivateKey, generateKeyPairSync, type KeyObject, X509Certificate } from "node:crypto";
import { noAltNames } from "@weft/protocols/x509/alt-names";
import { bitString, integer, sequence, time } from "@weft/protocols/x509/der";
import { encodeName, issueLeaf, issueRoot, issuerOf } from "@weft/protocols/x509/issue";
import { publicKeyDer, signatureAlgorithm, signDer } from "@weft/protocols/x509/keys";
import { encodePem } from "@weft/protocols/x509/pem";
import type { Keys } from "./edges.ts";

const day = 86_400_000;

const newKey = (type: "ec" | "rsa"): KeyObject =>
  type === "ec"
    ? generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey
    : generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;

export interface Issued extends Keys {
  /** As hex. */
  readonly serial: string;
  /** SHA-256 of the certificate as hex with colons, and of its key as base64. */
  readonly hash: string;
  readonly spki: string;
}

export interface Authority {
  readonly rootPem: string;
  issue(name: string, type?: "ec" | "rsa"): Issued;
  /** PEM of the list with those certificates. */
  revoke(...revoked: readonly Issued[]): string;
}

export const createAuthority = (name: string): Authority => {
  const key = newKey("ec");
  const nowMs = Date.now();
  const dates = { notBeforeMs: nowMs - day, notAfterMs: nowMs + day };
  const root = issueRoot({ key, organization: name, commonName: "root", serial: Buffer.from([1]), ...dates });
  const issuer = issuerOf(root, key);
  let serial = 1;
  return {
    rootPem: encodePem("CERTIFICATE", root),
    issue: (dnsName, type = "ec") => {
      const own = newKey(type);
      serial++;
      const publicKey = publicKeyDer(createPrivateKey(own.export({ format: "pem", type: "pkcs8" })));
      const altNames = { ...noAltNames, dnsNames: [dnsName] };
      const der = issueLeaf(issuer, { publicKey, altNames, serial: Buffer.from([serial]), ...dates });
      return {
        key: own.export({ format: "pem", type: "pkcs8" }).toString(),
        cert: encodePem("CERTIFICATE", der),
        serial: new X509Certificate(der).serialNumber,
        hash: new X509Certificate(der).fingerprint256,
        spki: createHash("sha256").update(publicKey).digest("base64"),
      };
    },
    revoke: (...revoked) => {
      const algorithm = signatureAlgorithm(key);
      const entries = revoked.map((one) => sequence(integer(Buffer.from(one.serial, "hex")), time(nowMs - day)));
      const list = sequence(
        integer(Buffer.from([1])),
        algorithm,
        encodeName(name, "root"),
        time(nowMs - day),
        time(nowMs + day),
        ...(entries.length > 0 ? [sequence(...entries)] : []),
      );
      return encodePem("X509 CRL", sequence(list, algorithm, bitString(signDer(key, list))));
    },
  };
};
