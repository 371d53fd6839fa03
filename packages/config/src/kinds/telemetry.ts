/** Telemetry: which traces, metrics and access logs proxies make. */
import { bool, duration, type Infer, list, mapOf, number, object, oneWord, required, text } from "../schema/schema.ts";
import { targetRef, targetRefs, workloadSelector } from "./common.ts";
import { defineKind, type Kind } from "./kind.ts";

const mode = oneWord(["CLIENT_AND_SERVER", "CLIENT", "SERVER"], "Which side of the traffic.", {
  default: "CLIENT_AND_SERVER",
});
const match = object("Where it holds.", { mode });
const providers = list(
  object("A provider.", { name: required(text("Its name in the mesh's configuration.", { minLength: 1 })) }),
  "Where it goes.",
);
const value = required(text("The value.", { minLength: 1 }));
const named = {
  name: required(text("Its name.", { minLength: 1 })),
  defaultValue: text("The value where it is absent."),
};

const tracing = object("Traces.", {
  match,
  providers,
  randomSamplingPercentage: number("Share of requests that are traced.", { min: 0, max: 100, default: "1" }),
  disableSpanReporting: bool("Make no spans.", { default: "false" }),
  customTags: mapOf(
    object(
      "Where the tag's value comes from.",
      {
        literal: object("A fixed value.", { value }),
        environment: object("An environment variable.", named),
        header: object("A request header.", named),
        formatter: object("A format as of the access log.", { value }),
      },
      { oneOf: [["literal", "environment", "header", "formatter"]] },
    ),
    "Tags by name.",
  ),
  useRequestIdForTraceSampling: bool("Let the request identifier decide.", { default: "true" }),
  enableIstioTags: bool("Add Istio's tags.", { default: "true" }),
  disableContextPropagation: bool("Send no trace headers.", { default: "false" }),
});

const metrics = object("Metrics.", {
  providers,
  overrides: list(
    object("A change to metrics.", {
      match: object(
        "Which metrics.",
        {
          metric: oneWord(
            [
              "ALL_METRICS",
              "REQUEST_COUNT",
              "REQUEST_DURATION",
              "REQUEST_SIZE",
              "RESPONSE_SIZE",
              "TCP_OPENED_CONNECTIONS",
              "TCP_CLOSED_CONNECTIONS",
              "TCP_SENT_BYTES",
              "TCP_RECEIVED_BYTES",
              "GRPC_REQUEST_MESSAGES",
              "GRPC_RESPONSE_MESSAGES",
            ],
            "One of Istio's.",
          ),
          customMetric: text("Another one by name.", { minLength: 1 }),
          mode,
        },
        { oneOf: [["metric", "customMetric"]] },
      ),
      disabled: bool("Leave them out."),
      tagOverrides: mapOf(
        object("A change to a tag.", {
          operation: oneWord(["UPSERT", "REMOVE"], "Set it or take it away.", { default: "UPSERT" }),
          value: text("CEL expression that gives its value."),
        }),
        "Tags by name.",
      ),
    }),
    "Changes, in order.",
  ),
  reportingInterval: duration("Time between reports about open TCP connections.", { minMs: 1, default: "5s" }),
});

const accessLogging = object("Access logs.", {
  match,
  providers,
  disabled: bool("Write none."),
  filter: object("Which requests.", { expression: text("CEL expression that holds for them.") }),
});

export const telemetrySpec = object(
  "What the proxies selected tell about their traffic.",
  {
    selector: workloadSelector,
    targetRef: { ...targetRef, deprecated: "write targetRefs" },
    targetRefs,
    tracing: list(tracing, "Traces."),
    metrics: list(metrics, "Metrics."),
    accessLogging: list(accessLogging, "Access logs."),
  },
  { oneOf: [["selector", "targetRef", "targetRefs"]] },
);
export interface TelemetrySpec extends Infer<typeof telemetrySpec> {}

export const telemetry: Kind = defineKind({
  name: "Telemetry",
  plural: "telemetries",
  shortNames: ["telemetry"],
  group: "telemetry.istio.io",
  versions: ["v1", "v1alpha1"],
  about: "Which traces, metrics and access logs proxies make.",
  inert: "weft's proxies make the same metrics and logs for all workloads so far",
  schema: telemetrySpec,
});
