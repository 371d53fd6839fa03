/**
 * `istio.v1.auth.IstioCertificateService/CreateCertificate` on decoded messages: who asks, for which identity, and
 * what they get. The identity comes from the caller's credential; the request may narrow it, never widen it.
 */

import { grpcStatus } from "@weft/core/grpc-status";
import { formatIdentity, type Identity, parseIdentity } from "@weft/core/identity";
import type { Logger } from "@weft/core/world";
import { HttpRefusal } from "@weft/net/http/server";
import { type CertificateRequest, parseCsr } from "@weft/protocols/x509/csr";
import { DerError } from "@weft/protocols/x509/der-reader";
import type { Authority } from "./authority.ts";
import { caLimits } from "./ca-limits.ts";
import type { IssueBudget } from "./issue-budget.ts";
import type { TokenBook, TokenInfo } from "./join-tokens.ts";
import type { ReviewToken } from "./service-account-tokens.ts";

export interface CertificateCaller {
  /** The `authorization` metadata as received. */
  readonly authorization: string | undefined;
  /** The SPIFFE ID of the client certificate, when TLS verified it against the mesh's root. */
  readonly spiffe: string | undefined;
  /** For the log. */
  readonly address: string;
}

export interface CertificateQuestion {
  readonly csr: string;
  /** Seconds; 0 leaves it to the CA. */
  readonly validityDuration: bigint;
}

export type CertificateAnswer =
  | {
      readonly kind: "issued";
      readonly chain: readonly string[];
      readonly identity: Identity;
      readonly notAfterMs: number;
    }
  | { readonly kind: "refused"; readonly status: number; readonly message: string };

export interface CreateCertificateOptions {
  readonly authority: Authority;
  readonly tokens: Pick<TokenBook, "check" | "use" | "wait">;
  readonly budget: IssueBudget;
  /** Where the control plane itself lives: a token must name this namespace to give an identity in it. */
  readonly systemNamespace: string;
  /** Asked about tokens that are no join token; absent: there is no Kubernetes. */
  readonly reviewToken?: ReviewToken | undefined;
  readonly log: Logger;
}

/** Answers one call. `nowMs` is wall time. Never throws for what a caller sent. */
export const createCertificate = async (
  options: CreateCertificateOptions,
  caller: CertificateCaller,
  question: CertificateQuestion,
  nowMs: number,
): Promise<CertificateAnswer> => {
  const answer = await decide(options, caller, question, nowMs);
  if (answer.kind === "refused") {
    options.log.warn("certificate refused", { address: caller.address, reason: answer.message });
  } else {
    options.log.info("certificate issued", {
      identity: formatIdentity(answer.identity),
      address: caller.address,
      expires: new Date(answer.notAfterMs).toISOString(),
    });
  }
  return answer;
};

const refused = (status: number, message: string): CertificateAnswer => ({ kind: "refused", status, message });

const decide = async (
  { authority, tokens, budget, systemNamespace, reviewToken }: CreateCertificateOptions,
  caller: CertificateCaller,
  question: CertificateQuestion,
  nowMs: number,
): Promise<CertificateAnswer> => {
  const token = await tokenOf(caller, tokens, nowMs);
  const certified = caller.spiffe === undefined ? undefined : parseIdentity(caller.spiffe);
  const reviewed = token || certified ? undefined : await reviewToken?.(bearerOf(caller) ?? "");
  const shown = reviewed ? { trustDomain: authority.trustDomain, ...reviewed } : certified;
  if (!token && !shown) return unauthenticated(caller);
  // Before the signature check, which is what a flood of requests would cost.
  if (!budget.take(nowMs)) {
    return refused(grpcStatus.resourceExhausted, "WF7114 too many certificates are being asked for; try again later");
  }
  let request: CertificateRequest;
  try {
    request = parseCsr(question.csr);
  } catch (error) {
    if (!(error instanceof DerError)) throw error;
    return refused(grpcStatus.invalidArgument, `WF7113 the certificate request cannot be taken: ${error.message}`);
  }
  const wanted = wantedIdentity(request);
  if (wanted === "unclear") {
    return refused(
      grpcStatus.invalidArgument,
      "WF7112 the request names something else than one SPIFFE identity of a workload",
    );
  }
  const identity = allowedIdentity({ shown, token, wanted, trustDomain: authority.trustDomain, systemNamespace });
  if (typeof identity === "string") return refused(grpcStatus.permissionDenied, identity);
  if (identity.usesToken && token) {
    const used = await useToken(tokens, token.id);
    if (used !== "used") return used;
  }
  const ttlMs = question.validityDuration > 0n ? Number(question.validityDuration) * 1000 : caLimits.leafTtlDefaultMs;
  const issued = authority.issue(request.publicKey, identity.identity, ttlMs, nowMs);
  return { kind: "issued", identity: identity.identity, ...issued };
};

