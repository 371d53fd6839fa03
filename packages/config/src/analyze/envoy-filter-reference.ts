import type { Analyzer, Hit } from "./analyzer.ts";
import { fullHost } from "./hosts.ts";

/** An EnvoyFilter's match names a service or Gateway that is not there. */
export const envoyFilterReference: Analyzer = {
  code: "WF1137",
  level: "warning",
  also: ["IST0101"],
  title: "an EnvoyFilter matches an unknown service or Gateway",
  explain: `match.cluster.service is the full host of a service, and match.routeConfiguration.gateway is NAMESPACE/NAME of a
Gateway. Where none has that name, the patch is applied to nothing, and nothing else tells of it.`,
  run: ({ of, serviceFor, servicesKnown, suggestHost }) => {
    const gateways = new Set(of("Gateway").map(({ namespace, name }) => `${namespace}/${name}`));
    return of("EnvoyFilter").flatMap((object) =>
      (object.spec.configPatches ?? []).flatMap(({ match }, index): Hit[] => {
        const path = ["spec", "configPatches", index, "match"];
        const service = match?.cluster?.service;
        if (service && servicesKnown && (!service.includes(".") || !serviceFor(service, object.namespace))) {
          const full = fullHost(service, object.namespace);
          const guess = full !== service && serviceFor(full, object.namespace) ? full : suggestHost(service);
          const next = guess === undefined ? "correct it, or register the service" : `did you mean "${guess}"?`;
          const message = `match.cluster.service "${service}" is no known service's full host: ${next}`;
          return [{ object, path: [...path, "cluster", "service"], message }];
        }
        const gateway = match?.routeConfiguration?.gateway;
        if (!gateway || gateways.has(gateway)) return [];
        const message = `match.routeConfiguration.gateway "${gateway}" is no known Gateway: write NAMESPACE/NAME of one`;
        return [{ object, path: [...path, "routeConfiguration", "gateway"], message }];
      }),
    );
  },
  example: {
    bad: `
apiVersion: v1
kind: Service
metadata: {name: ledger}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: ledger}
spec:
  configPatches:
  - applyTo: CLUSTER
    match: {cluster: {service: ledger}}
    patch: {operation: MERGE, value: {connect_timeout: 2s}}
`,
    good: `
apiVersion: v1
kind: Service
metadata: {name: ledger}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: ledger}
spec:
  configPatches:
  - applyTo: CLUSTER
    match: {cluster: {service: ledger.default.svc.cluster.local}}
    patch: {operation: MERGE, value: {connect_timeout: 2s}}
`,
  },
};
