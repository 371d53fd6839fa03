/** Sidecar: what the proxies of chosen workloads see of the mesh, and what they open to it. */
import { type Infer, int, list, object, oneWord, port, required, text } from "../schema/schema.ts";
import { labelSelector } from "./common.ts";
import { connectionPool } from "./destination-rule.ts";
import { serverTlsSettings } from "./gateway.ts";
import { defineKind, type Kind } from "./kind.ts";
import { validateSidecar } from "./sidecar-rules.ts";
import { destination } from "./virtual-service.ts";

const sidecarPort = object("A port.", {
  number: int("Port number; 0 only where a unix:// path is bound.", { max: 65_535 }),
  protocol: text("HTTP, HTTPS, GRPC, GRPC-WEB, HTTP2, MONGO, TCP or TLS; sniffed when absent.", { maxLength: 256 }),
  name: text("Name of the port.", { maxLength: 256 }),
  targetPort: port("Not used.", { deprecated: "leave it out" }),
});
export interface SidecarPort extends Infer<typeof sidecarPort> {}

const captureMode = oneWord(["DEFAULT", "IPTABLES", "NONE"], "How traffic reaches the listener.", {
  default: "the proxy's own mode",
});

const egressListener = object("A place where the workload dials the mesh.", {
  port: sidecarPort,
  bind: text("Address or `unix://` path to listen at."),
  captureMode,
  hosts: required(
    list(text("`NAMESPACE/HOST`.", { format: "sidecarHost" }), "Services seen here; a namespace `~` takes them away.", {
      minItems: 1,
    }),
  ),
});
export interface SidecarEgress extends Infer<typeof egressListener> {}

const ingressListener = object("A place where the mesh reaches the workload, instead of what its services say.", {
  port: required(sidecarPort),
  bind: text("Address to listen at."),
  captureMode,
  defaultEndpoint: text(
    "Where the application is: 127.0.0.1:PORT, [::1]:PORT, 0.0.0.0:PORT, [::]:PORT or unix://PATH.",
    {
      default: "the same port of the workload's address",
    },
  ),
  tls: serverTlsSettings,
  connectionPool,
});
export interface SidecarIngress extends Infer<typeof ingressListener> {}

const outboundTrafficPolicy = object("What happens to traffic for destinations no service has.", {
  mode: oneWord(["REGISTRY_ONLY", "ALLOW_ANY"], "Whether destinations no service has are allowed.", {
    default: "the mesh's (ALLOW_ANY)",
  }),
  egressProxy: { ...destination, about: "Service that takes such traffic instead of its destination." },
});
export interface SidecarOutboundTrafficPolicy extends Infer<typeof outboundTrafficPolicy> {}

export const sidecarSpec = object("What the proxies selected see and open.", {
  workloadSelector: labelSelector,
  ingress: list(ingressListener, "Where the mesh reaches the workload.", { default: "the ports of its services" }),
  egress: list(egressListener, "Where the workload dials the mesh.", {
    default: "every service that is exported to it",
  }),
  inboundConnectionPool: {
    ...connectionPool,
    about: "Limits of the workload's own ports, instead of a DestinationRule's.",
  },
  outboundTrafficPolicy,
});
export interface SidecarSpec extends Infer<typeof sidecarSpec> {}

export const sidecar: Kind = defineKind({
  name: "Sidecar",
  plural: "sidecars",
  group: "networking.istio.io",
  versions: ["v1", "v1beta1", "v1alpha3"],
  about: "What the proxies of a namespace, or of chosen workloads, see of the mesh and open to it.",
  schema: sidecarSpec,
  validate: validateSidecar,
});
