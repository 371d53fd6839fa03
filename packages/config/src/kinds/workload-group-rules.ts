/** Rules of WorkloadGroup that its schema cannot say. */
import { formatProblem } from "../schema/formats.ts";
import type { FieldPath } from "../schema/problem.ts";
import type { RuleTools } from "./kind.ts";
import { type Reporter, reporter } from "./rules.ts";
import type { ReadinessProbe, WorkloadGroupSpec } from "./workload-group.ts";

export const validateWorkloadGroup = (spec: WorkloadGroupSpec, tools: RuleTools): void => {
  const report = reporter(tools);
  const { template, metadata, probe } = spec;
  if (template.address) {
    const message = "template.address belongs to one workload, not to a group: remove it; each member brings its own";
    report.bad(["template", "address"], message);
  }
  const shared = Object.keys(metadata?.labels ?? {}).filter((name) => Object.hasOwn(template.labels ?? {}, name));
  for (const name of shared) {
    if (metadata?.labels?.[name] === template.labels?.[name]) continue;
    const message = `label "${name}" has one value in metadata and another in template; metadata's holds: keep one`;
    report.warn(["template", "labels", name], message);
  }
  if (probe) checkProbe(probe, ["probe"], report);
};

const checkProbe = (probe: ReadinessProbe, path: FieldPath, { bad, missing }: Reporter): void => {
  const { httpGet, tcpSocket, exec, grpc } = probe;
  if (!httpGet && !tcpSocket && !exec && !grpc) missing(path, "a probe needs one of httpGet, tcpSocket, exec and grpc");
  if (grpc && grpc.port === undefined) missing([...path, "grpc"], "probe.grpc needs a port");
  if (httpGet?.path !== undefined && httpGet.path !== "" && !httpGet.path.startsWith("/")) {
    bad([...path, "httpGet", "path"], `probe.httpGet.path is "${httpGet.path}"; it must begin with "/"`);
  }
  for (const name of ["httpGet", "tcpSocket"] as const) {
    const host = probe[name]?.host;
    if (!host || formatProblem("serviceHost", host) === undefined) continue;
    bad([...path, name, "host"], `probe.${name}.host is "${host}", neither an IP address nor a DNS name`);
  }
  if (exec && exec.command[0] === "") bad([...path, "exec", "command"], "probe.exec.command is empty: name a program");
};
