/** The CA as one process runs it: its files, the join token, the certificate of the secure port and its renewal. */
import { createHash, randomBytes } from "node:crypto";
import type { Clock, Logger, SetTimer } from "@weft/core/world";
import { makeFolder, readIfThere, writeAtomic } from "@weft/net/files/files";
import type { GrpcHandler } from "@weft/net/grpc/calls";
import type { GrpcTls } from "@weft/net/grpc/server";
import { decodePem } from "@weft/protocols/x509/pem";
import { type Authority, openAuthority } from "./ca/authority.ts";
import { caLimits } from "./ca/ca-limits.ts";
import { caHandlers, createCertificatePath } from "./ca/ca-service.ts";
import type { CaStore } from "./ca/ca-store.ts";
import { systemServiceAccount } from "./ca/create-certificate.ts";
import { createIssueBudget } from "./ca/issue-budget.ts";
import { openJoinTokens, type TokenBook } from "./ca/join-tokens.ts";
import type { ReviewToken } from "./ca/service-account-tokens.ts";
import { openSharedAuthority, type SharedAuthority } from "./ca/shared-authority.ts";
import { openSharedTokens } from "./ca/shared-tokens.ts";
import type { Metrics } from "./metrics/metrics.ts";
import type { Seal } from "./store/shared/seal.ts";
import { sharedSecret } from "./store/shared/shared-secret.ts";
import type { SharedStore } from "./store/shared/shared-store.ts";

export interface MeshIdentity {
  readonly authority: Authority;
  readonly tokens: TokenBook;
  /** `sha256:HEX` of the root. */
  readonly rootFingerprint: string;
  readonly handlers: ReadonlyMap<string, GrpcHandler>;
  /** The secure port's key and certificate, as of now. */
  readonly serverTls: () => GrpcTls;
  /** Calls with each new certificate at half of its life, until disposed. */
  renewing(renewed: (tls: GrpcTls) => void): Disposable;
}

export interface MeshIdentityOptions {
  readonly dataFolder: string;
  readonly trustDomain: string;
  readonly rootNamespace: string;
  /** Names and addresses the secure port is reached by. */
  readonly hosts: readonly string[];
  readonly clock: Clock;
  readonly setTimer: SetTimer;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Where root, tokens and the join token are for all replicas; absent: in the data folder. */
  readonly shared?: { readonly store: SharedStore; readonly seal: Seal } | undefined;
  /** Whose a token of Kubernetes is; absent: only join tokens are taken. */
  readonly reviewToken?: ReviewToken | undefined;
}

const serverTtlMs = 24 * 3_600_000;
/** The join token in the data folder is replaced at a start this close to its end. */
const joinTokenMarginMs = 30 * 24 * 3_600_000;
/** What Istio's agents expect the secure port's certificate to name. */
const istiodName = "istiod.istio-system.svc";

interface Opened {
  readonly authority: Authority & Partial<Pick<SharedAuthority, "renew">>;
  readonly tokens: TokenBook;
}

/** Opens the CA, makes what is missing, and writes `root-cert.pem` and `join-token` to the data folder. */
export const openMeshIdentity = async (options: MeshIdentityOptions): Promise<MeshIdentity> => {
  const { dataFolder, trustDomain, clock, setTimer, log } = options;
  const { authority, tokens } = await openIssuing(options);
  writeAtomic(`${dataFolder}/root-cert.pem`, authority.rootPem, 0o644);

  const issue = (): GrpcTls => {
    const identity = { trustDomain, namespace: options.rootNamespace, serviceAccount: systemServiceAccount };
    const hosts = [...new Set(["localhost", "127.0.0.1", "::1", istiodName, ...options.hosts])];
    const { shownPem, keyPem } = authority.issueServer({ identity, hosts }, serverTtlMs, clock.wallMs());
    return { key: keyPem, cert: shownPem, ca: authority.rootPem };
  };
  let tls = issue();

  const budget = createIssueBudget(caLimits.issuedPerSecond, caLimits.issuedBurst);
  const handlers = caHandlers({
    ...{ authority, tokens, budget, log, clock },
    ...{ systemNamespace: options.rootNamespace, reviewToken: options.reviewToken },
  });
  const [rootDer = Buffer.alloc(0)] = decodePem("CERTIFICATE", authority.rootPem) ?? [];
  return {
    authority,
    tokens,
    rootFingerprint: `sha256:${createHash("sha256").update(rootDer).digest("hex")}`,
    handlers: counted(handlers, options.metrics),
    serverTls: () => tls,
    renewing(renewed) {
      let timer: Disposable;
      const renew = (): void => {
        renewIssuer(authority, clock.wallMs(), log);
        tls = issue();
        renewed(tls);
        timer = setTimer(renew, serverTtlMs / 2);
      };
      timer = setTimer(renew, serverTtlMs / 2);
      return { [Symbol.dispose]: () => timer[Symbol.dispose]() };
    },
  };
};

