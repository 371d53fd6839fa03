/** What a MeshConfig object makes of the mesh's settings. */
import { type ConfigOf, compareAge } from "@weft/config/config-object";
import { parseGoDuration } from "@weft/core/duration";
import type { MeshSettings } from "./mesh-settings.ts";

type MeshConfig = ConfigOf<"MeshConfig">;
type Spec = MeshConfig["spec"];

/** The one that counts: the oldest of the root namespace the control plane was started with. */
export const meshConfigOf = (objects: readonly MeshConfig[], rootNamespace: string): MeshConfig | undefined =>
  objects.filter(({ namespace }) => namespace === rootNamespace).sort(compareAge)[0];

const ms = (text: string | undefined): number | undefined => (text === undefined ? undefined : parseGoDuration(text));

/**
 * `base` with what the object says. Identities are issued under the trust domain the control plane was started with, so
 * that one stays.
 */
export const applyMeshConfig = (base: MeshSettings, object: MeshConfig | undefined): MeshSettings =>
  object ? { ...base, ...said(base, object.spec) } : base;

const said = (base: MeshSettings, spec: Spec): Partial<MeshSettings> => ({
  ...present({
    rootNamespace: spec.rootNamespace || undefined,
    outboundTrafficPolicy: spec.outboundTrafficPolicy?.mode,
    inboundTrafficPolicy: spec.inboundTrafficPolicy?.mode,
    enableAutoMtls: spec.enableAutoMtls,
    connectTimeoutMs: ms(spec.connectTimeout),
    dnsRefreshMs: ms(spec.dnsRefreshRate) || undefined,
    protocolDetectionTimeoutMs: ms(spec.protocolDetectionTimeout),
    accessLogFile: spec.accessLogFile,
    accessLogFormat: spec.accessLogFormat,
    accessLogEncoding: spec.accessLogEncoding,
    h2UpgradePolicy: spec.h2UpgradePolicy,
    tcpKeepalive: spec.tcpKeepalive,
    localityLbSetting: spec.localityLbSetting,
    zoneAwareLbSetting: spec.zoneAwareLbSetting,
    defaultTrafficPolicy: defaultPolicy(spec),
    defaultHttpRetryPolicy: spec.defaultHttpRetryPolicy,
    numTrustedProxies: spec.defaultConfig?.gatewayTopology?.numTrustedProxies,
  }),
  pathNormalization: normalization(spec) ?? base.pathNormalization,
  defaultServiceExportTo: scopes(spec.defaultServiceExportTo),
  defaultVirtualServiceExportTo: scopes(spec.defaultVirtualServiceExportTo),
  defaultDestinationRuleExportTo: scopes(spec.defaultDestinationRuleExportTo),
  ...visibilityOf(spec),
});

/** Without the fields that are not there. */
const present = (fields: { readonly [K in keyof MeshSettings]?: MeshSettings[K] | undefined }): Partial<MeshSettings> =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));

const normalization = ({ pathNormalization }: Spec): MeshSettings["pathNormalization"] | undefined => {
  const word = pathNormalization?.normalization;
  return word === "DEFAULT" ? "BASE" : word;
};

/** `*` is everywhere, as is saying nothing. */
const scopes = (exportTo: readonly string[] | undefined): readonly string[] =>
  exportTo?.includes("*") ? [] : (exportTo ?? []);

const defaultPolicy = ({ defaultTrafficPolicy: policy }: Spec): MeshSettings["defaultTrafficPolicy"] | undefined =>
  policy && {
    ...(policy.connectionPool ? { connectionPool: policy.connectionPool } : {}),
    ...(policy.outlierDetection ? { outlierDetection: policy.outlierDetection } : {}),
  };

/** Exceptions by labels of namespaces need a cluster's namespaces, so only the default holds, where sidecars heed it. */
const visibilityOf = ({ serviceEntryVisibility: given }: Spec): Partial<MeshSettings> => {
  const visibility = given?.defaultVisibility;
  if (!given?.applyToSidecars || !visibility || visibility === "VISIBILITY_UNSPECIFIED") return {};
  return { serviceEntryVisibility: visibility };
};
