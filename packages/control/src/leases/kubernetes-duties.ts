/** What a control plane does for its cluster beside reading it: webhooks, and under a lease what it writes. */
import type { SocketAddress } from "@weft/core/address";
import type { Clock, Logger, Random, SetTimer } from "@weft/core/world";
import { admissionMetrics } from "../admission/admission-metrics.ts";
import { admissionRoutes } from "../admission/admission-routes.ts";
import { openInjectionSource, withoutCluster } from "../admission/injection-source.ts";
import { openWebhookServer, serviceHosts } from "../admission/webhook-server.ts";
import type { Analysis } from "../analysis/analysis.ts";
import type { Authority } from "../ca/authority.ts";
import { systemServiceAccount } from "../ca/create-certificate.ts";
import type { Metrics } from "../metrics/metrics.ts";
import type { NamedCluster } from "../registries/kubernetes/kubernetes-url.ts";
import type { StatusWriterOptions } from "../status/written-status-writer.ts";
import { openWriterDuties } from "./writer-duties.ts";

/** Who this control plane is in its cluster. */
export interface KubernetesPlace {
  /** Absent: no webhooks. */
  readonly webhook?: { readonly address: SocketAddress; readonly service: string };
  /** Writes to the first cluster, when the lease is had. */
  readonly writes: boolean;
  readonly namespace: string;
  readonly revision: string;
  readonly identity: string;
  /** Of pods whose injector's values name none. */
  readonly sidecarImage?: string;
}

export interface KubernetesDutiesOptions
  extends Pick<
    StatusWriterOptions,
    "objects" | "rootNamespace" | "runningFindings" | "proxies" | "pushPending" | "shared"
  > {
  readonly place: KubernetesPlace;
  readonly analysis: Analysis;
  /** The first is the one it runs in. */
  readonly clusters: readonly NamedCluster[];
  readonly authority: Pick<Authority, "issueServer" | "rootPem">;
  readonly trustDomain: string;
  readonly hosts: readonly string[];
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly setTimer: SetTimer;
  readonly random: Random;
  readonly log: Logger;
}

export interface KubernetesDuties extends AsyncDisposable {
  readonly webhook: SocketAddress | undefined;
}

/** Throws WF2010 when the address of the webhooks cannot be had; the API server may be away. */
export const openKubernetesDuties = async (options: KubernetesDutiesOptions): Promise<KubernetesDuties> => {
  const { place, clusters, authority, setTimer } = options;
  const { namespace, revision, identity, webhook, writes } = place;
  await using opened = new AsyncDisposableStack();
  const [cluster] = clusters;
  const isNeeded = cluster && (webhook || writes);
  const api = isNeeded ? opened.use(cluster.open(setTimer)) : undefined;
  const source = api && opened.use(openInjectionSource({ ...options, api, namespace, revision }));
  const address = webhook && (await openWebhooks(webhook, source ?? withoutCluster(revision), options, opened));
  if (api && writes) {
    const rootPem = (): string => authority.rootPem;
    const namespaces = (): readonly string[] => source?.namespaces() ?? [];
    const webhooks = webhook !== undefined;
    opened.use(openWriterDuties({ ...options, api, namespace, revision, identity, namespaces, rootPem, webhooks }));
  }
  const kept = opened.move();
  return { webhook: address, [Symbol.asyncDispose]: () => kept.disposeAsync() };
};

const openWebhooks = async (
  { address, service }: NonNullable<KubernetesPlace["webhook"]>,
  source: ReturnType<typeof withoutCluster>,
  options: KubernetesDutiesOptions,
  opened: AsyncDisposableStack,
): Promise<SocketAddress> => {
  const { place, trustDomain, metrics } = options;
  const { namespace, revision } = place;
  const local = ["localhost", "127.0.0.1", "::1"];
  const server = await openWebhookServer({
    ...options,
    address,
    identity: { trustDomain, namespace, serviceAccount: systemServiceAccount },
    hosts: [...new Set([...serviceHosts(service, namespace), ...local, ...options.hosts])],
    routes: admissionRoutes({
      ...options,
      revision,
      injection: source.settings,
      judging: { others: options.objects, analysis: options.analysis },
      metrics: admissionMetrics(metrics),
    }),
  });
  opened.defer(() => server.close());
  return server.address;
};
