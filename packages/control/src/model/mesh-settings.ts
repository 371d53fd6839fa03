/** Settings of the whole mesh, with Istio's defaults. */
import { defaultRootNamespace, defaultTrustDomain } from "@weft/core/identity";

export interface MeshSettings {
  readonly trustDomain: string;
  readonly rootNamespace: string;
  /** DNS suffix of registry services. */
  readonly domain: string;
  readonly outboundTrafficPolicy: "ALLOW_ANY" | "REGISTRY_ONLY";
  readonly enableAutoMtls: boolean;
  readonly connectTimeoutMs: number;
  readonly dnsRefreshMs: number;
  /** 0 waits for ever for the first bytes. */
  readonly protocolDetectionTimeoutMs: number;
  /** Path of the access log; empty is none. */
  readonly accessLogFile: string;
  readonly numTrustedProxies: number;
}

export const defaultMeshSettings: MeshSettings = {
  trustDomain: defaultTrustDomain,
  rootNamespace: defaultRootNamespace,
  domain: "cluster.local",
  outboundTrafficPolicy: "ALLOW_ANY",
  enableAutoMtls: true,
  connectTimeoutMs: 10_000,
  dnsRefreshMs: 60_000,
  protocolDetectionTimeoutMs: 0,
  accessLogFile: "",
  numTrustedProxies: 0,
};
