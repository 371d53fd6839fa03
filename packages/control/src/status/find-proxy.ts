/** Connected proxies by name. */
import type { ConnectedProxy } from "../push/connected-proxy.ts";

/** The newest stream of each proxy, by id. */
export const newestOf = (proxies: readonly ConnectedProxy[]): readonly ConnectedProxy[] => {
  const byId = new Map(proxies.map((connected) => [connected.proxy.id, connected]));
  return [...byId.values()].sort((a, b) => (a.proxy.id < b.proxy.id ? -1 : 1));
};

/** By the whole id, or as WORKLOAD.NAMESPACE. */
export const findProxy = (proxies: readonly ConnectedProxy[], wanted: string): ConnectedProxy | undefined =>
  newestOf(proxies).find(
    ({ proxy: { id, workload, namespace } }) => id === wanted || `${workload}.${namespace}` === wanted,
  );