const bearerOf = ({ authorization }: CertificateCaller): string | undefined =>
  /^Bearer +(\S+)$/i.exec(authorization ?? "")?.[1];

const tokenOf = async (
  caller: CertificateCaller,
  tokens: Pick<TokenBook, "check" | "wait">,
  nowMs: number,
): Promise<TokenInfo | undefined> => {
  const bearer = bearerOf(caller);
  return bearer === undefined ? undefined : ((await tokens.wait?.(bearer, nowMs)) ?? tokens.check(bearer, nowMs));
};

/** The use is on record before anything is signed for it. */
const useToken = async (tokens: Pick<TokenBook, "use">, id: string): Promise<"used" | CertificateAnswer> => {
  try {
    return (await tokens.use(id)) ? "used" : refused(grpcStatus.unauthenticated, usedUp);
  } catch (error) {
    if (!(error instanceof HttpRefusal)) throw error;
    return refused(grpcStatus.unavailable, `${error.code} ${error.message}`);
  }
};

const usedUp = "WF7110 the join token is unknown, expired or used up; ask for a new one";

const unauthenticated = ({ authorization, spiffe }: CertificateCaller): CertificateAnswer => {
  if (spiffe !== undefined) return refused(grpcStatus.unauthenticated, `WF7101 ${spiffe} is no workload's identity`);
  if (authorization === undefined) {
    return refused(grpcStatus.unauthenticated, "WF7101 a join token or a certificate of this mesh is needed");
  }
  return refused(grpcStatus.unauthenticated, usedUp);
};

/** The one identity the request names; `undefined` when it names none. */
const wantedIdentity = ({ altNames }: CertificateRequest): Identity | "unclear" | undefined => {
  const [uri, ...more] = altNames.uris;
  if (uri === undefined) return undefined;
  return (more.length === 0 && parseIdentity(uri)) || "unclear";
};

interface Claims {
  /** Proven by the caller's certificate, or by Kubernetes for its token. */
  readonly shown: Identity | undefined;
  readonly token: TokenInfo | undefined;
  readonly wanted: Identity | undefined;
  readonly trustDomain: string;
  readonly systemNamespace: string;
}

/** The control plane's own service account, under which Istio's agents expect it. */
export const systemServiceAccount = "istiod";

/** Whether the identity is one that others obey, and the token was not made for it by name. */
const isUnboundSystem = (identity: Identity, token: TokenInfo, systemNamespace: string): boolean =>
  (identity.namespace === systemNamespace && token.namespace === undefined) ||
  (identity.serviceAccount === systemServiceAccount && token.serviceAccount === undefined);

/** The identity these claims allow, or why there is none. A certificate renews itself without using up a token. */
const allowedIdentity = ({
  shown,
  token,
  wanted,
  trustDomain,
  systemNamespace,
}: Claims): { readonly identity: Identity; readonly usesToken: boolean } | string => {
  if (shown && shown.trustDomain === trustDomain && (!wanted || sameIdentity(shown, wanted))) {
    return { identity: shown, usesToken: false };
  }
  if (!token) {
    return shown && shown.trustDomain !== trustDomain
      ? `WF7111 certificates of trust domain ${shown.trustDomain} are not renewed by the CA of ${trustDomain}`
      : `WF7111 a certificate of ${shown ? formatIdentity(shown) : "nobody"} cannot ask for another identity`;
  }
  const { namespace, serviceAccount } = token;
  const bound =
    namespace !== undefined && serviceAccount !== undefined ? { trustDomain, namespace, serviceAccount } : undefined;
  const identity = wanted ?? bound;
  if (!identity) return "WF7112 the request names no identity, and the join token leaves it open";
  if (identity.trustDomain !== trustDomain)
    return `WF7111 the CA of ${trustDomain} does not certify ${formatIdentity(identity)}`;
  const allowed =
    (namespace === undefined || namespace === identity.namespace) &&
    (serviceAccount === undefined || serviceAccount === identity.serviceAccount);
  if (allowed && isUnboundSystem(identity, token, systemNamespace))
    return `WF7117 ${formatIdentity(identity)} is the system's own: the join token must be made for it by name`;
  return allowed ? { identity, usesToken: true } : `WF7111 the join token does not allow ${formatIdentity(identity)}`;
};

const sameIdentity = (a: Identity, b: Identity): boolean => formatIdentity(a) === formatIdentity(b);
