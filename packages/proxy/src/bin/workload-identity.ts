/** Wires the identity client to the world: the CA over gRPC, the key's folder, PEM files for programs beside us. */
import type { SocketAddress } from "@weft/core/address";
import { grpcStatus } from "@weft/core/grpc-status";
import type { Identity } from "@weft/core/identity";
import { shuffled } from "@weft/core/shuffled";
import type { Logger } from "@weft/core/world";
import { realClock, setRealTimer } from "@weft/net/clock";
import { makeFolder, readIfThere, writeAtomic } from "@weft/net/files/files";
import { createGrpcChannel, type GrpcTls } from "@weft/net/grpc/client";
import { GrpcError } from "@weft/net/grpc/status";
import { decodeMessage, encodeMessage } from "@weft/xds/codec";
import { IstioCertificateRequestSchema, IstioCertificateResponseSchema } from "@weft/xds/gen/istio/ca";
import { generateKey } from "../identity/generate-key.ts";
import { type IdentityStore, openIdentityClient } from "../identity/identity-client.ts";
import { type IdentityMaterial, identityFiles, type StoredIdentity } from "../identity/identity-material.ts";
import type { WorkloadFlags } from "./sidecar-flags.ts";

/** What our control plane and istiod are called in their certificates. */
export const controlPlaneName = "istiod.istio-system.svc";

const createCertificatePath = "/istio.v1.auth.IstioCertificateService/CreateCertificate";
const callTimeoutMs = 20_000;
const connectTimeoutMs = 5_000;
/** How long a start waits for the first certificate before it goes on without. */
const firstWaitMs = 3_000;

export interface WorkloadIdentityOptions {
  readonly flags: WorkloadFlags;
  readonly dataFolder: string | undefined;
  readonly log: Logger;
  readonly onMaterial: (material: IdentityMaterial) => void;
}

/** Asks for a certificate, or takes the stored one, and keeps it renewed. Resolves with the first, or after a while. */
export const startWorkloadIdentity = async (options: WorkloadIdentityOptions): Promise<Disposable> => {
  const { flags, log } = options;
  const { namespace, serviceAccount, trustDomain, certFolder } = flags;
  const identity: Identity = { trustDomain, namespace, serviceAccount };
  let current: IdentityMaterial | undefined;
  const client = openIdentityClient({
    identity,
    requestCertificate: (csr) => requestCertificate(flags, csr, () => current),
    generateKey,
    store: options.dataFolder === undefined ? undefined : folderStore(`${options.dataFolder}/identity`),
    onMaterial: (material) => {
      current = material;
      if (certFolder !== undefined) writeFiles(certFolder, material, log);
      options.onMaterial(material);
    },
    clock: realClock,
    setTimer: setRealTimer,
    random: Math.random,
    log,
  });
  const { promise: waited, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, firstWaitMs);
  await Promise.race([client.ready, waited]);
  clearTimeout(timer);
  return client;
};

/** A certificate in force proves who asks; before there is one, the join token does. */
const requestCertificate = async (
  flags: WorkloadFlags,
  csr: string,
  current: () => IdentityMaterial | undefined,
): Promise<readonly string[]> => {
  const roots = readIfThere(flags.rootCertFile);
  if (roots === undefined) throw new Error(`there is no root certificate at ${flags.rootCertFile}`);
  const material = current();
  const own = material && material.notAfterMs > realClock.wallMs() ? material : undefined;
  const token = flags.tokenFile === undefined ? undefined : readIfThere(flags.tokenFile)?.trim();
  if (!own && !token)
    throw new Error("there is no join token: give --token-file, or let this machine join anew (weft join)");
  const tls: GrpcTls = {
    roots,
    serverName: flags.serverName ?? controlPlaneName,
    ...(own ? { certificate: own.certificatePem, key: own.keyPem } : {}),
  };
  const metadata: Readonly<Record<string, string>> = own || !token ? {} : { authorization: `Bearer ${token}` };
  const answer = await askAny(
    shuffled([flags.controlPlane, ...flags.otherControlPlanes], Math.random),
    async (address) => {
      using channel = createGrpcChannel({ target: { kind: "tcp", ...address }, tls: () => tls, connectTimeoutMs });
      const call = { path: createCertificatePath, deadlineMs: callTimeoutMs, metadata };
      return await channel.unary(call, encodeMessage(IstioCertificateRequestSchema, { csr }));
    },
  );
  const { certChain = [] } = decodeMessage(IstioCertificateResponseSchema, answer) as { certChain?: string[] };
  return certChain;
};

/** The next one is asked where one is away or cannot answer now; what one refuses, the others would too. */
const askAny = async (
  addresses: readonly SocketAddress[],
  ask: (address: SocketAddress) => Promise<Uint8Array>,
): Promise<Uint8Array> => {
  let last: unknown;
  for (const address of addresses) {
    try {
      return await ask(address);
    } catch (error) {
      const isAway = error instanceof GrpcError && awayStatuses.has(error.status);
      if (!isAway) throw error;
      last = error;
    }
  }
  throw last;
};

const awayStatuses: ReadonlySet<number> = new Set([grpcStatus.unavailable, grpcStatus.deadlineExceeded]);

/** Key and chain in one file, so that they always belong together. */
const folderStore = (folder: string): IdentityStore => {
  const path = `${folder}/identity.json`;
  return {
    load: async () => {
      const text = readIfThere(path);
      if (text === undefined) return undefined;
      const { keyPem, chain } = JSON.parse(text) as Partial<StoredIdentity>;
      if (typeof keyPem !== "string" || !Array.isArray(chain)) throw new Error("it is not a key and its chain");
      return { keyPem, chain };
    },
    save: async ({ keyPem, chain }) => {
      makeFolder(folder);
      writeAtomic(path, JSON.stringify({ keyPem, chain }));
    },
  };
};

const writeFiles = (folder: string, material: IdentityMaterial, log: Logger): void => {
  try {
    makeFolder(folder);
    for (const [name, text] of identityFiles(material)) writeAtomic(`${folder}/${name}`, text);
  } catch (error) {
    log.error("key files cannot be written", { code: "WF7005", folder, error: String(error) });
  }
};
