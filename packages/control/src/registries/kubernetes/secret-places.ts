/**
 * In which namespaces of a cluster keys are looked for: where something names a credential, and where there are pods
 * that a Gateway with one selects. Pure. Pods that go make no namespace less before configuration changes again.
 */
import type { PodFacts } from "./cluster-facts.ts";
import { isRecord } from "./kubernetes-object.ts";
import { type Labels, selectsLabels } from "./label-selectors.ts";

/** Namespaces whose Secrets are read; of more the first in alphabetical order. */
export const secretNamespacesMax = 64;

export interface SecretPlaces {
  /** An object of the configuration came, changed or, where it is `undefined`, went. */
  rule(key: string, kind: string, object: { readonly namespace: string; readonly spec: unknown } | undefined): void;
  podCame(pod: PodFacts): void;
  /** Whether the namespaces may be others since this was last asked. */
  takeChanged(): boolean;
  /** At most `secretNamespacesMax`. */
  namespaces(): ReadonlySet<string>;
  /** How many there are beyond. */
  readonly left: () => number;
}

/** Kinds that name credentials. */
export const credentialKinds: ReadonlySet<string> = new Set(["Gateway", "DestinationRule", "Sidecar"]);

interface Rule {
  readonly kind: string;
  readonly namespace: string;
  readonly selector: Labels;
  readonly names: boolean;
}

export const createSecretPlaces = (pods: () => Iterable<PodFacts>): SecretPlaces => {
  const rules = new Map<string, Rule>();
  let dirty = false;
  let found: Set<string> = new Set();
  /** Selectors of the Gateways whose pods need keys. A DestinationRule's are needed by whichever gateway routes there. */
  const selectors = (): readonly Labels[] => {
    const gatewaysDial = [...rules.values()].some(({ kind, names }) => names && kind === "DestinationRule");
    return [...rules.values()].flatMap(({ kind, names, selector }) =>
      kind === "Gateway" && (names || gatewaysDial) ? [selector] : [],
    );
  };
  const selected = ({ labels }: PodFacts, any: readonly Labels[]): boolean =>
    any.some((matchLabels) => selectsLabels({ matchLabels }, labels));
  const namespaceOf = ({ key }: PodFacts): string => key.slice(0, key.indexOf("/"));
  const look = (): void => {
    found = new Set([...rules.values()].flatMap(({ names, namespace }) => (names ? [namespace] : [])));
    const any = selectors();
    if (any.length > 0) for (const pod of pods()) if (selected(pod, any)) found.add(namespaceOf(pod));
  };
  let known = "";
  return {
    rule(key, kind, object) {
      if (!credentialKinds.has(kind)) return;
      const before = rules.get(key);
      const rule = object && ruleOf(kind, object);
      if (rule) rules.set(key, rule);
      else rules.delete(key);
      dirty ||= JSON.stringify(before) !== JSON.stringify(rule);
    },
    podCame(pod) {
      if (!dirty && rules.size > 0 && !found.has(namespaceOf(pod)) && selected(pod, selectors()))
        found.add(namespaceOf(pod));
    },
    takeChanged() {
      if (dirty) look();
      dirty = false;
      const now = [...found].sort().join(" ");
      if (now === known) return false;
      known = now;
      return true;
    },
    namespaces: () => new Set([...found].sort().slice(0, secretNamespacesMax)),
    left: () => Math.max(0, found.size - secretNamespacesMax),
  };
};

const ruleOf = (kind: string, { namespace, spec }: { readonly namespace: string; readonly spec: unknown }): Rule => {
  const { selector } = isRecord(spec) ? spec : {};
  const labels = isRecord(selector) ? Object.entries(selector) : [];
  return {
    ...{ kind, namespace, names: namesCredential(spec, 0) },
    selector: Object.fromEntries(labels.filter((pair): pair is [string, string] => typeof pair[1] === "string")),
  };
};

/** Deeper than any field of these kinds. */
const depthMax = 12;

const namesCredential = (value: unknown, depth: number): boolean => {
  if (depth > depthMax) return false;
  if (Array.isArray(value)) return value.some((one) => namesCredential(one, depth + 1));
  if (!isRecord(value)) return false;
  return Object.entries(value).some(
    ([name, one]) =>
      (name === "credentialName" && typeof one === "string" && one !== "") ||
      (name === "credentialNames" && Array.isArray(one) && one.length > 0) ||
      namesCredential(one, depth + 1),
  );
};
