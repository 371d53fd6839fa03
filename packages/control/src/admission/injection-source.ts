/** What pods are injected with, as the cluster says at the moment: the injector's ConfigMap, namespaces, nodes. */
import type { InjectRequest } from "@weft/config/inject/inject-pod";
import { defaultInjectorValues, type InjectorValues, readInjectorValues } from "@weft/config/inject/injector-values";
import type { Clock, Logger, Random, SetTimer } from "@weft/core/world";
import type { KubernetesApi } from "@weft/net/kubernetes/kubernetes-api";
import type { KubernetesError } from "@weft/net/kubernetes/kubernetes-error";
import { followCollection } from "../registries/kubernetes/follow-collection.ts";
import { isRecord, type KubernetesObject } from "../registries/kubernetes/kubernetes-object.ts";
import type { InjectionPlace } from "./injection-place.ts";

export interface InjectionSettings extends Omit<InjectRequest, "pod"> {
  /** Until the cluster was asked what pods get: nothing is to be injected, for a pod keeps what it got. */
  readonly unread?: true;
}

export interface InjectionSource extends Disposable {
  /** What a pod of that namespace gets now. */
  settings(namespace: string, place: InjectionPlace): InjectionSettings;
  /** Names of all namespaces; empty until they are read. */
  namespaces(): readonly string[];
}

export interface InjectionSourceOptions {
  readonly api: KubernetesApi;
  /** Of the control plane. */
  readonly namespace: string;
  readonly revision: string;
  readonly trustDomain: string;
  /** As this control plane was installed, where the values name none. */
  readonly place?: { readonly namespace: string; readonly sidecarImage?: string };
  readonly clock: Clock;
  readonly setTimer: SetTimer;
  readonly random: Random;
  readonly log: Logger;
}

const valuesEveryMs = 10_000;
const nodesEveryMs = 300_000;
/** The first kubelet in which sidecars are a feature that is always on. */
const nativeSidecarsSince = { major: 1, minor: 33 };

/** What is injected where no cluster can be asked. */
export const withoutCluster = (revision: string): Pick<InjectionSource, "settings"> => ({
  settings: (namespace, place) => ({
    namespace: { name: namespace, labels: {} },
    values: placed(defaultInjectorValues, place),
    nativeSidecars: false,
    revision,
  }),
});

/** Keeps what was read last whatever the API server does. */
export const openInjectionSource = (options: InjectionSourceOptions): InjectionSource => {
  const { api, revision, setTimer, log } = options;
  const namespaces = new Map<string, Readonly<Record<string, string>>>();
  // Values that say only part, such as resources, leave the rest as this control plane was installed.
  const installed: InjectorValues = {
    ...defaultInjectorValues,
    ...{ image: options.place?.sidecarImage, systemNamespace: options.namespace, trustDomain: options.trustDomain },
  };
  let values = installed;
  let text: string | undefined;
  let valuesKnown = false;
  let nativeSidecars = false;
  let nodesAsked = false;
  let failing = false;

  const readValues = async (): Promise<void> => {
    const now = await valuesText(options);
    valuesKnown = true;
    if (now === undefined || now === text) return;
    text = now;
    const { values: read, notes } = readInjectorValues(now, valuesPath(options), installed);
    for (const { code, level, message } of notes)
      if (level !== "info") log[level === "error" ? "error" : "warn"](message, { code });
    if (notes.some(({ level }) => level === "error")) return;
    values = read;
    log.info("what pods are injected with was read", { configMap: valuesPath(options) });
  };
  const again = (everyMs: number, look: () => Promise<void>): Disposable => {
    let timer: Disposable;
    let over = false;
    const run = async (): Promise<void> => {
      try {
        await look();
        failing = false;
      } catch (error) {
        if (!failing)
          log.warn("what pods are injected with cannot be read", { code: "WF2193", error: (error as Error).message });
        failing = true;
      }
      if (!over) timer = setTimer(() => void run(), everyMs);
    };
    timer = setTimer(() => void run(), 0);
    return {
      [Symbol.dispose]: () => {
        over = true;
        timer[Symbol.dispose]();
      },
    };
  };
  const opened = new DisposableStack();
  opened.use(again(valuesEveryMs, readValues));
  opened.use(
    again(nodesEveryMs, async () => {
      try {
        nativeSidecars = allNative(await api.call({ method: "GET", path: "/api/v1/nodes?resourceVersion=0" }));
      } finally {
        nodesAsked = true;
      }
    }),
  );
  opened.use(
    followCollection({
      ...options,
      ...{ path: "/api/v1/namespaces", selector: "", streams: { works: true } },
      tell: (fact) => {
        if (fact.kind === "listed") namespaces.clear();
        if (fact.kind === "listed")
          for (const object of fact.objects) namespaces.set(object.metadata.name, labelsOf(object));
        else if (fact.kind === "put") namespaces.set(fact.object.metadata.name, labelsOf(fact.object));
        else if (fact.kind === "removed") namespaces.delete(fact.object.metadata.name);
      },
    }),
  );
  return {
    settings: (namespace, place) => ({
      namespace: { name: namespace, labels: namespaces.get(namespace) ?? {} },
      values: placed(values, place),
      ...{ nativeSidecars, revision },
      ...(valuesKnown && nodesAsked ? {} : { unread: true }),
    }),
    namespaces: () => [...namespaces.keys()],
    [Symbol.dispose]: () => opened.dispose(),
  };
};

/** What the path of the webhook says goes before the values. */
const placed = (values: InjectorValues, { cluster, network }: InjectionPlace): InjectorValues => ({
  ...values,
  ...(cluster === undefined ? {} : { clusterId: cluster }),
  ...(network === undefined ? {} : { network }),
});

const valuesPath = ({ namespace, revision }: InjectionSourceOptions): string => {
  const suffix = revision === "default" ? "" : `-${revision}`;
  return `/api/v1/namespaces/${encodeURIComponent(namespace)}/configmaps/istio-sidecar-injector${suffix}`;
};

/** `undefined` where there is none, which changes nothing. */
const valuesText = async (options: InjectionSourceOptions): Promise<string | undefined> => {
  try {
    const found = await options.api.call({ method: "GET", path: valuesPath(options) });
    const data = isRecord(found) && isRecord(found.data) ? found.data : {};
    return typeof data.values === "string" ? data.values : "";
  } catch (error) {
    if ((error as KubernetesError).status === 404) return undefined;
    throw error;
  }
};

const labelsOf = ({ metadata }: KubernetesObject): Readonly<Record<string, string>> => metadata.labels ?? {};

/** Whether every node of the list runs native sidecars, and there is one. */
export const allNative = (list: unknown): boolean => {
  const nodes = isRecord(list) && Array.isArray(list.items) ? list.items : [];
  return nodes.length > 0 && nodes.every((node) => isNative(kubeletVersion(node)));
};

const kubeletVersion = (node: unknown): string => {
  const status = isRecord(node) && isRecord(node.status) ? node.status : {};
  const info = isRecord(status.nodeInfo) ? status.nodeInfo : {};
  return typeof info.kubeletVersion === "string" ? info.kubeletVersion : "";
};

const isNative = (version: string): boolean => {
  const [, major, minor] = /^v?(\d+)\.(\d+)/.exec(version) ?? [];
  if (major === undefined || minor === undefined) return false;
  const since = nativeSidecarsSince;
  return Number(major) > since.major || (Number(major) === since.major && Number(minor) >= since.minor);
};
