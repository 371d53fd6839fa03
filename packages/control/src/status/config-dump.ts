/** What a proxy should have, in the shape of Envoy's config dump: JSON for HTTP, messages for gRPC. */
import type { DescMessage } from "@bufbuild/protobuf";
import { encodeMessage } from "@weft/xds/codec";
import type { EncodedResource } from "@weft/xds/discovery";
import { SecretsConfigDumpSchema } from "@weft/xds/gen/envoy/admin/v3/config_dump";
import {
  ClustersConfigDumpSchema,
  EndpointsConfigDumpSchema,
  ListenersConfigDumpSchema,
  RoutesConfigDumpSchema,
} from "@weft/xds/gen/envoy/admin/v3/config_dump_shared";
import { type ResourceKind, resourceType } from "@weft/xds/resource";
import type { Snapshot } from "@weft/xds/snapshot";

interface Section {
  readonly schema: DescMessage;
  readonly members: object;
}

interface DumpedEntry {
  readonly name: string;
  readonly version: string;
  readonly json: object;
}

const sectionsOf = (snapshot: Snapshot): readonly Section[] => {
  const list = (kind: ResourceKind, shape: (entry: DumpedEntry) => object): readonly object[] =>
    [...(snapshot.types.get(resourceType(kind).typeUrl)?.entries.values() ?? [])].map(
      ({ name, version, json, typeUrl }) => shape({ name, version, json: { "@type": typeUrl, ...json } }),
    );
  const clusters = list("cluster", ({ version, json }) => ({ versionInfo: version, cluster: json }));
  const endpoints = list("endpoints", ({ version, json }) => ({ versionInfo: version, endpointConfig: json }));
  const listeners = list("listener", ({ name, version, json }) => ({
    name,
    activeState: { versionInfo: version, listener: json },
  }));
  const routes = list("route", ({ version, json }) => ({ versionInfo: version, routeConfig: json }));
  const secrets = list("secret", ({ name, version }) => ({ name, versionInfo: version }));
  return [
    { schema: ClustersConfigDumpSchema, members: { dynamicActiveClusters: clusters } },
    { schema: EndpointsConfigDumpSchema, members: { dynamicEndpointConfigs: endpoints } },
    { schema: ListenersConfigDumpSchema, members: { dynamicListeners: listeners } },
    { schema: RoutesConfigDumpSchema, members: { dynamicRouteConfigs: routes } },
    { schema: SecretsConfigDumpSchema, members: { dynamicActiveSecrets: secrets } },
  ];
};

const typeUrlOf = ({ typeName }: DescMessage): string => `type.googleapis.com/${typeName}`;

export const configDump = (snapshot: Snapshot): readonly object[] =>
  sectionsOf(snapshot).map(({ schema, members }) => ({ "@type": typeUrlOf(schema), ...members }));

/** The same sections as resources of a discovery response. */
export const encodedConfigDump = (snapshot: Snapshot): readonly EncodedResource[] =>
  sectionsOf(snapshot).map(({ schema, members }) => ({
    name: "",
    version: "",
    typeUrl: typeUrlOf(schema),
    value: encodeMessage(schema, members as never),
  }));
