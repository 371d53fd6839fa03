/**
 * The CA of several control planes: one root for the mesh, whose key lies sealed in the shared store, and an intermediate
 * for each replica, signed at its start and kept in its own folder. A replica that is lost takes only its intermediate with it.
 */
import { createHash, createPrivateKey } from "node:crypto";
import { WeftError } from "@weft/core/error";
import { type Issuer, issueIntermediate, issuerOf } from "@weft/protocols/x509/issue";
import { publicKeyDer } from "@weft/protocols/x509/keys";
import { decodePem, encodePem } from "@weft/protocols/x509/pem";
import { rootRecordKey } from "../store/shared/etcd-store.ts";
import type { Seal } from "../store/shared/seal.ts";
import { asSeen, jsonOf, type SharedStore, writeUntilDone } from "../store/shared/shared-store.ts";
import {
  type Authority,
  type AuthorityOptions,
  authorityOf,
  createRoot,
  exportKey,
  loadRoot,
  newKey,
  refuseExpired,
  rootCertificateName,
  rootKeyName,
} from "./authority.ts";
import { caLimits } from "./ca-limits.ts";
import { type CaStore, memoryCaStore } from "./ca-store.ts";

export interface SharedAuthorityOptions extends AuthorityOptions {
  readonly shared: Pick<SharedStore, "get" | "write">;
  readonly seal: Seal;
}

export interface SharedAuthority extends Authority {
  /** Takes a new intermediate where this one's half is over. Keeps the present one and throws when it cannot. */
  renew(nowMs: number): void;
}

export const intermediateKeyName = "intermediate-key.pem";
export const intermediateCertificateName = "intermediate-cert.pem";

/**
 * Opens the shared root; makes it where the store has none, from the folder's own where a single control plane had one.
 * Throws WF2204 when the key does not open it, WF7120 and WF7121 as for an own root.
 */
export const openSharedAuthority = async (options: SharedAuthorityOptions): Promise<SharedAuthority> => {
  const { shared, seal, store, nowMs } = options;
  if (!shared.get(rootRecordKey)) await offerRoot(options);
  const openRoot = (): Issuer => rootIn(shared, seal);
  const root = openRoot();
  refuseExpired(root, nowMs);
  let own = loadIntermediate(store, root, nowMs) ?? createIntermediate(options, root, nowMs);
  return {
    ...authorityOf({ ...options, root: root.certificate, issuer: () => own }),
    renew(now) {
      if (!isHalfOver(own, now)) return;
      own = createIntermediate(options, openRoot(), now);
    },
  };
};

/** The first of several replicas to offer its root has it taken; the others take that one. */
const offerRoot = async (options: SharedAuthorityOptions): Promise<void> => {
  const { shared, seal, store } = options;
  const root = loadRoot(store) ?? createRoot({ ...options, store: memoryCaStore() });
  const cert = encodePem("CERTIFICATE", root.certificate.der);
  const value = JSON.stringify({ cert, key: seal.close(rootRecordKey, exportKey(root.key)) });
  await writeUntilDone(shared, () => ({
    write: shared.get(rootRecordKey)
      ? undefined
      : { seen: [asSeen(shared, rootRecordKey)], puts: [{ key: rootRecordKey, value }] },
    result: undefined,
  }));
};

const rootIn = (shared: Pick<SharedStore, "get">, seal: Seal): Issuer => {
  const record = shared.get(rootRecordKey);
  const { cert, key } = ((record && jsonOf(record)) ?? {}) as { cert?: unknown; key?: unknown };
  if (typeof cert !== "string" || typeof key !== "string") {
    throw new WeftError("WF7120", "the mesh's root in the shared store cannot be read", {
      next: "restore the store from a copy; a new root would lock out every running sidecar",
    });
  }
  const texts = memoryCaStore();
  texts.write(rootCertificateName, cert);
  texts.write(rootKeyName, seal.open(rootRecordKey, key));
  return loadRoot(texts) as Issuer;
};

const isHalfOver = ({ certificate: { notBeforeMs, notAfterMs } }: Issuer, nowMs: number): boolean =>
  nowMs > (notBeforeMs + notAfterMs) / 2;

/** What an earlier start left, where it still fits; whatever is wrong with it, a new one is as good. */
const loadIntermediate = (store: CaStore, root: Issuer, nowMs: number): Issuer | undefined => {
  const keyPem = store.read(intermediateKeyName);
  const pem = store.read(intermediateCertificateName);
  if (keyPem === undefined || pem === undefined) return undefined;
  try {
    const [der] = decodePem("CERTIFICATE", pem) ?? [];
    const own = der && issuerOf(der, createPrivateKey(keyPem));
    if (!own || !publicKeyDer(own.key).equals(own.certificate.publicKey)) return undefined;
    const isOurs = store.read(signedByName)?.trim() === fingerprintOf(root.certificate.der);
    return isOurs && own.certificate.isCa && !isHalfOver(own, nowMs) ? own : undefined;
  } catch {
    return undefined;
  }
};

/** Names the root that signed: another mesh's intermediate in the folder is of no use. */
const signedByName = "intermediate-root";
const fingerprintOf = (der: Buffer): string => createHash("sha256").update(der).digest("hex");

const createIntermediate = (options: SharedAuthorityOptions, root: Issuer, nowMs: number): Issuer => {
  const { store, trustDomain, randomBytes } = options;
  const key = newKey();
  const id = randomBytes(4).toString("hex");
  const der = issueIntermediate(root, {
    publicKey: publicKeyDer(key),
    organization: trustDomain,
    commonName: `Control plane ${id} of ${trustDomain}`,
    serial: randomBytes(16),
    notBeforeMs: Math.max(nowMs - caLimits.backdateMs, root.certificate.notBeforeMs),
    notAfterMs: Math.min(nowMs + caLimits.intermediateTtlMs, root.certificate.notAfterMs),
  });
  store.write(intermediateKeyName, exportKey(key));
  store.write(intermediateCertificateName, encodePem("CERTIFICATE", der));
  store.write(signedByName, `${fingerprintOf(root.certificate.der)}\n`);
  return issuerOf(der, key);
};
