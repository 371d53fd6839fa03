/** How large a message the kinds of clients take. */
import type { ProxyFacts } from "../generate/proxy-facts.ts";

const mib = 1024 * 1024;
/** What gRPC libraries receive unless their application says otherwise. Clients we know nothing of are taken for such. */
const grpcMessageBytesMax = 4 * mib;
/** Our own sidecar's limit, less than which it is sent at most. */
const nativeMessageBytesMax = 64 * mib;
/** Envoy has no limit; what waits to be written for one connection has. */
const envoyMessageBytesMax = 128 * mib;

export const messageBytesMaxOf = (proxy: Pick<ProxyFacts, "native" | "kind" | "agent"> | undefined): number => {
  if (proxy?.native) return nativeMessageBytesMax;
  return proxy?.agent === "envoy" && proxy.kind !== "grpc" ? envoyMessageBytesMax : grpcMessageBytesMax;
};
