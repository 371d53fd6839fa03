/** Kubernetes Service: taken as a service of the registry, read from files without a cluster. */
import {
  anything,
  bool,
  type Infer,
  int,
  intOrString,
  list,
  mapOf,
  object,
  oneWord,
  port,
  required,
  text,
} from "../schema/schema.ts";
import { defineKind, type Kind } from "./kind.ts";
import { validateKubernetesService } from "./kubernetes-rules.ts";

const servicePort = object("A port of the service.", {
  name: text("Name; needed when there are several. `http`, `grpc-web` and the like also name the protocol."),
  protocol: oneWord(["TCP", "UDP", "SCTP"], "Transport.", { default: "TCP" }),
  appProtocol: text("Protocol spoken, before the port's name."),
  port: required(port("Port clients use.")),
  targetPort: intOrString("Port of the endpoints, by number or name.", { default: "port" }),
  nodePort: int("Not used by weft.", { max: 65_535 }),
});
export interface KubernetesServicePort extends Infer<typeof servicePort> {}

export const kubernetesServiceSpec = object("What the service listens at and which pods are behind it.", {
  ports: list(servicePort, "Ports."),
  selector: mapOf(text("The label's value."), "Labels of the pods behind the service."),
  clusterIP: text("Virtual address, or None for a headless service."),
  clusterIPs: list(text("A virtual address."), "Virtual addresses."),
  type: oneWord(["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"], "How it is reached.", {
    default: "ClusterIP",
  }),
  externalName: text("DNS name the service stands for."),
  externalIPs: list(text("An address."), "Addresses outside the cluster."),
  sessionAffinity: oneWord(["None", "ClientIP"], "Not used by weft."),
  sessionAffinityConfig: anything("Not used by weft."),
  loadBalancerIP: text("Not used by weft."),
  loadBalancerSourceRanges: list(text("A CIDR."), "Not used by weft."),
  loadBalancerClass: text("Not used by weft."),
  allocateLoadBalancerNodePorts: bool("Not used by weft."),
  externalTrafficPolicy: text("Not used by weft."),
  internalTrafficPolicy: text("Not used by weft."),
  healthCheckNodePort: int("Not used by weft."),
  publishNotReadyAddresses: bool("Whether endpoints that are not ready count."),
  ipFamilies: list(text("A family."), "Address families."),
  ipFamilyPolicy: text("Not used by weft."),
  trafficDistribution: text("Preference for near endpoints."),
});
export interface KubernetesServiceSpec extends Infer<typeof kubernetesServiceSpec> {}

export const kubernetesService: Kind = defineKind({
  name: "Service",
  plural: "services",
  shortNames: ["svc"],
  group: "",
  versions: ["v1"],
  about: "A Kubernetes service. Its endpoints come from Endpoints or EndpointSlice objects of the same name.",
  schema: kubernetesServiceSpec,
  validate: validateKubernetesService,
});
