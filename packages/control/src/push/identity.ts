/** Who a proxy says it is must be who its certificate says it is. */
import { formatIdentity, parseIdentity } from "@weft/core/identity";
import type { GrpcPeer } from "@weft/net/grpc/calls";
import type { ProxyFacts } from "../generate/proxy-facts.ts";

/**
 * Why this peer may not have the configuration of that proxy, or `undefined`. Without TLS there is nothing to bind to:
 * that port is for loopback.
 */
export const identityMismatch = (
  peer: GrpcPeer,
  proxy: Pick<ProxyFacts, "namespace" | "serviceAccount">,
  trustDomain: string,
): { readonly reason: "unauthenticated" | "mismatch"; readonly message: string } | undefined => {
  if (!peer.secure) return undefined;
  if (peer.spiffe === undefined) {
    return { reason: "unauthenticated", message: "a client certificate with a SPIFFE identity is needed here" };
  }
  const shown = parseIdentity(peer.spiffe);
  const wanted = formatIdentity({ trustDomain, ...proxy });
  if (shown && formatIdentity(shown) === wanted) return undefined;
  return {
    reason: "mismatch",
    message: `the certificate is of ${peer.spiffe}, but the node's NAMESPACE and SERVICE_ACCOUNT are of ${wanted}`,
  };
};
