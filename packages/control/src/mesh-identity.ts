/** The CA as one process runs it: its files, the join token, the certificate of the secure port and its renewal. */
import { randomBytes } from "node:crypto";
import type { Clock, Logger, SetTimer } from "@weft/core/world";
import { makeFolder, readIfThere, writeAtomic } from "@weft/net/files/files";
import type { GrpcHandler } from "@weft/net/grpc/calls";
import type { GrpcTls } from "@weft/net/grpc/server";
import { type Authority, openAuthority } from "./ca/authority.ts";
import { caLimits } from "./ca/ca-limits.ts";
import { caHandlers, createCertificatePath } from "./ca/ca-service.ts";
import type { CaStore } from "./ca/ca-store.ts";
import { systemServiceAccount } from "./ca/create-certificate.ts";
import { createIssueBudget } from "./ca/issue-budget.ts";
import { type JoinTokens, openJoinTokens } from "./ca/join-tokens.ts";
import type { Metrics } from "./metrics/metrics.ts";

export interface MeshIdentity {
  readonly authority: Authority;
  readonly tokens: JoinTokens;
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
}

const serverTtlMs = 24 * 3_600_000;
/** The join token in the data folder is replaced at a start this close to its end. */
const joinTokenMarginMs = 30 * 24 * 3_600_000;
/** What Istio's agents expect the secure port's certificate to name. */
const istiodName = "istiod.istio-system.svc";

/** Opens the CA in `DATA/ca`, makes what is missing, and writes `root-cert.pem` and `join-token`. */
export const openMeshIdentity = (options: MeshIdentityOptions): MeshIdentity => {
  const { dataFolder, trustDomain, clock, setTimer, log } = options;
  const store = folderStore(`${dataFolder}/ca`);
  const authority = openAuthority({ store, trustDomain, nowMs: clock.wallMs(), randomBytes });
  writeAtomic(`${dataFolder}/root-cert.pem`, authority.rootPem, 0o644);
  const tokens = openJoinTokens({ store, randomBytes });
  keepJoinToken(`${dataFolder}/join-token`, tokens, clock.wallMs());

  const issue = (): GrpcTls => {
    const identity = { trustDomain, namespace: options.rootNamespace, serviceAccount: systemServiceAccount };
    const hosts = [...new Set(["localhost", "127.0.0.1", "::1", istiodName, ...options.hosts])];
    const { chain, keyPem } = authority.issueServer({ identity, hosts }, serverTtlMs, clock.wallMs());
    return { key: keyPem, cert: chain.join(""), ca: authority.rootPem };
  };
  let tls = issue();

  const budget = createIssueBudget(caLimits.issuedPerSecond, caLimits.issuedBurst);
  const handlers = caHandlers({
    ...{ authority, tokens, budget, log, clock },
    systemNamespace: options.rootNamespace,
  });
  return {
    authority,
    tokens,
    handlers: counted(handlers, options.metrics),
    serverTls: () => tls,
    renewing(renewed) {
      let timer: Disposable;
      const renew = (): void => {
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

/** A token for whoever can read the data folder, good for any identity but the system's own. */
const keepJoinToken = (path: string, tokens: JoinTokens, nowMs: number): void => {
  const known = readIfThere(path)?.trim();
  const info = known === undefined ? undefined : tokens.check(known, nowMs);
  if (info && info.expiresMs - nowMs > joinTokenMarginMs) return;
  const { token } = tokens.create({ uses: "unlimited", ttlMs: caLimits.tokenTtlMaxMs }, nowMs);
  writeAtomic(path, `${token}\n`);
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
