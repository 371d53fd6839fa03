/** For which proxies an object is: those whose configuration it may change. The status of an object counts no others. */
import type { ConfigObject, ConfigOf } from "@weft/config/config-object";
import { objectsOfKind } from "@weft/config/config-object";
import { meshConfigsOf } from "@weft/config/mesh-configs";
import type { ProxyFacts } from "../generate/proxy-facts.ts";
import { visibleIn } from "../model/hostname.ts";
import { meshConfigOf } from "../model/mesh-config.ts";
import { labelsMatch } from "../model/workload-policies.ts";

export type ProxyKind = Pick<ProxyFacts, "kind" | "namespace" | "labels">;
export type Concerns = (object: ConfigObject, proxy: ProxyKind) => boolean;

type Labels = Readonly<Record<string, string>> | undefined;

/** The rule beside those objects: a VirtualService is for the proxies of its Gateways, visibility is as the mesh has it. */
export const objectConcerns = (objects: readonly ConfigObject[], rootNamespace: string): Concerns => {
  const gateways = new Map(objectsOfKind(objects, "Gateway").map((one) => [`${one.namespace}/${one.name}`, one]));
  const mesh = meshConfigOf(meshConfigsOf(objects), rootNamespace)?.spec;
  const selected = (namespace: string, selector: Labels, proxy: ProxyKind): boolean =>
    (namespace === rootNamespace || namespace === proxy.namespace) && labelsMatch(selector, proxy.labels);
  const atGateway = ({ spec }: ConfigOf<"Gateway">, proxy: ProxyKind): boolean =>
    proxy.kind === "gateway" && labelsMatch(spec.selector, proxy.labels);

  const ofRoutes = ({ spec, namespace }: ConfigOf<"VirtualService">, proxy: ProxyKind): boolean => {
    if (!visibleIn(spec.exportTo ?? mesh?.defaultVirtualServiceExportTo, namespace, proxy.namespace)) return false;
    const bound = spec.gateways?.length ? spec.gateways : [meshGateway];
    return bound.some((name) => {
      if (name === meshGateway) return proxy.kind !== "gateway";
      const gateway = gateways.get(name.includes("/") ? name : `${namespace}/${name}`);
      return gateway !== undefined && atGateway(gateway, proxy);
    });
  };
  const ofRule = ({ spec, namespace }: ConfigOf<"DestinationRule">, proxy: ProxyKind): boolean => {
    const { workloadSelector } = spec;
    if (workloadSelector && !(namespace === proxy.namespace && labelsMatch(workloadSelector.matchLabels, proxy.labels)))
      return false;
    return visibleIn(spec.exportTo ?? mesh?.defaultDestinationRuleExportTo, namespace, proxy.namespace);
  };
  return (object, proxy) => {
    const { namespace } = object;
    switch (object.kind) {
      case "VirtualService":
        return ofRoutes(object, proxy);
      case "DestinationRule":
        return ofRule(object, proxy);
      case "ServiceEntry":
        return visibleIn(object.spec.exportTo ?? mesh?.defaultServiceExportTo, namespace, proxy.namespace);
      case "Gateway":
        return atGateway(object, proxy);
      case "Sidecar":
        return proxy.kind !== "gateway" && selected(namespace, object.spec.workloadSelector?.labels, proxy);
      default: {
        const selector = selectorOf(object);
        return selector === null || selected(namespace, selector, proxy);
      }
    }
  };
};

/** What a VirtualService calls the sidecars. */
const meshGateway = "mesh";

/** Keys of labels that any of the objects selects proxies by, in order: no other label changes for which proxies an object is. */
export const selectingLabels = (objects: readonly ConfigObject[]): readonly string[] => {
  const keys = new Set<string>();
  for (const object of objects) for (const key of Object.keys(selectorOf(object) ?? {})) keys.add(key);
  return [...keys].sort();
};

/** `null` where the kind has no selector. */
const selectorOf = (object: ConfigObject): Labels | null => {
  switch (object.kind) {
    case "Gateway":
      return object.spec.selector;
    case "DestinationRule":
      return object.spec.workloadSelector?.matchLabels;
    case "Sidecar":
    case "EnvoyFilter":
      return object.spec.workloadSelector?.labels;
    case "AuthorizationPolicy":
    case "PeerAuthentication":
    case "RequestAuthentication":
    case "Telemetry":
    case "ProxyConfig":
    case "LocalRateLimit":
      return object.spec.selector?.matchLabels;
    default:
      return null;
  }
};
