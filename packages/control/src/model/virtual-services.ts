/** VirtualServices as lookups read them: names in full, delegates put in, and who sees which. */
import { type ConfigOf, compareAge } from "@weft/config/config-object";
import type { Destination, HttpRoute, TcpRoute, TlsRoute } from "@weft/config/kinds/virtual-service";
import type { FieldPath } from "@weft/config/schema/problem";
import { mergeDelegate } from "./delegates.ts";
import { compareSpecificity, hostMatches, resolveHost, visibleIn } from "./hostname.ts";
import type { MeshSettings } from "./mesh-settings.ts";

type VirtualService = ConfigOf<"VirtualService">;

/** One entry of `http`; hosts of destinations and names of gateways are in full. */
export interface HttpRule {
  readonly rule: HttpRoute;
  /** Where it is written: a delegate's rules are the delegate's. */
  readonly object: VirtualService;
  readonly path: FieldPath;
}

/** What of a VirtualService is left out, and where that is written. */
export interface RuleProblem {
  readonly code: string;
  readonly message: string;
  readonly object: VirtualService;
  readonly path: FieldPath;
}

/** A VirtualService with its hosts and gateways in full. */
export interface VirtualServiceRule {
  readonly object: VirtualService;
  readonly hosts: readonly string[];
  /** `mesh` or `NAMESPACE/NAME`. */
  readonly gateways: readonly string[];
  readonly http: readonly HttpRule[];
  readonly tls: readonly TlsRoute[];
  readonly tcp: readonly TcpRoute[];
  readonly problems: readonly RuleProblem[];
}

export interface VirtualServices {
  /**
   * Rules for the mesh gateway that clients of the namespace see. What is private to their namespace comes first, then
   * what is exported to it by name, then what everybody sees; the oldest first in each.
   */
  meshRules(namespace: string): readonly VirtualServiceRule[];
  /** Rules bound to a gateway, `NAMESPACE/NAME`, that proxies of the namespace see, in the same order. */
  gatewayRules(gateway: string, namespace: string): readonly VirtualServiceRule[];
}

/** Lookups over VirtualServices. Those without hosts are delegates: they act only where another names them. */
export const virtualServices = (objects: readonly VirtualService[], mesh: MeshSettings): VirtualServices => {
  const sorted = objects.toSorted(compareAge);
  const delegates = new Map(
    sorted.filter(({ spec }) => !spec.hosts?.length).map((object) => [`${object.namespace}/${object.name}`, object]),
  );
  const rules = sorted.filter(({ spec }) => spec.hosts?.length).map((object) => knownRule(object, { mesh, delegates }));
  const byGateway = new Map<string, VirtualServiceRule[]>();
  for (const rule of rules) {
    for (const gateway of new Set(rule.gateways)) {
      const known = byGateway.get(gateway);
      if (known) known.push(rule);
      else byGateway.set(gateway, [rule]);
    }
  }
  const cache = new Map<string, readonly VirtualServiceRule[]>();
  const visible = (gateway: string, namespace: string): readonly VirtualServiceRule[] => {
    const key = `${gateway} ${namespace}`;
    let found = cache.get(key);
    if (!found) {
      found = inOrderOfExport(byGateway.get(gateway) ?? [], namespace, mesh);
      cache.set(key, found);
    }
    return found;
  };
  return { meshRules: (namespace) => visible("mesh", namespace), gatewayRules: visible };
};

const exportsOf = ({ spec }: VirtualService, mesh: MeshSettings): readonly string[] => {
  const exports = spec.exportTo?.length ? spec.exportTo : mesh.defaultVirtualServiceExportTo;
  return exports.length > 0 ? exports : ["*"];
};

const inOrderOfExport = (
  rules: readonly VirtualServiceRule[],
  namespace: string,
  mesh: MeshSettings,
): readonly VirtualServiceRule[] => {
  const rankOf = ({ object }: VirtualServiceRule): number | undefined => {
    const exports = exportsOf(object, mesh);
    if (!visibleIn(exports, object.namespace, namespace)) return undefined;
    if (exports.includes("*")) return 2;
    return object.namespace === namespace ? 0 : 1;
  };
  const ranks = new Map(rules.map((rule) => [rule, rankOf(rule)]));
  return [0, 1, 2].flatMap((rank) => rules.filter((rule) => ranks.get(rule) === rank));
};

interface RuleSources {
  readonly mesh: MeshSettings;
  readonly delegates: ReadonlyMap<string, VirtualService>;
}

const gatewayName = (name: string, namespace: string): string =>
  name === "mesh" || name.includes("/") ? name : `${namespace}/${name}`;

interface KnownRule {
  readonly mesh: MeshSettings;
  readonly rule: VirtualServiceRule;
}

const knownRules = new WeakMap<VirtualService, KnownRule>();

