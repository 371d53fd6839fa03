/** Schemas several kinds share. */
import { type Infer, int, list, mapOf, number, object, oneWord, port, required, text } from "../schema/schema.ts";

export const matchLabels = mapOf(
  text("The label's value.", { format: "labelValue" }),
  "Labels a workload must carry.",
  {
    maxItems: 4096,
  },
);

/** `selector.matchLabels`, as the security kinds, Telemetry and ProxyConfig write it. */
export const workloadSelector = object("Workloads this applies to: those with all these labels.", { matchLabels });
export interface WorkloadSelector extends Infer<typeof workloadSelector> {}

/** `workloadSelector.labels`, as ServiceEntry, Sidecar and EnvoyFilter write it. */
export const labelSelector = object("Workloads this applies to: those with all these labels.", {
  labels: matchLabels,
});
export interface LabelSelector extends Infer<typeof labelSelector> {}

export const targetReference = object("A resource the policy is attached to.", {
  group: text("API group of the target; empty for core Kubernetes kinds."),
  kind: required(text("Kind of the target.", { minLength: 1 })),
  name: required(text("Name of the target.", { minLength: 1 })),
  namespace: text("Namespace of the target; must be the policy's own."),
});
export const targetRef = targetReference;
export const targetRefs = list(targetReference, "Resources the policy is attached to, instead of a selector.", {
  maxItems: 16,
});

export const exportTo = list(
  text("`.` for this namespace, `*` for all, or a namespace.", { format: "namespaceScope" }),
  "Namespaces in which this is visible.",
  { default: '["*"]' },
);

export const portSelector = object("A port of the destination.", {
  number: port("Port number."),
});
export interface PortSelector extends Infer<typeof portSelector> {}

export const stringMatch = object(
  "How a text is compared. An empty object, for a header, asks only that it be present.",
  {
    exact: text("Equal to this."),
    prefix: text("Begins with this."),
    regex: text("RE2 expression that matches the whole text.", { format: "regex" }),
  },
  { oneOf: [["exact", "prefix", "regex"]] },
);
export interface StringMatch extends Infer<typeof stringMatch> {}

/** As `stringMatch`; a header's expression may be `*`, which asks only that the header be present. */
export const headerMatch = object(
  stringMatch.about,
  {
    ...stringMatch.fields,
    regex: text("RE2 expression that matches the whole text, or `*` for any.", { format: "regexOrPresence" }),
  },
  { oneOf: [["exact", "prefix", "regex"]] },
);

export const protocols = ["HTTP", "HTTPS", "GRPC", "GRPC-WEB", "HTTP2", "MONGO", "TCP", "TLS"] as const;

/** TLS versions as Gateway writes them. */
export const tlsVersion = oneWord(["TLS_AUTO", "TLSV1_0", "TLSV1_1", "TLSV1_2", "TLSV1_3"], "TLS protocol version.");

export const percent = object("A share of requests.", {
  value: number("From 0 to 100.", { min: 0, max: 100, default: "0" }),
});

export const weight = int("Share of traffic, relative to its neighbours.");

/** The label that names the Service an EndpointSlice belongs to. */
export const serviceNameLabel = "kubernetes.io/service-name";
