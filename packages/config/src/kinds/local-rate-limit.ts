/** LocalRateLimit: how many requests a proxy lets through, counted by the proxy itself. */
import { duration, type Infer, int, list, mapOf, object, oneWord, port, required, text } from "../schema/schema.ts";
import { headerMatch, stringMatch, workloadSelector } from "./common.ts";
import { defineKind, type Kind } from "./kind.ts";
import { validateLocalRateLimit } from "./local-rate-limit-rules.ts";

const match = object("Requests that count; those that meet all of it.", {
  hosts: list(text("Host.", { format: "host" }), "Hosts the request is for; one must match."),
  port: port("Port of the service."),
  path: stringMatch,
  methods: list(text("A method.", { minLength: 1 }), "Methods; one must match."),
  headers: mapOf(headerMatch, "Headers by lower-case name."),
});
export interface RateLimitMatch extends Infer<typeof match> {}

const bucket = object("A bucket of tokens; a request takes one, and without one it is turned away.", {
  maxTokens: required(int("Tokens the bucket holds, and has at the start: the burst.", { min: 1 })),
  tokensPerFill: int("Tokens added at each fill.", { min: 1, default: "1" }),
  fillInterval: required(duration("Time between fills.", { minMs: 50 })),
});
export interface TokenBucket extends Infer<typeof bucket> {}

export const localRateLimitSpec = object("A limit each selected proxy holds by itself.", {
  selector: workloadSelector,
  side: oneWord(["inbound", "outbound"], "Requests to the workload, or those it makes.", { default: "inbound" }),
  match,
  bucket: required(bucket),
  per: oneWord(
    ["proxy", "connection", "key"],
    "What has a bucket: the proxy, each connection, or each value of `key`.",
    {
      default: "proxy",
    },
  ),
  key: object("What tells buckets apart.", {
    header: required(
      text("Header by lower-case name. Requests without it share one bucket.", { format: "headerName" }),
    ),
    maxKeys: int("Most buckets; beyond, the one unused longest goes.", { min: 1, max: 100_000, default: "1000" }),
  }),
  status: int("Status of the answer.", { min: 400, max: 599, default: "429" }),
  responseHeaders: mapOf(text("Value."), "Headers of the answer."),
});
export interface LocalRateLimitSpec extends Infer<typeof localRateLimitSpec> {}

export const localRateLimit: Kind = defineKind({
  name: "LocalRateLimit",
  plural: "localratelimits",
  shortNames: ["lrl"],
  group: "weft.dev",
  versions: ["v1alpha1"],
  about: "Bounds requests to, or from, chosen workloads; each proxy counts by itself, so no service is asked.",
  schema: localRateLimitSpec,
  validate: validateLocalRateLimit,
});
