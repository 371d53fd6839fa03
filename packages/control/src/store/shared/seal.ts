/** Seals what must not be read by whoever reads the shared store: AES-256-GCM, under a key that only replicas have. */
import { createCipheriv, createDecipheriv, hkdfSync } from "node:crypto";
import { WeftError } from "@weft/core/error";

export interface Seal {
  /** The name is sealed with it: a text cannot be put in another's place. */
  close(name: string, text: string): string;
  /** Throws WF2204 for what was sealed under another key or name, or changed since. */
  open(name: string, sealed: string): string;
}

const algorithm = "aes-256-gcm";
const nonceBytes = 12;
const tagBytes = 16;
const form = "v1.";
/** Fewer characters are not what somebody made at random. */
export const storeKeyCharsMin = 32;

/** Throws WF2203 for a secret too short to be one. */
export const createSeal = (secret: string, randomBytes: (size: number) => Buffer): Seal => {
  if (secret.length < storeKeyCharsMin) {
    throw new WeftError("WF2203", `the store's key has ${secret.length} characters, fewer than ${storeKeyCharsMin}`, {
      next: "make one with: openssl rand -base64 32, and give every replica the same",
    });
  }
  const key = Buffer.from(hkdfSync("sha256", secret, "weft shared store", "seal v1", 32));
  return {
    close(name, text) {
      const nonce = randomBytes(nonceBytes);
      const cipher = createCipheriv(algorithm, key, nonce).setAAD(Buffer.from(name));
      const body = Buffer.concat([cipher.update(text, "utf8"), cipher.final()]);
      return form + Buffer.concat([nonce, cipher.getAuthTag(), body]).toString("base64url");
    },
    open(name, sealed) {
      try {
        if (!sealed.startsWith(form)) throw new Error("it has another form");
        const bytes = Buffer.from(sealed.slice(form.length), "base64url");
        const decipher = createDecipheriv(algorithm, key, bytes.subarray(0, nonceBytes), { authTagLength: tagBytes });
        decipher.setAAD(Buffer.from(name)).setAuthTag(bytes.subarray(nonceBytes, nonceBytes + tagBytes));
        return decipher.update(bytes.subarray(nonceBytes + tagBytes)).toString("utf8") + decipher.final("utf8");
      } catch (cause) {
        throw new WeftError("WF2204", `${name} of the shared store cannot be opened: it was sealed under another key`, {
          next: "give every replica the file that the first was started with by --store-key",
          cause,
        });
      }
    },
  };
};