const folderStore = (folder: string): CaStore => {
  makeFolder(folder);
  return {
    read: (name) => readIfThere(`${folder}/${name}`),
    write: (name, text) => writeAtomic(`${folder}/${name}`, text),
  };
};

const openIssuing = async ({ dataFolder, trustDomain, clock, log, shared }: MeshIdentityOptions): Promise<Opened> => {
  const store = folderStore(`${dataFolder}/ca`);
  const path = `${dataFolder}/join-token`;
  const nowMs = clock.wallMs();
  const own = { store, trustDomain, nowMs, randomBytes };
  if (!shared) {
    const authority = openAuthority(own);
    const tokens = openJoinTokens({ store, randomBytes });
    const known = readIfThere(path)?.trim();
    if (!isLasting(known, tokens, nowMs)) writeAtomic(path, `${tokens.create(standing, nowMs).token}\n`);
    return { authority, tokens };
  }
  const authority = await openSharedAuthority({ ...own, shared: shared.store, seal: shared.seal });
  const tokens = openSharedTokens({ store: shared.store, randomBytes });
  const token = await sharedSecret({
    ...shared,
    key: "meta/join-token",
    isGood: (text) => isLasting(text, tokens, nowMs),
    make: async () => (await tokens.create(standing, nowMs)).token,
  }).catch((error: unknown) => {
    log.warn("the join token for this machine cannot be made now", { code: "WF2202", error: String(error) });
    return undefined;
  });
  if (token !== undefined) writeAtomic(path, `${token}\n`);
  return { authority, tokens };
};

/** A token for whoever can read the data folder, good for any identity but the system's own. */
const standing = { uses: "unlimited", ttlMs: caLimits.tokenTtlMaxMs } as const;

const isLasting = (token: string | undefined, tokens: Pick<TokenBook, "check">, nowMs: number): boolean => {
  const info = token === undefined ? undefined : tokens.check(token, nowMs);
  return info !== undefined && info.expiresMs - nowMs > joinTokenMarginMs;
};

const renewIssuer = (authority: Opened["authority"], nowMs: number, log: Logger): void => {
  try {
    authority.renew?.(nowMs);
  } catch (error) {
    log.error("the control plane's own CA is not renewed, the present one stays", {
      code: "WF2207",
      error: String(error),
    });
  }
};

const counted = (handlers: ReadonlyMap<string, GrpcHandler>, metrics: Metrics): ReadonlyMap<string, GrpcHandler> => {
  const asked = metrics.counter("citadel_server_csr_count", "Certificates asked for.");
  const issued = metrics.counter("citadel_server_success_cert_issuance_count", "Certificates issued.");
  const refused = metrics.counter("citadel_server_refused_count", "Certificates refused.");
  const handler = handlers.get(createCertificatePath);
  if (handler?.kind !== "unary") return handlers;
  const handle: typeof handler.handle = async (request, call) => {
    asked.add(1);
    try {
      const response = await handler.handle(request, call);
      issued.add(1);
      return response;
    } catch (error) {
      refused.add(1);
      throw error;
    }
  };
  return new Map([...handlers, [createCertificatePath, { kind: "unary", handle }]]);
};
