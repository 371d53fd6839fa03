/** The status of an injected pod over HTTP: the proxy's readiness, the application's probes, both's metrics. */
import type { ReadinessProbe } from "@weft/config/kinds/workload-group";
import { type Route, route } from "@weft/net/http/routes";
import type { HttpReply } from "@weft/net/http/server";
import type { MetricsPlace } from "./pod-probers.ts";

/** An answer of the proxy's admin interface or of the application; rejects where there is none. */
export type AskText = (port: number, path: string) => Promise<{ readonly status: number; readonly body: string }>;

export interface PodStatusOptions {
  readonly adminPort: number;
  readonly probers: ReadonlyMap<string, ReadinessProbe>;
  readonly metrics: MetricsPlace | undefined;
  readonly ask: AskText;
  /** Asks the application once; `undefined`: it is well. */
  readonly askProgram: (probe: ReadinessProbe) => Promise<string | undefined>;
}

const text = (status: number, body: string): HttpReply => ({ kind: "text", status, body });

/** Only reading: whatever is asked here, the proxy stays as it is. */
export const podStatusRoutes = (options: PodStatusOptions): readonly Route[] => {
  const { adminPort, probers, ask } = options;
  const ready = async (): Promise<HttpReply> => {
    try {
      const { status, body } = await ask(adminPort, "/ready");
      return text(status === 200 ? 200 : 503, body);
    } catch (error) {
      return text(503, `the proxy does not answer: ${reasonOf(error)}\n`);
    }
  };
  const probe = async (path: string): Promise<HttpReply> => {
    const prober = probers.get(path);
    if (!prober) return text(404, `no probe is known at ${path}\n`);
    const problem = await options.askProgram(prober);
    return problem === undefined ? text(200, "") : text(500, `${problem}\n`);
  };
  return [
    route("GET", "/healthz/ready", ready),
    route("GET", "/app-health/{container}/{probe}", ({ path }) => probe(path)),
    route("GET", "/app-lifecycle/{container}/{hook}", ({ path }) => probe(path)),
    route("GET", "/stats/prometheus", () => metricsOf(options)),
  ];
};

const metricsType = "text/plain; version=0.0.4; charset=utf-8";

/** The proxy's metrics even where the application has none to give: an outage there is not to blind the mesh. */
const metricsOf = async ({ adminPort, metrics, ask }: PodStatusOptions): Promise<HttpReply> => {
  const [own, theirs] = await Promise.all([
    quietly(() => ask(adminPort, "/stats/prometheus")),
    metrics ? quietly(() => ask(metrics.port, metrics.path)) : undefined,
  ]);
  if (own === undefined && theirs === undefined) return text(503, "no metrics are there\n");
  const parts = [own, theirs].filter((part) => part !== undefined);
  const body = parts.map((part) => (part === "" || part.endsWith("\n") ? part : `${part}\n`)).join("");
  return { kind: "text", status: 200, type: metricsType, body };
};

const quietly = async (ask: () => ReturnType<AskText>): Promise<string | undefined> => {
  try {
    const { status, body } = await ask();
    // The end that OpenMetrics writes would hide what stands behind it.
    return status === 200 ? body.replace(/^# EOF\n?/m, "") : undefined;
  } catch {
    return undefined;
  }
};

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
