import { localHosts } from "@weft/net/tcp/local-hosts";
import type { CompiledCluster } from "../clusters/compile-cluster.ts";
import type { Host } from "../clusters/host.ts";
import type { NoHost } from "../dns/dynamic-hosts.ts";
import type { HttpTools } from "../http/hcm-settings.ts";
import type { ActiveListener } from "../listeners/active-listener.ts";
import { isOwnAddress } from "../listeners/own-addresses.ts";

/** Finds the hosts that connections and requests ask for by address or name; never one of the listeners' own. */
export const createHostFinders = (
  cluster: (name: string) => CompiledCluster | undefined,
  listeners: () => Iterable<ActiveListener>,
): Pick<HttpTools, "originalHost" | "dynamicHost"> => ({
  originalHost: (each, address) =>
    isOwnAddress(address, listeners(), localHosts) ? undefined : cluster(each.name)?.originalHost(address),
  dynamicHost: (each, name, onFound) => {
    const allowed = (found: Host | NoHost): Host | NoHost =>
      typeof found !== "string" && isOwnAddress(found.address, listeners(), localHosts) ? "unresolved" : found;
    const now = cluster(each.name);
    if (now === undefined) return "unresolved";
    const found = now.dynamicHost(name, (later) => onFound(allowed(later)));
    return found === undefined ? undefined : allowed(found);
  },
});
