/** What `weft why` says: one step after another, each with the configuration behind it. */

/** An object of the configuration, and the field of it that decided. */
export interface ObjectRef {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly field: string;
}

/** A service, whose object is looked up by its host name. */
export interface ServiceRef {
  readonly host: string;
  readonly namespace: string;
}

export interface Step {
  readonly side: "client" | "server";
  readonly step: string;
  /** What was found. */
  readonly found: string;
  /** What else is worth knowing of it. */
  readonly notes: readonly string[];
  readonly refs: readonly ObjectRef[];
  readonly service?: ServiceRef | undefined;
}

export interface Outcome {
  readonly kind: "forwarded" | "answered" | "refused" | "unknown";
  /** 0 where the application answers, or nobody knows. */
  readonly status: number;
  /** Envoy's response flag, empty for none. */
  readonly flags: string;
  readonly details: string;
  readonly location?: string | undefined;
  /** Why, as `weft explain` knows it. */
  readonly code?: string | undefined;
  readonly text: string;
}

const istioConfig = /^\/apis\/[^/]+\/[^/]+\/namespaces\/([^/]*)\/([^/]+)\/(.+)$/;
const kindNames: ReadonlyMap<string, string> = new Map([
  ["virtual-service", "VirtualService"],
  ["destination-rule", "DestinationRule"],
]);

/** The object that Istio's `metadata.istio.config` names; `undefined` for any other text. */
export const refOfConfig = (config: unknown, field: string): ObjectRef | undefined => {
  const [, namespace = "", plural = "", name = ""] = istioConfig.exec(String(config ?? "")) ?? [];
  const kind = kindNames.get(plural);
  return kind === undefined ? undefined : { kind, namespace, name, field };
};

/** The rule that an RBAC policy is made of. */
export const refOfPolicy = (policy: string): ObjectRef | undefined => {
  const [, namespace, name, rule] = /^ns\[(.*)\]-policy\[(.*)\]-rule\[(\d+)\]$/.exec(policy) ?? [];
  if (namespace === undefined || name === undefined) return undefined;
  return { kind: "AuthorizationPolicy", namespace, name, field: `spec.rules[${rule}]` };
};
