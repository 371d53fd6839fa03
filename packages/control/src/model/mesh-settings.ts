/** Settings of the whole mesh, with Istio's defaults. */
import type {
  ConnectionPoolSettings,
  LoadBalancerSettings,
  OutlierDetection,
} from "@weft/config/kinds/destination-rule";
import type { HttpRetry } from "@weft/config/kinds/virtual-service";
import { defaultRootNamespace, defaultTrustDomain } from "@weft/core/identity";
import { type MeshDefaults, profileDefaults } from "./mesh-defaults.ts";

type TcpPool = NonNullable<ConnectionPoolSettings["tcp"]>;
type LocalityLbSetting = NonNullable<LoadBalancerSettings["localityLbSetting"]>;

export interface MeshSettings {
  readonly trustDomain: string;
  readonly rootNamespace: string;
  /** DNS suffix of registry services. */
  readonly domain: string;
  readonly outboundTrafficPolicy: "ALLOW_ANY" | "REGISTRY_ONLY" | "ALLOW_ANY_DYNAMIC_DNS";
  /** Where intercepted connections to a service's port go: where they were dialled, or, if nobody says so, to localhost. */
  readonly inboundTrafficPolicy: "PASSTHROUGH" | "LOCALHOST" | undefined;
  readonly enableAutoMtls: boolean;
  readonly connectTimeoutMs: number;
  readonly dnsRefreshMs: number;
  /** 0 waits for ever for the first bytes. */
  readonly protocolDetectionTimeoutMs: number;
  /** Path of the access log; empty is none. */
  readonly accessLogFile: string;
  /** Istio's own where empty; for JSON an object as text. */
  readonly accessLogFormat: string;
  readonly accessLogEncoding: "TEXT" | "JSON";
  readonly numTrustedProxies: number;
  readonly h2UpgradePolicy: "DO_NOT_UPGRADE" | "UPGRADE";
  readonly pathNormalization: PathNormalization;
  /** Keep-alive of connections to services, unless their rule says otherwise. */
  readonly tcpKeepalive: TcpPool["tcpKeepalive"];
  readonly localityLbSetting: LocalityLbSetting;
  readonly zoneAwareLbSetting: LoadBalancerSettings["zoneAwareLbSetting"];
  /** What a DestinationRule that leaves the block out inherits. */
  readonly defaultTrafficPolicy: {
    readonly connectionPool?: ConnectionPoolSettings;
    readonly outlierDetection?: OutlierDetection;
  };
  /** Retries of routes that do not say otherwise; `undefined` are those of `defaults`. */
  readonly defaultHttpRetryPolicy: HttpRetry | undefined;
  /** What nobody wrote, as MeshDefaults says. */
  readonly defaults: MeshDefaults;
  /** Empty is everywhere. */
  readonly defaultServiceExportTo: readonly string[];
  /** Who sees ServiceEntries that do not say so themselves. */
  readonly serviceEntryVisibility: "NONE" | "NAMESPACE" | "PUBLIC";
  readonly defaultVirtualServiceExportTo: readonly string[];
  readonly defaultDestinationRuleExportTo: readonly string[];
}

/** From none to all: what is done to paths before they are matched. */
export type PathNormalization = "NONE" | "BASE" | "MERGE_SLASHES" | "DECODE_AND_MERGE_SLASHES";

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
  inboundTrafficPolicy: undefined,
  accessLogFormat: "",
  accessLogEncoding: "TEXT",
  h2UpgradePolicy: "DO_NOT_UPGRADE",
  pathNormalization: "BASE",
  tcpKeepalive: undefined,
  localityLbSetting: { enabled: true },
  zoneAwareLbSetting: undefined,
  defaultTrafficPolicy: {},
  defaultHttpRetryPolicy: undefined,
  defaults: profileDefaults("weft"),
  defaultServiceExportTo: [],
  serviceEntryVisibility: "PUBLIC",
  defaultVirtualServiceExportTo: [],
  defaultDestinationRuleExportTo: [],
};
