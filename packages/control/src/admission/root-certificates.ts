/** The mesh's root in a ConfigMap of every namespace, where sidecars find it. The holder of the lease writes it. */
import type { Clock, Logger } from "@weft/core/world";
import type { KubernetesApi, KubernetesCall } from "@weft/net/kubernetes/kubernetes-api";
import type { KubernetesError } from "@weft/net/kubernetes/kubernetes-error";
import { isRecord } from "../registries/kubernetes/kubernetes-object.ts";

export interface RootCertificatesOptions {
  readonly read: KubernetesApi["call"];
  readonly write: (call: KubernetesCall) => Promise<unknown>;
  readonly namespaces: () => readonly string[];
  readonly rootPem: () => string;
  readonly clock: Clock;
  readonly log: Logger;
}

export const rootConfigMap = "istio-ca-root-cert";
const rootKey = "root-cert.pem";
/** Namespaces looked at in one round. */
export const namespacesPerRound = 50;
/** What was right is looked at again after this long. */
const trustedForMs = 600_000;
const notInjected = /^(kube-system|kube-public|kube-node-lease|local-path-storage)$/;

/** Gives a round, to be called again and again; it never rejects. */
export const createRootCertificates = (options: RootCertificatesOptions): (() => Promise<void>) => {
  const right = new Map<string, { readonly rootPem: string; readonly atMs: number }>();
  let warned = false;
  return async () => {
    const { namespaces, clock, log } = options;
    const rootPem = options.rootPem();
    const present = new Set(namespaces().filter((name) => !notInjected.test(name)));
    for (const name of right.keys()) if (!present.has(name)) right.delete(name);
    const isRight = (name: string): boolean => {
      const known = right.get(name);
      return known?.rootPem === rootPem && clock.nowMs() - known.atMs < trustedForMs;
    };
    for (const name of [...present].filter((one) => !isRight(one)).slice(0, namespacesPerRound)) {
      try {
        await putRoot(name, rootPem, options);
        right.set(name, { rootPem, atMs: clock.nowMs() });
        warned = false;
      } catch (error) {
        const { status, message } = error as KubernetesError;
        // The namespace is going, or somebody else wrote at the same time.
        if (status === 404 || status === 409) continue;
        if (!warned) log.warn("the mesh's root cannot be written", { code: "WF2194", namespace: name, error: message });
        warned = true;
        return;
      }
    }
  };
};

const putRoot = async (namespace: string, rootPem: string, { read, write }: RootCertificatesOptions): Promise<void> => {
  const collection = `/api/v1/namespaces/${encodeURIComponent(namespace)}/configmaps`;
  const path = `${collection}/${rootConfigMap}`;
  const data = { [rootKey]: rootPem };
  let known: unknown;
  try {
    known = await read({ method: "GET", path });
  } catch (error) {
    if ((error as KubernetesError).status !== 404) throw error;
    const metadata = { name: rootConfigMap, labels: { "istio.io/config": "true" } };
    await write({ method: "POST", path: collection, body: { apiVersion: "v1", kind: "ConfigMap", metadata, data } });
    return;
  }
  if (isRecord(known) && isRecord(known.data) && known.data[rootKey] === rootPem) return;
  await write({ method: "PATCH", path, body: { data }, contentType: "application/merge-patch+json" });
};
