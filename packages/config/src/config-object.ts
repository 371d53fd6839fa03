/** Configuration as the user wrote it: one typed object per document. */
import type { SourcePosition } from "@weft/core/error";
import type { AuthorizationPolicySpec } from "./kinds/authorization-policy.ts";
import type { DestinationRuleSpec } from "./kinds/destination-rule.ts";
import type { EnvoyFilterSpec } from "./kinds/envoy-filter.ts";
import type { GatewaySpec } from "./kinds/gateway.ts";
import type { InertKind, InertSpec } from "./kinds/inert.ts";
import type { EndpointSliceSpec, EndpointsSpec } from "./kinds/kubernetes-endpoints.ts";
import type { KubernetesServiceSpec } from "./kinds/kubernetes-service.ts";
import type { LocalRateLimitSpec } from "./kinds/local-rate-limit.ts";
import type { MeshConfigSpec } from "./kinds/mesh-config.ts";
import type { MeshDefaultsSpec } from "./kinds/mesh-defaults.ts";
import type { PeerAuthenticationSpec } from "./kinds/peer-authentication.ts";
import type { ProxyConfigSpec } from "./kinds/proxy-config.ts";
import type { RequestAuthenticationSpec } from "./kinds/request-authentication.ts";
import type { SecretSpec } from "./kinds/secret.ts";
import type { ServiceEntrySpec } from "./kinds/service-entry.ts";
import type { SidecarSpec } from "./kinds/sidecar.ts";
import type { TelemetrySpec } from "./kinds/telemetry.ts";
import type { VirtualServiceSpec } from "./kinds/virtual-service.ts";
import type { WorkloadEntrySpec } from "./kinds/workload-entry.ts";
import type { WorkloadGroupSpec } from "./kinds/workload-group.ts";
import type { FieldPath } from "./schema/problem.ts";

/** The spec of each kind whose fields weft knows. */
export interface SpecOf {
  readonly VirtualService: VirtualServiceSpec;
  readonly DestinationRule: DestinationRuleSpec;
  readonly ServiceEntry: ServiceEntrySpec;
  readonly WorkloadEntry: WorkloadEntrySpec;
  readonly WorkloadGroup: WorkloadGroupSpec;
  readonly Sidecar: SidecarSpec;
  readonly Gateway: GatewaySpec;
  readonly EnvoyFilter: EnvoyFilterSpec;
  readonly ProxyConfig: ProxyConfigSpec;
  readonly MeshConfig: MeshConfigSpec;
  readonly MeshDefaults: MeshDefaultsSpec;
  readonly LocalRateLimit: LocalRateLimitSpec;
  readonly PeerAuthentication: PeerAuthenticationSpec;
  readonly AuthorizationPolicy: AuthorizationPolicySpec;
  readonly Service: KubernetesServiceSpec;
  readonly Endpoints: EndpointsSpec;
  readonly Secret: SecretSpec;
  readonly EndpointSlice: EndpointSliceSpec;
  readonly RequestAuthentication: RequestAuthenticationSpec;
  readonly Telemetry: TelemetrySpec;
}

interface ObjectFacts {
  /** As written, such as `networking.istio.io/v1alpha3`; all served versions mean the same. */
  readonly apiVersion: string;
  /** `default` when the user gave none; empty for kinds without namespaces. */
  readonly namespace: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  /** RFC 3339, where the object carries one. Older objects win conflicts; see `compareAge`. */
  readonly creationTimestamp: string | undefined;
  /** Position among the objects of one reading, which decides age where timestamps do not. */
  readonly creationOrder: number;
  /** Where the object begins. */
  readonly source: SourcePosition;
  /** Where a field is, counted from the object's root: `["spec", "http", 0]`; the nearest parent if it is absent. */
  readonly positionOf: (path: FieldPath) => SourcePosition;
}

/** An object of one kind with its typed spec. */
export type ConfigOf<K extends keyof SpecOf> = ObjectFacts & { readonly kind: K; readonly spec: SpecOf[K] };
/** An object that is accepted and kept but acts on nothing. */
export type InertConfig = ObjectFacts & { readonly kind: InertKind; readonly spec: InertSpec };
export type ConfigObject = { readonly [K in keyof SpecOf]: ConfigOf<K> }[keyof SpecOf] | InertConfig;

/** Objects of one kind, typed. */
export const objectsOfKind = <K extends keyof SpecOf>(objects: readonly ConfigObject[], kind: K): ConfigOf<K>[] =>
  objects.filter((object): object is ConfigOf<K> & ConfigObject => object.kind === kind);

/**
 * Orders oldest first: by creation timestamp, and what has one goes before what has none; of equal timestamps, which count
 * seconds, by name and namespace as in Istio; without timestamps by order of reading, then by name and namespace.
 */
export const compareAge = (a: AgeFacts, b: AgeFacts): number => {
  const [timeA, timeB] = [stamp(a), stamp(b)];
  if (timeA !== timeB) return timeA - timeB;
  const byOrder = timeA === unstamped ? a.creationOrder - b.creationOrder : 0;
  return byOrder || compareText(a.name, b.name) || compareText(a.namespace, b.namespace);
};
const unstamped = Number.MAX_VALUE;
const stamp = ({ creationTimestamp }: AgeFacts): number =>
  creationTimestamp === undefined || creationTimestamp === "" ? unstamped : Date.parse(creationTimestamp);
type AgeFacts = Pick<ObjectFacts, "creationTimestamp" | "creationOrder" | "namespace" | "name">;

const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
