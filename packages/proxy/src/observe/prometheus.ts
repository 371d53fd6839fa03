/** The admin's `/stats/prometheus`: Envoy's names with what varies taken out of them as labels. */
import { bucketBounds, type HistogramValues, type Series } from "./create-stats.ts";
import { type PrintOptions, selectSeries } from "./print-stats.ts";
import type { Labels } from "./stats.ts";

/** A name pattern: its groups become labels, but for the last one, which is what remains of the name. */
interface TagRule {
  readonly pattern: RegExp;
  readonly prefix: string;
  readonly labels: readonly string[];
}

const nested =
  "(?:(?:outlier_detection|circuit_breakers\\.(?:default|high)|retry|ssl|http1|http2|external|internal)\\.)?";
const own = "(?:(?:rbac|rds|fault|cors|ssl|http)\\.)?";

/** Names in between have dots of their own, so the metric is told from the end. */
const rules: readonly TagRule[] = [
  {
    pattern: /^cluster\.(.+?)\.grpc\.(.+)\.([^.]+)\.(total|success|failure|(?:request|response)_message_count)$/,
    prefix: "cluster_grpc",
    labels: ["envoy_cluster_name", "envoy_grpc_bridge_service", "envoy_grpc_bridge_method"],
  },
  {
    pattern: new RegExp(`^cluster\\.(.+?)\\.(${nested}[a-z0-9_]+)$`),
    prefix: "cluster",
    labels: ["envoy_cluster_name"],
  },
  {
    pattern: /^listener\.(.+?)\.http\.(.+)\.(downstream_[a-z0-9_]+)$/,
    prefix: "listener_http",
    labels: ["envoy_listener_address", "envoy_http_conn_manager_prefix"],
  },
  { pattern: /^listener\.(.+)\.(ssl\.versions\.[\w.]+)$/, prefix: "listener", labels: ["envoy_listener_address"] },
  {
    pattern: new RegExp(`^listener\\.(.+?)\\.(${own}[a-z0-9_]*[a-z_][a-z0-9_]*)$`),
    prefix: "listener",
    labels: ["envoy_listener_address"],
  },
  {
    pattern: new RegExp(`^http\\.(.+?)\\.(${own}[a-z0-9_]+)$`),
    prefix: "http",
    labels: ["envoy_http_conn_manager_prefix"],
  },
  { pattern: /^tcp\.(.+)\.([a-z0-9_]+)$/, prefix: "tcp", labels: ["envoy_tcp_prefix"] },
];

/** Istio ends the names it makes with `;`, so that a name with dots in it can be told from what follows. */
const nameEnd = /;$/;

const responseClass = /_rq_(\d)xx$/;
const responseCode = /_rq_(\d{3})$/;

/** Names that are Prometheus' own already: Istio's metrics carry no `envoy_`. */
const isFinal = (name: string): boolean => name.startsWith("istio_");

const escapeLabel = (value: string): string => value.replace(/[\\"\n]/g, (c) => (c === "\n" ? "\\n" : `\\${c}`));

const metricName = (name: string): string => {
  const safe = name.replace(/[^a-zA-Z0-9_:]/g, "_");
  return /^(?:\d|$)/.test(safe) ? `_${safe}` : safe;
};

/** Envoy's dotted name as a Prometheus name and labels. */
export const extractTags = (dotted: string): { readonly name: string; readonly labels: Labels } => {
  const labels: (readonly [string, string])[] = [];
  let name = dotted;
  for (const { pattern, prefix, labels: names } of rules) {
    const match = pattern.exec(name);
    if (!match) continue;
    for (const [index, label] of names.entries()) labels.push([label, (match[index + 1] ?? "").replace(nameEnd, "")]);
    name = `${prefix}.${match[names.length + 1]}`;
    break;
  }
  const byClass = responseClass.exec(name);
  if (byClass) {
    labels.push(["envoy_response_code_class", byClass[1] ?? ""]);
    name = name.replace(responseClass, "_rq_xx");
  }
  const byCode = responseCode.exec(name);
  if (byCode) {
    labels.push(["envoy_response_code", byCode[1] ?? ""]);
    name = name.replace(responseCode, "_rq");
  }
  return { name: `envoy_${metricName(name)}`, labels };
};

const labelName = (name: string): string => metricName(name).replaceAll(":", "_");
const labelText = (labels: Labels): string =>
  labels.map(([name, value]) => `${labelName(name)}="${escapeLabel(value)}"`).join(",");

const line = (name: string, labels: string, value: number | string): string =>
  labels === "" ? `${name} ${value}\n` : `${name}{${labels}} ${value}\n`;

const histogramLines = (name: string, labels: string, { buckets, count, sum }: HistogramValues): string => {
  const before = labels === "" ? "" : `${labels},`;
  let out = "";
  let cumulative = 0;
  for (const [index, bound] of bucketBounds.entries()) {
    cumulative += buckets[index] ?? 0;
    out += line(`${name}_bucket`, `${before}le="${bound}"`, cumulative);
  }
  out += line(`${name}_bucket`, `${before}le="+Inf"`, count);
  return out + line(`${name}_sum`, labels, sum) + line(`${name}_count`, labels, count);
};

interface Family {
  readonly type: Series["type"];
  readonly lines: string[];
}

/** The text exposition format: each name once with its type, its series below it. */
export const printPrometheus = (all: Iterable<Series>, options: PrintOptions): string => {
  const families = new Map<string, Family>();
  for (const series of selectSeries(all, options)) {
    const { name, labels } = series.labels.length > 0 || isFinal(series.name) ? series : extractTags(series.name);
    const text = labelText(labels);
    let family = families.get(name);
    if (!family) {
      family = { type: series.type, lines: [] };
      families.set(name, family);
    }
    if (family.type !== series.type) continue;
    family.lines.push(
      series.type === "histogram" ? histogramLines(name, text, series.values) : line(name, text, series.value),
    );
  }
  let out = "";
  for (const [name, { type, lines }] of families) out += `# TYPE ${name} ${type}\n${lines.join("")}`;
  return out;
};
