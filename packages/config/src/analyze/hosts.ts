/** Host names as routing understands them. */
import { isHostWithin } from "../kinds/rules.ts";

export const clusterDomain = "cluster.local";

/** A name without dots is a service of the object's own namespace; every other name stands as it is. */
export const fullHost = (host: string, namespace: string): string =>
  host.includes(".") || host.includes(":") || host === "*" ? host : `${host}.${namespace}.svc.${clusterDomain}`;

/** Whether a client can mean the same name by both. */
export const hostsOverlap = (a: string, b: string): boolean => isHostWithin(a, b) || isHostWithin(b, a);
