/** Whose a token of Kubernetes is: the API server is asked, for it alone can tell whether the pod still lives. */
import type { Logger } from "@weft/core/world";
import type { KubernetesApi } from "@weft/net/kubernetes/kubernetes-api";

export interface ServiceAccount {
  readonly namespace: string;
  readonly serviceAccount: string;
}

/** `undefined`: nobody's, or nobody could be asked. Never rejects. */
export type ReviewToken = (token: string) => Promise<ServiceAccount | undefined>;

/** The audience that injected pods ask their token for; a token for the API server itself is not taken. */
export const tokenAudience = "istio-ca";

/** Questions at a time; who comes while so many are asked is refused and tries again. */
export const reviewsMax = 32;
/** Longer ones are not sent on. */
export const tokenLengthMax = 16_384;
const reviewTimeoutMs = 5_000;

const path = "/apis/authentication.k8s.io/v1/tokenreviews";
/** Three parts of base64url: only what could be a token of Kubernetes is asked about. */
const jsonWebToken = /^[\w-]+\.[\w-]+\.[\w-]+$/;

export const reviewTokens = (api: Pick<KubernetesApi, "call">, log: Logger): ReviewToken => {
  let asking = 0;
  return async (token) => {
    if (token.length > tokenLengthMax || !jsonWebToken.test(token) || asking >= reviewsMax) return undefined;
    asking++;
    try {
      const spec = { token, audiences: [tokenAudience] };
      const body = { apiVersion: "authentication.k8s.io/v1", kind: "TokenReview", spec };
      return accountOf(await api.call({ method: "POST", path, body, timeoutMs: reviewTimeoutMs }));
    } catch (error) {
      const detail = error instanceof Error ? error.message : String(error);
      log.warn("Kubernetes does not say whose a token is", { code: "WF2183", detail });
      return undefined;
    } finally {
      asking--;
    }
  };
};

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null;

/** A server that does not know audiences says none: its word is about another audience then. */
const accountOf = (answer: unknown): ServiceAccount | undefined => {
  const status = isRecord(answer) && isRecord(answer.status) ? answer.status : {};
  const audiences = Array.isArray(status.audiences) ? status.audiences : [];
  if (status.authenticated !== true || !audiences.includes(tokenAudience)) return undefined;
  const user = isRecord(status.user) ? status.user.username : undefined;
  const match = /^system:serviceaccount:([a-z0-9-]+):([a-z0-9.-]+)$/.exec(typeof user === "string" ? user : "");
  return match ? { namespace: match[1] ?? "", serviceAccount: match[2] ?? "" } : undefined;
};
