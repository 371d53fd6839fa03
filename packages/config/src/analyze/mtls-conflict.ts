import { formatPosition } from "@weft/core/error";
import type { ConfigOf } from "../config-object.ts";
import type { TrafficPolicy } from "../kinds/destination-rule.ts";
import type { FieldPath } from "../schema/problem.ts";
import type { Analyzer } from "./analyzer.ts";
import type { Facts, KnownService } from "./facts.ts";
import { labelsMatch } from "./labels.ts";

/** Clients are told to speak what servers are told to refuse. */
export const mtlsConflict: Analyzer = {
  code: "WF1117",
  level: "error",
  also: ["KIA0207", "KIA0208", "KIA0505", "KIA0506"],
  title: "client and server disagree on mutual TLS",
  explain: `A DestinationRule sends plaintext (or TLS that is not the mesh's) to a service whose PeerAuthentication
demands mutual TLS, or sends mutual TLS where it is disabled. Every connection fails. Without a \`tls\`
block in the DestinationRule, clients follow the server by themselves, so the block is best removed.`,
  run: (facts) =>
    facts.of("DestinationRule").flatMap((object) => {
      const service = facts.serviceFor(object.spec.host, object.namespace);
      if (service?.external) return [];
      const policy = modeOf(facts, service, object);
      if (policy === undefined) return [];
      return tlsBlocks(object).flatMap(({ mode = "DISABLE", path }) => {
        const refused =
          policy.mode === "STRICT" ? mode !== "ISTIO_MUTUAL" : policy.mode === "DISABLE" && mode === "ISTIO_MUTUAL";
        if (!refused) return [];
        const { namespace, name, source } = policy.object;
        const at = `${namespace}/${name} (${formatPosition(source)})`;
        const message =
          `tls.mode ${mode} towards "${object.spec.host}", where PeerAuthentication ${at} says ` +
          `${policy.mode}: remove the tls block, or make them agree`;
        return [{ object, path, message }];
      });
    }),
  example: {
    bad: `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec: {mtls: {mode: STRICT}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: vault}
spec:
  host: vault
  trafficPolicy: {tls: {mode: DISABLE}}
`,
    good: `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec: {mtls: {mode: STRICT}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: vault}
spec:
  host: vault
  trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}
`,
  },
};

interface TlsBlock {
  readonly mode: string | undefined;
  readonly path: FieldPath;
}

/** Blocks for all ports; those of single ports may well answer port-level modes. */
const tlsBlocks = ({ spec }: ConfigOf<"DestinationRule">): TlsBlock[] => {
  const block = (policy: TrafficPolicy | undefined, path: FieldPath): TlsBlock[] =>
    policy?.tls ? [{ mode: policy.tls.mode, path: [...path, "trafficPolicy", "tls"] }] : [];
  return [
    ...block(spec.trafficPolicy, ["spec"]),
    ...(spec.subsets ?? []).flatMap(({ trafficPolicy }, index) => block(trafficPolicy, ["spec", "subsets", index])),
  ];
};

/** The policy that holds for the service's workloads: by their labels where known, else of namespace or mesh. */
const modeOf = (facts: Facts, service: KnownService | undefined, rule: ConfigOf<"DestinationRule">) => {
  const namespace = service?.namespace ?? namespaceOfHost(rule.spec.host) ?? rule.namespace;
  if (rule.spec.host.includes("*") || (service === undefined && isExternalName(rule.spec.host))) return undefined;
  const policies = facts.of("PeerAuthentication");
  const labels = service?.endpointLabels?.[0];
  const isPlain = ({ spec }: ConfigOf<"PeerAuthentication">) =>
    Object.keys(spec.selector?.matchLabels ?? {}).length === 0;
  const own = policies.filter((policy) => policy.namespace === namespace);
  const selected = labels
    ? own.find((policy) => !isPlain(policy) && labelsMatch(policy.spec.selector?.matchLabels, labels))
    : undefined;
  const wide = own.find(isPlain);
  const mesh = policies.find((policy) => policy.namespace === facts.rootNamespace && isPlain(policy));
  for (const object of [selected, wide, mesh]) {
    const mode = object?.spec.mtls?.mode ?? "UNSET";
    if (object && mode !== "UNSET") return { object, mode };
  }
  return undefined;
};

const namespaceOfHost = (host: string): string | undefined => /^[^.]+\.([^.]+)\.svc\./.exec(host)?.[1];
const isExternalName = (host: string): boolean => host.includes(".") && namespaceOfHost(host) === undefined;
