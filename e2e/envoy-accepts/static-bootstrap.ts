/** Resources as a bootstrap without a control plane, so that Envoy checks every one of them at once. */
import type { ResourceSet } from "@weft/control/generate/resource-set";

type Json = { readonly [name: string]: unknown };

const isRecord = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const map = (value: unknown, change: (record: Json) => Json): unknown =>
  Array.isArray(value)
    ? value.map((one) => map(one, change))
    : isRecord(value)
      ? change(Object.fromEntries(Object.entries(value).map(([name, one]) => [name, map(one, change)])))
      : value;

/** Tables in place of RDS, addresses in place of EDS, secrets of the bootstrap in place of SDS. */
export const staticBootstrap = (
  { cluster, endpoints, listener, route, secret }: ResourceSet,
  keys: { readonly certificate: string; readonly key: string },
): string => {
  const place = (record: Json): Json => {
    const { rds, sdsConfig, edsClusterConfig, ...rest } = record;
    if (isRecord(rds)) return { ...rest, routeConfig: route.get(String(rds.routeConfigName)) ?? {} };
    if (isRecord(edsClusterConfig)) {
      const name = String(edsClusterConfig.serviceName ?? record.name);
      return { ...rest, type: "STATIC", loadAssignment: endpoints.get(name) ?? { clusterName: name } };
    }
    if (sdsConfig !== undefined && typeof record.name === "string") return { ...rest };
    return record;
  };
  const tlsCertificate = { certificateChain: { filename: keys.certificate }, privateKey: { filename: keys.key } };
  return JSON.stringify({
    node: { id: "x", cluster: "x" },
    staticResources: {
      listeners: map([...listener.values()], place),
      clusters: map([...cluster.values()], place),
      secrets: [
        { name: "default", tlsCertificate },
        { name: "ROOTCA", validationContext: { trustedCa: { filename: keys.certificate } } },
        ...secret.values(),
      ],
    },
  });
};
