import type { DescMessage, JsonValue } from "@bufbuild/protobuf";
import { decodeMessage, encodeMessage } from "@weft/xds/codec";
import { ClusterStatusSchema } from "@weft/xds/gen/envoy/admin/v3/clusters";
import { BootstrapSchema } from "@weft/xds/gen/envoy/config/bootstrap/v3/bootstrap";
import { ClusterSchema } from "@weft/xds/gen/envoy/config/cluster/v3/cluster";
import { ClusterLoadAssignmentSchema } from "@weft/xds/gen/envoy/config/endpoint/v3/endpoint";
import { ListenerSchema } from "@weft/xds/gen/envoy/config/listener/v3/listener";
import { RouteConfigurationSchema } from "@weft/xds/gen/envoy/config/route/v3/route";
import { SecretSchema } from "@weft/xds/gen/envoy/extensions/transport_sockets/tls/v3/secret";
import type { Resource } from "../output/resource-views.ts";

const schemas: ReadonlyMap<string, DescMessage> = new Map<string, DescMessage>([
  ["clusters", ClusterSchema],
  ["listeners", ListenerSchema],
  ["routes", RouteConfigurationSchema],
  ["endpoints", ClusterLoadAssignmentSchema],
  ["secrets", SecretSchema],
  ["bootstrap", BootstrapSchema],
  ["hosts", ClusterStatusSchema],
]);

/**
 * A resource in protobuf's JSON names (`loadAssignment`), whichever of the two spellings an admin interface printed.
 * One that this release cannot read, from a newer Envoy, stays as it came.
 */
export const canonicalNames = (type: string, resource: Resource): Resource => {
  const schema = schemas.get(type);
  if (schema === undefined) return resource;
  try {
    return decodeMessage(schema, encodeMessage(schema, resource as JsonValue)) as unknown as Resource;
  } catch {
    return resource;
  }
};
