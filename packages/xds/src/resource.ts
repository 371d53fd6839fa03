/**
 * A resource as both planes hold it in memory: canonical protobuf JSON (lowerCamelCase, durations as "1.5s",
 * Any expanded with "@type"). The generated *Json types describe the shapes; only codec.ts knows the bytes.
 */
import type { AnyJson } from "@bufbuild/protobuf/wkt";
import type { ClusterJson } from "@weft/xds/gen/envoy/config/cluster/v3/cluster";
import type { ClusterLoadAssignmentJson } from "@weft/xds/gen/envoy/config/endpoint/v3/endpoint";
import type { ListenerJson } from "@weft/xds/gen/envoy/config/listener/v3/listener";
import type { RouteConfigurationJson } from "@weft/xds/gen/envoy/config/route/v3/route";
import type { VirtualHostJson } from "@weft/xds/gen/envoy/config/route/v3/route_components";
import type { SecretJson } from "@weft/xds/gen/envoy/extensions/transport_sockets/tls/v3/secret";

/** The short name of each type, in the order a push sends them: make before break. */
export interface ResourceJson {
  readonly cluster: ClusterJson;
  readonly endpoints: ClusterLoadAssignmentJson;
  readonly listener: ListenerJson;
  readonly route: RouteConfigurationJson;
  readonly secret: SecretJson;
}
export type ResourceKind = keyof ResourceJson;

/** What a client may ask for: virtual hosts by name too, of which no server of ours has any. */
export interface SubscribedJson extends ResourceJson {
  readonly virtualHost: VirtualHostJson;
}
export type SubscribedKind = keyof SubscribedJson;

export interface ResourceType extends SubscribedType {
  readonly kind: ResourceKind;
}

export interface SubscribedType {
  readonly kind: SubscribedKind;
  readonly typeUrl: string;
  /** What the type is called in tables and errors: CDS, EDS … */
  readonly label: string;
  /** Listener and Cluster: a state-of-the-world response is the full set, absence deletes. */
  readonly fullState: boolean;
  /** The field that names the resource. */
  readonly nameField: "name" | "clusterName";
}

const prefix = "type.googleapis.com/";

/** In push order. */
export const resourceTypes: readonly ResourceType[] = [
  {
    kind: "cluster",
    typeUrl: `${prefix}envoy.config.cluster.v3.Cluster`,
    label: "CDS",
    fullState: true,
    nameField: "name",
  },
  {
    kind: "endpoints",
    typeUrl: `${prefix}envoy.config.endpoint.v3.ClusterLoadAssignment`,
    label: "EDS",
    fullState: false,
    nameField: "clusterName",
  },
  {
    kind: "listener",
    typeUrl: `${prefix}envoy.config.listener.v3.Listener`,
    label: "LDS",
    fullState: true,
    nameField: "name",
  },
  {
    kind: "route",
    typeUrl: `${prefix}envoy.config.route.v3.RouteConfiguration`,
    label: "RDS",
    fullState: false,
    nameField: "name",
  },
  {
    kind: "secret",
    typeUrl: `${prefix}envoy.extensions.transport_sockets.tls.v3.Secret`,
    label: "SDS",
    fullState: false,
    nameField: "name",
  },
];

export const virtualHostType: SubscribedType = {
  kind: "virtualHost",
  typeUrl: `${prefix}envoy.config.route.v3.VirtualHost`,
  label: "VHDS",
  fullState: false,
  nameField: "name",
};
/** In the order in which a client asks for them. */
export const subscribedTypes: readonly SubscribedType[] = [...resourceTypes, virtualHostType];

const byUrl: ReadonlyMap<string, ResourceType> = new Map(resourceTypes.map((type) => [type.typeUrl, type]));
const byKind: ReadonlyMap<ResourceKind, ResourceType> = new Map(resourceTypes.map((type) => [type.kind, type]));

export const resourceTypeOfUrl = (typeUrl: string): ResourceType | undefined => byUrl.get(typeUrl);
export const resourceType = (kind: ResourceKind): ResourceType => byKind.get(kind) as ResourceType;

/** Type URL of a message: the prefix of google.protobuf.Any with the message's full name. */
export const typeUrl = (messageName: string): string => prefix + messageName;

/** An expanded Any: the message's JSON with its type beside it. */
export const any = <T extends object>(messageName: string, json: T): AnyJson =>
  ({ "@type": prefix + messageName, ...json }) as AnyJson;

/** A resource's name, by its type's naming field. */
export const resourceName = <K extends ResourceKind>(kind: K, json: ResourceJson[K]): string => {
  const field = resourceType(kind).nameField;
  return ((json as Readonly<Record<string, unknown>>)[field] as string | undefined) ?? "";
};
