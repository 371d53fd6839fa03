/** Why a proxy answered in an upstream's place, for people: a stable code, what happened, and the object behind it. */
import type { Exchange } from "./exchange.ts";

/** What is read of an answer; of `route` and `cluster` the names and `metadata.istio.config`. */
export interface Answered extends Pick<Exchange, "details"> {
  readonly route?: { readonly name: string; readonly metadata: ObjectMetadata } | undefined;
  readonly cluster?: { readonly name: string; readonly metadata: ObjectMetadata } | undefined;
  readonly behind?: string | undefined;
}
type ObjectMetadata = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

export interface Reason {
  readonly code: string;
  readonly text: string;
  /** Where the cause is configured. */
  readonly behind: "route" | "cluster" | "policy" | "limit" | "none";
}

const reason = (code: string, text: string, behind: Reason["behind"] = "none"): Reason => ({ code, text, behind });

const disconnected = "upstream_reset_before_response_started{";

/** By response code details, or what they begin with; `weft explain` knows every code. */
const byDetails: readonly (readonly [begin: string, reason: Reason])[] = [
  ["rbac_access_denied", reason("WF5041", "an AuthorizationPolicy denies the request", "policy")],
  ["route_not_found", reason("WF5042", "no route takes the request")],
  ["cluster_not_found", reason("WF5043", "the route's cluster is not there", "route")],
  ["no_healthy_upstream", reason("WF5044", "no healthy endpoint", "cluster")],
  ["fault_filter_abort", reason("WF5045", "a fault is injected", "route")],
  ["overload", reason("WF5050", "the proxy is overloaded")],
  ["drop_overload", reason("WF5051", "the cluster's share of requests to drop", "cluster")],
  [`${disconnected}remote_connection_failure`, reason("WF5052", "the endpoint takes no connection", "cluster")],
  [`${disconnected}connection_timeout`, reason("WF5053", "connecting to the endpoint took too long", "cluster")],
  [`${disconnected}connection_termination`, reason("WF5054", "the endpoint closed the connection", "cluster")],
  [`${disconnected}overflow`, reason("WF5056", "a limit of the connection pool is reached", "cluster")],
  [`${disconnected}protocol_error`, reason("WF5057", "the endpoint broke the protocol", "cluster")],
  [disconnected, reason("WF5055", "the endpoint reset the request", "cluster")],
  ["response_timeout", reason("WF5058", "the route's timeout is over", "route")],
  ["upstream_per_try", reason("WF5058", "the route's timeout of one try is over", "route")],
  ["stream_idle_timeout", reason("WF5059", "nothing was sent for too long")],
  ["local_rate_limited", reason("WF5060", "a rate limit is reached", "limit")],
  ["max_duration_timeout", reason("WF5061", "the request took longer than it may", "route")],
  ["request_overall_timeout", reason("WF5061", "the request took longer than it may")],
  ["request_payload_too_large", reason("WF5062", "the request is larger than what is kept of it")],
  ["upgrade_failed", reason("WF5063", "the route takes no such upgrade", "route")],
  ["reached_concurrency_limit", reason("WF5064", "the workload has as many requests as it answers well", "limit")],
];

const found = new Map<string, Reason | undefined>();
/** Details may quote a peer, so only so many are kept. */
const foundMax = 1000;

const lookUp = (details: string): Reason | undefined => {
  if (found.has(details)) return found.get(details);
  const known = byDetails.find(([begin]) => details.startsWith(begin))?.[1];
  if (found.size < foundMax) found.set(details, known);
  return known;
};

/** `undefined` where the answer is an upstream's, or says for itself what it is. */
export const reasonFor = ({ details }: Pick<Answered, "details">): Reason | undefined =>
  details === "" || details === "via_upstream" ? undefined : lookUp(details);

/** `/apis/GROUP/VERSION/namespaces/NS/KIND/NAME`, as `Kind NS/NAME`. */
const objectOf = (metadata: ObjectMetadata | undefined): string => {
  const config = metadata?.istio?.config;
  const parts = typeof config === "string" ? /\/namespaces\/([^/]+)\/([^/]+)\/([^/]+)$/.exec(config) : null;
  if (!parts) return "";
  const [, namespace, kind = "", name] = parts;
  return `${kindNames.get(kind) ?? kind} ${namespace}/${name}`;
};
const kindNames: ReadonlyMap<string, string> = new Map([
  ["virtual-service", "VirtualService"],
  ["destination-rule", "DestinationRule"],
]);

/** `…[ns[default]-policy[deny]-rule[0]]`. */
const policyOf = (details: string): string => {
  const [, namespace, name, rule] = /ns\[([^\]]*)\]-policy\[([^\]]*)\]-rule\[([^\]]*)\]/.exec(details) ?? [];
  return name === undefined ? "no ALLOW policy matches" : `AuthorizationPolicy ${namespace}/${name} rule ${rule}`;
};

const partsOf = (exchange: Answered, { behind }: Reason): readonly string[] => {
  const { cluster, route, details, behind: named } = exchange;
  const ofRoute = objectOf(route?.metadata);
  switch (behind) {
    case "policy":
      return [policyOf(details)];
    case "limit":
      return [named ?? ""];
    case "route":
      return [route?.name ? `route ${route.name}` : "", ofRoute];
    case "cluster":
      return [cluster ? `cluster ${cluster.name}` : "", objectOf(cluster?.metadata), ofRoute];
    default:
      return [];
  }
};

/** Longer texts are cut: names are other people's. */
const charactersMax = 512;

/** `WF5044 no healthy endpoint; cluster outbound|80|v1|a.example; DestinationRule default/a`; `undefined` as above. */
export const reasonText = (exchange: Answered): string | undefined => {
  const known = reasonFor(exchange);
  if (!known) return undefined;
  const parts = partsOf(exchange, known).filter((part) => part !== "");
  const text = [`${known.code} ${known.text}`, ...parts].join("; ");
  // What a header's value cannot hold never comes from us, but from names.
  return text.slice(0, charactersMax).replace(/[^\x20-\x7e]/g, "?");
};
