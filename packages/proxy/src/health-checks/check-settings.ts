/** Active health checks as configured. */
import { ConfigError } from "@weft/core/config-error";
import type { Clock } from "@weft/core/world";
import type { HealthCheckJson } from "@weft/xds/gen/envoy/config/core/v3/health_check";
import { durationMs, member, refuseOthers, required, unsigned } from "../compile/fields.ts";
import { compileProbe, type ProbeSettings } from "./probe-settings.ts";

export interface HealthCheckSettings {
  readonly timeoutMs: number;
  readonly intervals: CheckIntervals;
  /** Failures in a row that make a healthy host unhealthy, successes in a row that make it healthy again. */
  readonly unhealthyThreshold: number;
  readonly healthyThreshold: number;
  readonly altPort: number | undefined;
  readonly reuseConnection: boolean;
  /** In place of the transport's own. */
  readonly alpn: readonly string[] | undefined;
  /** What the transport is chosen by, in place of the host's metadata. */
  readonly transportCriteria: Readonly<Record<string, unknown>> | undefined;
  readonly probe: ProbeSettings;
  /** A file that gets a line for each change, and for each failure or success where that is asked. */
  readonly eventLog: string | undefined;
  readonly logsFailures: boolean;
  readonly logsSuccesses: boolean;
}

export interface CheckIntervals {
  readonly intervalMs: number;
  /** Before the first check. */
  readonly initialJitterMs: number;
  readonly jitterMs: number;
  readonly jitterPercent: number;
  /** While the cluster never had a connection for anything else. */
  readonly noTrafficMs: number;
  readonly noTrafficHealthyMs: number;
  readonly unhealthyMs: number;
  /** After a check that contradicts what is held of the host. */
  readonly unhealthyEdgeMs: number;
  readonly healthyEdgeMs: number;
}

const used = [
  "timeout",
  "interval",
  "initialJitter",
  "intervalJitter",
  "intervalJitterPercent",
  "unhealthyThreshold",
  "healthyThreshold",
  "altPort",
  "reuseConnection",
  "httpHealthCheck",
  "tcpHealthCheck",
  "grpcHealthCheck",
  "noTrafficInterval",
  "noTrafficHealthyInterval",
  "unhealthyInterval",
  "unhealthyEdgeInterval",
  "healthyEdgeInterval",
  "eventLogPath",
  "eventLogger",
  "alwaysLogHealthCheckFailures",
  "alwaysLogHealthCheckSuccess",
  "tlsOptions",
  "transportSocketMatchCriteria",
] as const;

const defaultNoTrafficMs = 60_000;

const positive = (text: string | undefined, at: string): number => {
  const ms = durationMs(required(text, at), at) ?? 0;
  if (ms <= 0) throw new ConfigError(at, "must be greater than 0");
  return ms;
};

const compileIntervals = (json: HealthCheckJson, at: string): CheckIntervals => {
  const optional = (name: keyof HealthCheckJson, fallback: number): number =>
    durationMs(json[name] as string | undefined, member(at, name)) ?? fallback;
  const intervalMs = positive(json.interval, member(at, "interval"));
  const noTrafficMs = optional("noTrafficInterval", defaultNoTrafficMs);
  const unhealthyMs = optional("unhealthyInterval", intervalMs);
  return {
    intervalMs,
    initialJitterMs: optional("initialJitter", 0),
    jitterMs: optional("intervalJitter", 0),
    jitterPercent: unsigned(json.intervalJitterPercent, member(at, "intervalJitterPercent")) ?? 0,
    noTrafficMs,
    noTrafficHealthyMs: optional("noTrafficHealthyInterval", noTrafficMs),
    unhealthyMs,
    unhealthyEdgeMs: optional("unhealthyEdgeInterval", unhealthyMs),
    healthyEdgeMs: optional("healthyEdgeInterval", intervalMs),
  };
};

const fileSink = "envoy.extensions.health_check.event_sinks.file.v3.HealthCheckEventFileSink";

/** The file that events go to: the older field, or the sink of that kind. */
const compileEventLog = (json: HealthCheckJson, at: string): string | undefined => {
  let path = json.eventLogPath || undefined;
  for (const [index, { name = "", typedConfig }] of (json.eventLogger ?? []).entries()) {
    const here = `${member(at, "eventLogger")}[${index}]`;
    const { "@type": type = "", eventLogPath } = (typedConfig ?? {}) as { "@type"?: string; eventLogPath?: string };
    if (!type.endsWith(`/${fileSink}`)) throw new ConfigError(here, `the event logger "${name}" is not supported`);
    path = required(eventLogPath, member(here, "typedConfig.eventLogPath"));
  }
  return path;
};

const threshold = (value: number | undefined, at: string): number => {
  const count = required(unsigned(value, at), at);
  return Math.max(1, count);
};

const compileOne = (json: HealthCheckJson, at: string, clock: Clock): HealthCheckSettings => {
  refuseOthers(json, "HealthCheck", at, used);
  const { tlsOptions } = json;
  if (tlsOptions) refuseOthers(tlsOptions, "TlsOptions", member(at, "tlsOptions"), ["alpnProtocols"]);
  const altPort = unsigned(json.altPort, member(at, "altPort"));
  if (altPort !== undefined && (altPort === 0 || altPort > 65_535)) {
    throw new ConfigError(member(at, "altPort"), `${altPort} is not a port`);
  }
  return {
    timeoutMs: positive(json.timeout, member(at, "timeout")),
    intervals: compileIntervals(json, at),
    unhealthyThreshold: threshold(json.unhealthyThreshold, member(at, "unhealthyThreshold")),
    healthyThreshold: threshold(json.healthyThreshold, member(at, "healthyThreshold")),
    altPort,
    reuseConnection: json.reuseConnection !== false,
    alpn: tlsOptions?.alpnProtocols?.length ? tlsOptions.alpnProtocols : undefined,
    transportCriteria: json.transportSocketMatchCriteria as Readonly<Record<string, unknown>> | undefined,
    probe: compileProbe(json, at, clock),
    eventLog: compileEventLog(json, at),
    logsFailures: json.alwaysLogHealthCheckFailures === true,
    logsSuccesses: json.alwaysLogHealthCheckSuccess === true,
  };
};

/** As in Envoy there is at most one. */
export const compileHealthChecks = (
  list: readonly HealthCheckJson[] | undefined,
  at: string,
  clock: Clock,
): readonly HealthCheckSettings[] => {
  if (list && list.length > 1) throw new ConfigError(at, "has more than one health check");
  return (list ?? []).map((json, index) => compileOne(json, `${at}[${index}]`, clock));
};
