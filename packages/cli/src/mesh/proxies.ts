/** One connected proxy as `/v1/proxies` lists it. */
export interface ProxyItem {
  readonly id: string;
  readonly version?: string;
  readonly connectedAt?: string;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly types: Readonly<Record<string, ProxyTypeStatus>>;
}
export interface ProxyTypeStatus {
  readonly status: string;
  readonly version?: string;
  readonly error?: string;
  readonly sentAt?: string;
  readonly ackedAt?: string;
}

/** `WORKLOAD.NAMESPACE`, the third part of the node id, as istioctl names proxies; the whole id where it has no such part. */
export const proxyName = (proxy: { readonly id: string }): string => proxy.id.split("~")[2] || proxy.id;

/** `NAME` finds the workload in any namespace, `NAME.NAMESPACE` the one, a whole node id itself. */
export const matchesProxy = (proxy: { readonly id: string }, name: string): boolean => {
  const full = proxyName(proxy);
  return proxy.id === name || full === name || full.slice(0, full.lastIndexOf(".")) === name;
};
