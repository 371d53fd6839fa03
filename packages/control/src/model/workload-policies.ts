/** Policies at the server's side, for one workload: which apply and what holds when several do. */
import { type ConfigOf, compareAge } from "@weft/config/config-object";

export type TlsMode = "DISABLE" | "PERMISSIVE" | "STRICT";

/** What is needed to know of a workload to find its policies. */
export interface WorkloadIdentity {
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
}

export const labelsMatch = (
  selector: Readonly<Record<string, string>> | undefined,
  labels: Readonly<Record<string, string>>,
): boolean => {
  for (const name in selector) if (labels[name] !== selector[name]) return false;
  return true;
};

const selects = (selector: Readonly<Record<string, string>> | undefined): boolean =>
  selector !== undefined && Object.keys(selector).length > 0;

export interface PeerAuthenticationModes {
  readonly mode: TlsMode;
  /** By the workload's port, where it differs. */
  readonly ports: ReadonlyMap<number, TlsMode>;
  /** The policy that `mode` is written in; `undefined` where none speaks. */
  readonly from?: PeerAuthentication | undefined;
  /** The policy that `ports` are written in. */
  readonly portsFrom?: PeerAuthentication | undefined;
}

type PeerAuthentication = ConfigOf<"PeerAuthentication">;

const declared = (policy: PeerAuthentication | undefined): TlsMode | undefined => {
  const mode = policy?.spec.mtls?.mode;
  return mode === undefined || mode === "UNSET" ? undefined : mode;
};

/**
 * Workload over namespace over mesh, the oldest of each; UNSET asks the next wider one; PERMISSIVE where none speaks.
 * `policies` may hold those of other namespaces.
 */
export const peerAuthenticationModes = (
  policies: readonly PeerAuthentication[],
  workload: WorkloadIdentity,
  rootNamespace: string,
): PeerAuthenticationModes => {
  const oldest = (candidates: readonly PeerAuthentication[]): PeerAuthentication | undefined =>
    candidates.length === 0 ? undefined : candidates.reduce((a, b) => (compareAge(a, b) <= 0 ? a : b));
  const mesh = oldest(policies.filter((p) => p.namespace === rootNamespace && !selects(p.spec.selector?.matchLabels)));
  const own = policies.filter((p) => p.namespace === workload.namespace);
  const namespace = oldest(own.filter((p) => !selects(p.spec.selector?.matchLabels)));
  const selected = oldest(
    own.filter(
      ({ spec: { selector } }) => selects(selector?.matchLabels) && labelsMatch(selector?.matchLabels, workload.labels),
    ),
  );
  const from = [selected, namespace, mesh].find((policy) => declared(policy) !== undefined);
  const mode = declared(from) ?? "PERMISSIVE";
  const ports = new Map<number, TlsMode>();
  for (const [port, { mode: portMode }] of Object.entries(selected?.spec.portLevelMtls ?? {})) {
    if (portMode !== undefined && portMode !== "UNSET" && portMode !== mode) ports.set(Number(port), portMode);
  }
  return { mode, ports, from, portsFrom: selected };
};

type AuthorizationPolicy = ConfigOf<"AuthorizationPolicy">;

export interface WorkloadAuthorization {
  readonly deny: readonly AuthorizationPolicy[];
  readonly allow: readonly AuthorizationPolicy[];
  readonly audit: readonly AuthorizationPolicy[];
  readonly custom: readonly AuthorizationPolicy[];
}

/** Policies of the workload's namespace and of the root namespace that select it, in the order of namespace and name. */
export const authorizationOf = (
  policies: readonly AuthorizationPolicy[],
  workload: WorkloadIdentity,
  rootNamespace: string,
): WorkloadAuthorization => {
  const mine = policies
    .filter(({ namespace }) => namespace === rootNamespace || namespace === workload.namespace)
    .filter(
      ({ spec }) =>
        !spec.targetRefs?.length && !spec.targetRef && labelsMatch(spec.selector?.matchLabels, workload.labels),
    )
    .sort((a, b) => order(a, rootNamespace).localeCompare(order(b, rootNamespace), "en"));
  const of = (action: string): readonly AuthorizationPolicy[] =>
    mine.filter(({ spec }) => (spec.action ?? "ALLOW") === action);
  return { deny: of("DENY"), allow: of("ALLOW"), audit: of("AUDIT"), custom: of("CUSTOM") };
};

const order = ({ namespace, name }: AuthorizationPolicy, rootNamespace: string): string =>
  `${namespace === rootNamespace ? 0 : 1}/${namespace}/${name}`;
