/** Kubernetes Endpoints and EndpointSlice: the addresses behind a Service, read from files. */
import {
  anything,
  bool,
  type Infer,
  int,
  list,
  mapOf,
  object,
  oneWord,
  port,
  required,
  text,
} from "../schema/schema.ts";
import { defineKind, type Kind } from "./kind.ts";
import { validateEndpointSlice } from "./kubernetes-rules.ts";

const targetReference = object(
  "The object behind the address.",
  { kind: text("Its kind."), name: text("Its name."), namespace: text("Its namespace.") },
  { open: true },
);

const endpointPort = object("A port of every address.", {
  name: text("Name of the service's port."),
  port: required(port("Port number.")),
  protocol: oneWord(["TCP", "UDP", "SCTP"], "Transport.", { default: "TCP" }),
  appProtocol: text("Protocol spoken."),
});

const endpointAddress = object("An address.", {
  ip: required(text("IP address.", { format: "ip" })),
  hostname: text("Name of the endpoint."),
  nodeName: text("Node it runs on."),
  targetRef: targetReference,
});

const endpointSubset = object("Addresses that share ports.", {
  addresses: list(endpointAddress, "Addresses that are ready."),
  notReadyAddresses: list(endpointAddress, "Addresses that are not ready."),
  ports: list(endpointPort, "Ports of every address."),
});
export interface EndpointSubset extends Infer<typeof endpointSubset> {}

export const endpointsSpec = object("Addresses of the Service of the same name.", {
  subsets: list(endpointSubset, "Groups of addresses."),
});
export interface EndpointsSpec extends Infer<typeof endpointsSpec> {}

export const endpoints: Kind = defineKind({
  name: "Endpoints",
  plural: "endpoints",
  shortNames: ["ep"],
  group: "",
  versions: ["v1"],
  bodyIsRoot: true,
  about: "Addresses of the Kubernetes Service of the same name.",
  schema: endpointsSpec,
});

const sliceEndpoint = object("An endpoint.", {
  addresses: required(list(text("An address.", { minLength: 1 }), "Addresses; the first is used.", { minItems: 1 })),
  conditions: object("State; absent means ready.", {
    ready: bool("Whether it takes traffic."),
    serving: bool("Whether it answers, also while it ends."),
    terminating: bool("Whether it is ending."),
  }),
  hostname: text("Name of the endpoint."),
  nodeName: text("Node it runs on."),
  zone: text("Zone it runs in."),
  hints: anything("Not used by weft."),
  deprecatedTopology: mapOf(text("A value."), "Older form of zone and node."),
  targetRef: targetReference,
});

export const endpointSliceSpec = object("A part of the addresses of one Service.", {
  addressType: required(oneWord(["IPv4", "IPv6", "FQDN"], "What the addresses are.")),
  endpoints: list(sliceEndpoint, "Endpoints.", { maxItems: 1000 }),
  ports: list(
    object("A port of every endpoint.", {
      name: text("Name of the service's port."),
      port: int("Port number.", { min: 1, max: 65_535 }),
      protocol: oneWord(["TCP", "UDP", "SCTP"], "Transport.", { default: "TCP" }),
      appProtocol: text("Protocol spoken."),
    }),
    "Ports of every endpoint.",
    { maxItems: 100 },
  ),
});
export interface EndpointSliceSpec extends Infer<typeof endpointSliceSpec> {}

export const endpointSlice: Kind = defineKind({
  name: "EndpointSlice",
  plural: "endpointslices",
  group: "discovery.k8s.io",
  versions: ["v1", "v1beta1"],
  bodyIsRoot: true,
  about: "Addresses of the Kubernetes Service that the label kubernetes.io/service-name names.",
  schema: endpointSliceSpec,
  validate: validateEndpointSlice,
});
