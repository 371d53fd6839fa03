/** What the objects together say, gathered once for all analyzers: services, workloads, objects by kind. */
import { type ConfigObject, type ConfigOf, compareAge, type SpecOf } from "../config-object.ts";
import { isHostWithin } from "../kinds/rules.ts";
import { hostSuggester } from "./host-suggester.ts";
import { fullHost } from "./hosts.ts";
import { servicesOf } from "./known-services.ts";
import { workloadsOf } from "./known-workloads.ts";
import { type LabelIndex, type Labels, labelIndex } from "./labels.ts";

export interface KnownPort {
  readonly number: number;
  readonly name: string;
  /** In lower case; empty where it is found by looking at the traffic. */
  readonly protocol: string;
}

export interface KnownService {
  readonly hostname: string;
  readonly namespace: string;
  readonly ports: readonly KnownPort[];
  /** Labels of its endpoints; `undefined` where they cannot be known from here. */
  readonly endpointLabels: readonly Labels[] | undefined;
  /** Outside the mesh, so without its identities. */
  readonly external: boolean;
  readonly object?: ConfigObject;
}

export interface KnownWorkload {
  readonly namespace: string;
  readonly name: string;
  readonly labels: Labels;
  /** Ports of the workload and what they speak, where known. */
  readonly ports: readonly KnownPort[];
  readonly serviceAccount?: string;
}

/** What is known beside the objects: what registries have, and settings of the mesh. */
export interface AnalyzeContext {
  readonly services?: readonly KnownService[];
  readonly workloads?: readonly KnownWorkload[];
  /** Namespaces that are there, of which no object tells. */
  readonly namespaces?: readonly string[];
  /** Where mesh-wide policies live. */
  readonly rootNamespace?: string;
  /** Under which identities are issued. */
  readonly trustDomain?: string;
}

export interface Facts {
  readonly objects: readonly ConfigObject[];
  /** Objects of one kind, oldest first. */
  readonly of: <K extends keyof SpecOf>(kind: K) => readonly ConfigOf<K>[];
  readonly services: readonly KnownService[];
  readonly workloads: readonly KnownWorkload[];
  readonly workloadsByLabels: LabelIndex<KnownWorkload>;
  /** Names of namespaces that are known to be there; empty where nobody told. */
  readonly namespaces: readonly string[];
  readonly rootNamespace: string;
  readonly trustDomain: string;
  /**
   * Some service is known, so one that is not known is a mistake. Where none is (files analysed before any service
   * registered), a missing one may yet come.
   */
  readonly servicesKnown: boolean;
  /** The service a host names, seen from a namespace; wildcard services cover their names. */
  readonly serviceFor: (host: string, namespace: string) => KnownService | undefined;
  /** The known service a mistaken host most likely means. */
  readonly suggestHost: (host: string) => string | undefined;
  /** DestinationRules that may hold for a host, oldest first. */
  readonly rulesFor: (host: string, namespace: string) => readonly ConfigOf<"DestinationRule">[];
}

export const gatherFacts = (objects: readonly ConfigObject[], context: AnalyzeContext = {}): Facts => {
  const byKind = Map.groupBy(objects.toSorted(compareAge), ({ kind }) => kind);
  const of = <K extends keyof SpecOf>(kind: K) => (byKind.get(kind) ?? []) as unknown as readonly ConfigOf<K>[];
  const workloads = [...workloadsOf(objects), ...(context.workloads ?? [])];
  const workloadsByLabels = labelIndex(workloads, ({ namespace, labels }) => ({ namespace, sets: [labels] }));
  const services = [...servicesOf(objects, workloadsByLabels), ...(context.services ?? [])];
  const exact = new Map(services.toReversed().map((service) => [service.hostname, service]));
  const wildcards = services.filter(({ hostname }) => hostname.startsWith("*"));
  const rulesByHost = Map.groupBy(of("DestinationRule"), ({ spec, namespace }) => fullHost(spec.host, namespace));
  const wildcardRules = [...rulesByHost].filter(([host]) => host.startsWith("*")).flatMap(([, rules]) => rules);
  return {
    objects,
    of,
    services,
    workloads,
    workloadsByLabels,
    namespaces: [...(byKind.get("Namespace") ?? []).map(({ name }) => name), ...(context.namespaces ?? [])],
    rootNamespace: context.rootNamespace ?? "istio-system",
    trustDomain: context.trustDomain ?? "cluster.local",
    servicesKnown: services.length > 0,
    serviceFor: (host, namespace) => {
      const name = fullHost(host, namespace);
      return exact.get(name) ?? wildcards.find(({ hostname }) => isHostWithin(name, hostname));
    },
    suggestHost: hostSuggester(services),
    rulesFor: (host, namespace) => {
      const name = fullHost(host, namespace);
      const wider = wildcardRules.filter((rule) => isHostWithin(name, rule.spec.host) && rule.spec.host !== name);
      return [...(rulesByHost.get(name) ?? []), ...wider];
    },
  };
};
