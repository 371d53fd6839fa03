import { generateKeyPair } from "node:crypto";

/** A new P-256 private key as PKCS#8 PEM. Made on Node's thread pool, beside the event loop. */
export const generateKey = (): Promise<string> =>
  new Promise((resolve, reject) => {
    generateKeyPair(
      "ec",
      {
        namedCurve: "P-256",
        publicKeyEncoding: { type: "spki", format: "pem" },
        privateKeyEncoding: { type: "pkcs8", format: "pem" },
      },
      (error, _publicKey, privateKey) => (error ? reject(error) : resolve(privateKey)),
    );
  });
