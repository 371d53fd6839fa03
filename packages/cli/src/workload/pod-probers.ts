/** What a pod's proxy asks its application in the kubelet's stead: read from the environment that injection writes. */
import type { ReadinessProbe } from "@weft/config/kinds/workload-group";
import { WeftError } from "@weft/core/error";

/** More are not asked: a pod has a handful. */
const probersMax = 256;

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const bad = (message: string): WeftError =>
  new WeftError("WF2180", `ISTIO_KUBE_APP_PROBERS ${message}`, {
    next: "it is written by injection: inject the pod anew",
  });

/** By the path that the kubelet asks. Throws WF2180 for a text that is not what injection writes. */
export const parseProbers = (text: string | undefined): ReadonlyMap<string, ReadinessProbe> => {
  if (text === undefined || text === "") return new Map();
  let given: unknown;
  try {
    given = JSON.parse(text);
  } catch {
    throw bad("is not JSON");
  }
  if (!isRecord(given)) throw bad("is not an object");
  const entries = Object.entries(given);
  if (entries.length > probersMax) throw bad(`has ${entries.length} entries; ${probersMax} is the most`);
  return new Map(entries.map(([path, probe]) => [path, readProbe(path, probe)]));
};

const readProbe = (path: string, probe: unknown): ReadinessProbe => {
  if (!/^\/app-(health|lifecycle)\/[^/]+\/[a-z]+$/.test(path)) throw bad(`has the path ${JSON.stringify(path)}`);
  const question = isRecord(probe) ? (probe.httpGet ?? probe.tcpSocket ?? probe.grpc) : undefined;
  const port = isRecord(question) ? question.port : undefined;
  if (!isRecord(probe) || typeof port !== "number" || !Number.isInteger(port) || port < 1 || port > 65_535)
    throw bad(`asks nothing at ${path}`);
  return probe as unknown as ReadinessProbe;
};

export interface MetricsPlace {
  readonly port: number;
  readonly path: string;
}

/** Where the application's metrics are; `undefined` where nobody said, or not as injection says it. */
export const parseMetricsPlace = (text: string | undefined): MetricsPlace | undefined => {
  if (text === undefined) return undefined;
  try {
    const given: unknown = JSON.parse(text);
    if (!isRecord(given) || given.scrape !== "true") return undefined;
    const port = Number(given.port);
    const path = typeof given.path === "string" && given.path.startsWith("/") ? given.path : "/metrics";
    return Number.isInteger(port) && port > 0 && port <= 65_535 ? { port, path } : undefined;
  } catch {
    return undefined;
  }
};
