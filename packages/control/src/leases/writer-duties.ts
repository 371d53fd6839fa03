/** Everything a control plane writes to its cluster, under one lease: webhooks, the mesh's root, status. */
import type { Clock, Logger, Random, SetTimer } from "@weft/core/world";
import type { KubernetesApi } from "@weft/net/kubernetes/kubernetes-api";
import { createRootCertificates } from "../admission/root-certificates.ts";
import { configurationNames, keepWebhooks } from "../admission/webhook-configurations.ts";
import type { Metrics } from "../metrics/metrics.ts";
import { openStatusWriter, type StatusWriterOptions, statusMetric } from "../status/written-status-writer.ts";
import { openWriterLease } from "./writer-lease.ts";

export interface WriterDutiesOptions
  extends Pick<
    StatusWriterOptions,
    "objects" | "analysis" | "rootNamespace" | "runningFindings" | "proxies" | "pushPending" | "shared"
  > {
  readonly api: KubernetesApi;
  readonly namespace: string;
  readonly revision: string;
  /** Unique among all processes that ever ask for the lease. */
  readonly identity: string;
  readonly namespaces: () => readonly string[];
  readonly rootPem: () => string;
  /** Whether this control plane has webhooks. */
  readonly webhooks: boolean;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly setTimer: SetTimer;
  readonly random: Random;
  readonly log: Logger;
}

const roundMs = 5_000;

export const leaseName = (revision: string): string =>
  revision === "default" ? "weft-writer" : `weft-writer-${revision}`;

/** Asks for the lease and does the duties while it is had. */
export const openWriterDuties = (options: WriterDutiesOptions): AsyncDisposable => {
  const { api, metrics, setTimer, namespace, revision, rootPem, log } = options;
  const written = statusMetric(metrics);
  const read: KubernetesApi["call"] = (call) => api.call(call);
  let status: Disposable | undefined;
  let timer: Disposable | undefined;
  /** Counts how often the lease came or went: a round that outlives its term is the last of it. */
  let term = 0;
  const lease = openWriterLease({
    ...options,
    name: leaseName(revision),
    changed: (writes) => {
      const own = ++term;
      status?.[Symbol.dispose]();
      status = writes ? openStatusWriter({ ...options, lease, written }) : undefined;
      timer?.[Symbol.dispose]();
      timer = writes ? setTimer(() => void round(own), 0) : undefined;
    },
  });
  const { write } = lease;
  const putRoots = createRootCertificates({ ...options, read, write });
  const names = configurationNames(revision, namespace);
  const round = async (own: number): Promise<void> => {
    if (options.webhooks) await keepWebhooks({ read, write, names, namespace, revision, rootPem, log });
    await putRoots();
    if (own === term) timer = setTimer(() => void round(own), roundMs);
  };
  metrics.collect("weft_kubernetes_writer", "gauge", "1 where this control plane writes to Kubernetes.", () => [
    { value: lease.mayWrite() ? 1 : 0 },
  ]);
  return {
    [Symbol.asyncDispose]: async () => {
      term++;
      status?.[Symbol.dispose]();
      timer?.[Symbol.dispose]();
      await lease[Symbol.asyncDispose]();
    },
  };
};
