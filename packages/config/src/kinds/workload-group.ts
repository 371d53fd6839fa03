/** WorkloadGroup: what workloads outside a platform have in common, and how their health is probed. */
import { type Infer, int, list, mapOf, object, oneWord, port, required, text } from "../schema/schema.ts";
import { matchLabels } from "./common.ts";
import { defineKind, type Kind } from "./kind.ts";
import { workloadEntryFields } from "./service-entry.ts";
import { validateWorkloadGroup } from "./workload-group-rules.ts";

const template = object("What every member of the group is, but its address.", workloadEntryFields);
export interface WorkloadGroupTemplate extends Infer<typeof template> {}

export const readinessProbe = object(
  "How the sidecar asks the application whether it is well; one of httpGet, tcpSocket, exec and grpc.",
  {
    initialDelaySeconds: int("Seconds before the first probe.", { default: "0" }),
    timeoutSeconds: int("Seconds until a probe has failed.", { default: "1" }),
    periodSeconds: int("Seconds between probes.", { default: "10" }),
    successThreshold: int("Consecutive successes after which the workload is well.", { default: "1" }),
    failureThreshold: int("Consecutive failures after which the workload is not well.", { default: "3" }),
    httpGet: object("A GET request, answered by a status from 200 to 399.", {
      path: text("Path of the request.", { default: "/" }),
      port: required(port("Port of the application.")),
      host: text("Host to connect to; also the Host header.", { default: "the workload itself" }),
      scheme: oneWord(["HTTP", "HTTPS", "http", "https"], "Whether the request is over TLS.", { default: "HTTP" }),
      httpHeaders: list(
        object("A header.", {
          name: required(text("Name of the header.", { format: "headerName" })),
          value: text("Value of the header."),
        }),
        "Headers of the request.",
      ),
    }),
    tcpSocket: object("A connection that opens.", {
      host: text("Host to connect to.", { default: "localhost" }),
      port: required(port("Port of the application.")),
    }),
    exec: object("A command that exits with 0.", {
      command: required(
        list(text("The command, then its arguments."), "What to run, without a shell.", { minItems: 1 }),
      ),
    }),
    grpc: object("A gRPC health check that answers SERVING.", {
      port: port("Port of the application."),
      service: text("Service asked for."),
    }),
  },
  { oneOf: [["httpGet", "tcpSocket", "exec", "grpc"]] },
);
export interface ReadinessProbe extends Infer<typeof readinessProbe> {}

export const workloadGroupSpec = object("A group of workloads alike.", {
  metadata: object("Labels and annotations every member gets.", {
    labels: matchLabels,
    annotations: mapOf(text("The annotation's value."), "Annotations every member gets."),
  }),
  template: required(template),
  probe: readinessProbe,
});
export interface WorkloadGroupSpec extends Infer<typeof workloadGroupSpec> {}

export const workloadGroup: Kind = defineKind({
  name: "WorkloadGroup",
  plural: "workloadgroups",
  shortNames: ["wg"],
  group: "networking.istio.io",
  versions: ["v1", "v1beta1", "v1alpha3"],
  about: "What workloads that register themselves have in common: labels, ports, service account, health probe.",
  schema: workloadGroupSpec,
  validate: validateWorkloadGroup,
});
