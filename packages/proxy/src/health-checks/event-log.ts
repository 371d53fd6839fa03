/** Events of checks as lines of JSON, with the names of Envoy's HealthCheckEvent. */
import type { JsonObject } from "@bufbuild/protobuf";
import { checkFlags, type Host } from "../clusters/host.ts";
import type { HealthCheckSettings } from "./check-settings.ts";
import type { CheckResult } from "./check-state.ts";

const checkers = { http: "HTTP", grpc: "GRPC", tcp: "TCP" } as const;
const failures = { answer: "ACTIVE", network: "NETWORK", timeout: "NETWORK_TIMEOUT" } as const;

const hostOf = ({ target }: Host): JsonObject =>
  target.kind === "ip"
    ? { socket_address: { protocol: "TCP", address: target.host, port_value: target.port } }
    : { pipe: { path: target.path } };

/** What is to be said of one result: changes always, the rest where it is asked. */
export const eventOf = (
  host: Host,
  {
    result,
    isFirst,
    before,
    after,
  }: { readonly result: CheckResult; readonly isFirst: boolean; readonly before: number; readonly after: number },
  { probe, logsFailures, logsSuccesses }: HealthCheckSettings,
): readonly JsonObject[] => {
  const common: JsonObject = { health_checker_type: checkers[probe.kind], host: hostOf(host) };
  const events: JsonObject[] = [];
  const changed = before ^ after;
  if (result.kind === "passed") {
    if ((changed & checkFlags.failed) !== 0) events.push({ ...common, add_healthy_event: { first_check: isFirst } });
    else if (logsSuccesses) events.push({ ...common, successful_health_check_event: {} });
    if ((changed & checkFlags.degraded) !== 0) {
      const isDegraded = (after & checkFlags.degraded) !== 0;
      events.push({ ...common, [isDegraded ? "degraded_healthy_host" : "no_longer_degraded_host"]: {} });
    }
    return events;
  }
  const failure_type = failures[result.by];
  if ((changed & checkFlags.failed) !== 0) events.push({ ...common, eject_unhealthy_event: { failure_type } });
  if (isFirst || logsFailures)
    events.push({ ...common, health_check_failure_event: { failure_type, first_check: isFirst } });
  return events;
};
