/** Rules of VirtualService that its schema cannot say. */
import type { FieldPath } from "../schema/problem.ts";
import { checkHttpRoute, checkWeights } from "./http-route-rules.ts";
import type { RuleTools } from "./kind.ts";
import { checkExportTo, checkUnique, isHostWithin, type Reporter, reporter } from "./rules.ts";
import type { RouteDestination, VirtualServiceSpec } from "./virtual-service.ts";

export const validateVirtualService = (spec: VirtualServiceSpec, tools: RuleTools): void => {
  const report = reporter(tools);
  const { http = [], tls = [], tcp = [] } = spec;
  checkHosts(spec, report);
  checkExportTo(spec.exportTo, report);
  if (http.length + tls.length + tcp.length === 0) {
    report.missing([], "a VirtualService needs at least one rule under http, tls or tcp");
  }
  for (const [index, route] of http.entries()) checkHttpRoute(route, ["http", index], report);
  for (const [index, route] of tls.entries()) {
    checkDestinations(route.route, ["tls", index], report);
    checkServerNames(spec, index, report);
  }
  for (const [index, route] of tcp.entries()) checkDestinations(route.route, ["tcp", index], report);
};

const checkHosts = ({ hosts = [], gateways = [], tls = [], tcp = [] }: VirtualServiceSpec, report: Reporter): void => {
  if (hosts.length === 0 && (gateways.length > 0 || tls.length + tcp.length > 0)) {
    report.missing(
      [],
      "a VirtualService without hosts can only be a delegate, with http rules and no gateways: add hosts",
    );
  }
  checkUnique(hosts, (index, host) => report.bad(["hosts", index], `host "${host}" is named twice: remove one`));
  const inMesh = gateways.length === 0 || gateways.includes("mesh");
  const star = hosts.indexOf("*");
  if (inMesh && star !== -1) {
    report.bad(["hosts", star], 'host "*" is not allowed in the mesh: name the hosts, or bind only to gateways');
  }
  for (const [index, gateway] of gateways.entries()) {
    if (/^([a-z0-9.-]+\/)?[a-zA-Z0-9._-]+$/.test(gateway)) continue;
    report.bad(["gateways", index], `gateway "${gateway}" is neither mesh, NAME nor NAMESPACE/NAME`);
  }
};

const checkDestinations = (route: readonly RouteDestination[] | undefined, path: FieldPath, report: Reporter): void => {
  if (!route || route.length === 0) report.missing(path, `a ${String(path[0])} rule needs a route`);
  else checkWeights(route, [...path, "route"], report);
};

const checkServerNames = ({ hosts = [], tls = [] }: VirtualServiceSpec, rule: number, { bad }: Reporter): void => {
  for (const [index, { sniHosts }] of (tls[rule]?.match ?? []).entries()) {
    for (const [at, name] of sniHosts.entries()) {
      if (hosts.some((host) => isHostWithin(name, host))) continue;
      const message = `sniHosts has "${name}", which none of the VirtualService's hosts covers: add it to hosts`;
      bad(["tls", rule, "match", index, "sniHosts", at], message);
    }
  }
};