/** The same object for the same VirtualService, unless others have a say in it. */
const knownRule = (object: VirtualService, sources: RuleSources): VirtualServiceRule => {
  if (object.spec.http?.some(({ delegate }) => delegate)) return resolveRule(object, sources);
  const known = knownRules.get(object);
  if (known?.mesh === sources.mesh) return known.rule;
  const rule = resolveRule(object, sources);
  knownRules.set(object, { mesh: sources.mesh, rule });
  return rule;
};

const resolveRule = (object: VirtualService, sources: RuleSources): VirtualServiceRule => {
  const { spec, namespace } = object;
  const { domain } = sources.mesh;
  const problems: RuleProblem[] = [];
  return {
    object,
    hosts: (spec.hosts ?? []).map((host) => resolveHost(host, namespace, domain).toLowerCase()),
    gateways: (spec.gateways?.length ? spec.gateways : ["mesh"]).map((name) => gatewayName(name, namespace)),
    http: (spec.http ?? []).flatMap((_, index) => resolveHttp(object, index, { ...sources, problems })),
    tls: (spec.tls ?? []).map((rule) => ({
      ...rule,
      match: rule.match.map((match) => inFull(match, namespace)),
      ...(rule.route ? { route: rule.route.map((one) => fullDestination(one, namespace, domain)) } : {}),
    })),
    tcp: (spec.tcp ?? []).map((rule) => ({
      ...rule,
      ...(rule.match ? { match: rule.match.map((match) => inFull(match, namespace)) } : {}),
      ...(rule.route ? { route: rule.route.map((one) => fullDestination(one, namespace, domain)) } : {}),
    })),
    problems,
  };
};

const inFull = <M extends { readonly gateways?: readonly string[] }>(match: M, namespace: string): M =>
  match.gateways?.length ? { ...match, gateways: match.gateways.map((name) => gatewayName(name, namespace)) } : match;

const fullHost = (destination: Destination, namespace: string, domain: string): Destination => ({
  ...destination,
  host: resolveHost(destination.host, namespace, domain),
});

const fullDestination = <D extends { readonly destination: Destination }>(
  one: D,
  namespace: string,
  domain: string,
): D => ({ ...one, destination: fullHost(one.destination, namespace, domain) });

const fullRoute = (rule: HttpRoute, { namespace }: VirtualService, { domain }: MeshSettings): HttpRoute => ({
  ...rule,
  ...(rule.match ? { match: rule.match.map((match) => inFull(match, namespace)) } : {}),
  ...(rule.route ? { route: rule.route.map((one) => fullDestination(one, namespace, domain)) } : {}),
  ...(rule.mirror ? { mirror: fullHost(rule.mirror, namespace, domain) } : {}),
  ...(rule.mirrors ? { mirrors: rule.mirrors.map((one) => fullDestination(one, namespace, domain)) } : {}),
});

/** A rule as it stands, or the rules of its delegate; a delegate that cannot be used costs only this one rule. */
const resolveHttp = (
  object: VirtualService,
  index: number,
  { mesh, delegates, problems }: RuleSources & { readonly problems: RuleProblem[] },
): readonly HttpRule[] => {
  const written = object.spec.http?.[index] ?? {};
  const path = ["spec", "http", index];
  const rule = fullRoute(written, object, mesh);
  const { delegate } = written;
  if (!delegate) return [{ rule, object, path }];
  const leftOut = (message: string): readonly HttpRule[] => {
    problems.push({ code: "WF1531", message, object, path: [...path, "delegate"] });
    return [];
  };
  const name = `${delegate.namespace || object.namespace}/${delegate.name ?? ""}`;
  const target = delegates.get(name);
  if (!target) return leftOut(`delegate ${name} is no VirtualService without hosts: the rule is left out`);
  if (!visibleIn(exportsOf(target, mesh), target.namespace, object.namespace)) {
    return leftOut(`delegate ${name} is not exported to namespace ${object.namespace}: the rule is left out`);
  }
  return (target.spec.http ?? []).flatMap((inner, at): readonly HttpRule[] => {
    const innerPath = ["spec", "http", at];
    const problem = (code: string, message: string): void =>
      void problems.push({ code, message, object: target, path: innerPath });
    if (inner.delegate) {
      problem("WF1531", "a delegate cannot delegate again: the rule is left out");
      return [];
    }
    const merged = mergeDelegate(rule, fullRoute(inner, target, mesh));
    if (merged) return [{ rule: merged, object: target, path: innerPath }];
    const from = `${object.namespace}/${object.name}`;
    problem("WF1533", `no match is within those of the rule in ${from} that delegates here: the rule is left out`);
    return [];
  });
};

/** The rule of those given that holds for a host: the most specific, then the first. */
export const mostSpecificRule = (
  rules: readonly VirtualServiceRule[],
  host: string,
): { readonly rule: VirtualServiceRule; readonly host: string } | undefined => {
  let best: { readonly rule: VirtualServiceRule; readonly host: string } | undefined;
  for (const rule of rules) {
    for (const pattern of rule.hosts) {
      if (!hostMatches(pattern, host)) continue;
      if (!best || compareSpecificity(pattern, best.host) < 0) best = { rule, host: pattern };
    }
  }
  return best;
};
