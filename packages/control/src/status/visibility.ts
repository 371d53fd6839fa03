/** Who may see the status of which proxies over gRPC: it tells addresses, identities and all configuration. */
import { isLoopback } from "@weft/core/address";
import { grpcStatus } from "@weft/core/grpc-status";
import { parseIdentity } from "@weft/core/identity";
import type { GrpcCallHead } from "@weft/net/grpc/calls";
import { GrpcError } from "@weft/net/grpc/status";

export interface VisibilityOptions {
  readonly trustDomain: string;
  /** Workloads of this namespace see every proxy. */
  readonly rootNamespace: string;
  readonly isAdminToken: (token: string) => boolean;
}

/** Tests a proxy's namespace. */
export type Visible = (namespace: string) => boolean;

const everything: Visible = () => true;

/**
 * From this machine and with the admin token over TLS: everything. With a certificate of this mesh: the own namespace,
 * or everything for the root namespace. Throws GrpcError (WF4002) for others.
 */
export const visibilityOf = ({ peer, metadata }: GrpcCallHead, options: VisibilityOptions): Visible => {
  if (isLoopback(peer.address.replace(/^::ffff:/, ""))) return everything;
  const token = /^Bearer +(\S+)$/i.exec(metadata.get("authorization") ?? "")?.[1];
  if (peer.secure && token !== undefined && options.isAdminToken(token)) return everything;
  const identity = peer.spiffe === undefined ? undefined : parseIdentity(peer.spiffe);
  if (!identity) {
    throw new GrpcError(
      grpcStatus.unauthenticated,
      "WF4002 the status of proxies is for clients on this machine, with a certificate of this mesh, or the admin token",
    );
  }
  if (identity.trustDomain !== options.trustDomain) {
    throw new GrpcError(grpcStatus.permissionDenied, `WF4002 ${peer.spiffe} is not of ${options.trustDomain}`);
  }
  if (identity.namespace === options.rootNamespace) return everything;
  return (namespace) => namespace === identity.namespace;
};
