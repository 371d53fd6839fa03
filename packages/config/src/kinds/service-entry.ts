/** ServiceEntry: a service the registries do not know, inside or outside the mesh. */
import { type Infer, list, mapOf, object, oneWord, port, required, text, uint } from "../schema/schema.ts";
import { exportTo, labelSelector, matchLabels } from "./common.ts";
import { defineKind, type Kind } from "./kind.ts";
import { validateServiceEntry } from "./service-entry-rules.ts";

/** The fields of a WorkloadEntry, also written inline in a ServiceEntry and as a WorkloadGroup's template. */
export const workloadEntryFields = {
  address: text("IP address, DNS name or `unix://` path."),
  ports: mapOf(port("Port number."), "Ports by the name of the service's port, where they differ from targetPort."),
  labels: matchLabels,
  network: text("Network the address is in."),
  locality: text("`region/zone/subzone`."),
  weight: uint("Share of traffic, relative to other endpoints.", { default: "1" }),
  serviceAccount: text("Service account of the workload's identity."),
};

const endpoint = object("An endpoint of the service.", workloadEntryFields);
export interface ServiceEntryEndpoint extends Infer<typeof endpoint> {}

const servicePort = object("A port of the service.", {
  number: required(port("Port clients use.")),
  name: required(text("Name, unique within the service.", { minLength: 1, maxLength: 256 })),
  protocol: text("HTTP, HTTPS, GRPC, GRPC-WEB, HTTP2, MONGO, TCP or TLS; sniffed when absent.", { maxLength: 256 }),
  targetPort: port("Port of the endpoints.", { default: "number" }),
});
export interface ServiceEntryPort extends Infer<typeof servicePort> {}

export const serviceEntrySpec = object(
  "A service by its hosts, ports and endpoints.",
  {
    hosts: required(
      list(text("Host.", { format: "host" }), "Names of the service, exact or with a leading `*.`.", {
        minItems: 1,
        maxItems: 256,
      }),
    ),
    addresses: list(text("Address or CIDR.", { format: "ipOrCidr" }), "Virtual addresses.", { maxItems: 256 }),
    ports: list(servicePort, "Ports of the service.", { maxItems: 256 }),
    location: oneWord(["MESH_EXTERNAL", "MESH_INTERNAL"], "Whether the endpoints are part of the mesh.", {
      default: "MESH_EXTERNAL",
    }),
    resolution: oneWord(
      ["NONE", "STATIC", "DNS", "DNS_ROUND_ROBIN", "DYNAMIC_DNS"],
      "How addresses are found: as dialled, from endpoints, or by DNS.",
      { default: "NONE" },
    ),
    endpoints: list(endpoint, "Endpoints of the service.", { maxItems: 4096 }),
    workloadSelector: labelSelector,
    exportTo,
    subjectAltNames: list(text("A name.", { minLength: 1 }), "Names the endpoints' certificates may have."),
  },
  { oneOf: [["endpoints", "workloadSelector"]] },
);
export interface ServiceEntrySpec extends Infer<typeof serviceEntrySpec> {}

export const serviceEntry: Kind = defineKind({
  name: "ServiceEntry",
  plural: "serviceentries",
  shortNames: ["se"],
  group: "networking.istio.io",
  versions: ["v1", "v1beta1", "v1alpha3"],
  about: "Adds a service to the registry, with endpoints given here, selected by labels or found by DNS.",
  schema: serviceEntrySpec,
  validate: validateServiceEntry,
});
