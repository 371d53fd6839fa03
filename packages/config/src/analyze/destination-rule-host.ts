import type { Analyzer } from "./analyzer.ts";
import { fullHost, hostsOverlap } from "./hosts.ts";

/** A DestinationRule is for a host that no service has. */
export const destinationRuleHost: Analyzer = {
  code: "WF1112",
  level: "warning",
  also: ["IST0174", "KIA0202"],
  title: "a DestinationRule is for an unknown host",
  explain: `No service has the host of the DestinationRule, so the rule has no effect. A name without dots is
completed with the rule's namespace. The check is made only where some service is known.`,
  run: ({ of, services, servicesKnown, serviceFor, suggestHost }) =>
    of("DestinationRule").flatMap((object) => {
      const host = fullHost(object.spec.host, object.namespace);
      if (!servicesKnown || serviceFor(host, object.namespace)) return [];
      if (host.startsWith("*") && services.some(({ hostname }) => hostsOverlap(hostname, host))) return [];
      const guess = suggestHost(object.spec.host);
      const next = guess === undefined ? "correct it, or register the service" : `did you mean "${guess}"?`;
      return [{ object, path: ["spec", "host"], message: `host "${host}" is no known service: ${next}` }];
    }),
  example: {
    bad: `
apiVersion: v1
kind: Service
metadata: {name: photos}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: photos}
spec:
  host: photo
  trafficPolicy: {loadBalancer: {simple: RANDOM}}
`,
    good: `
apiVersion: v1
kind: Service
metadata: {name: photos}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: photos}
spec:
  host: photos
  trafficPolicy: {loadBalancer: {simple: RANDOM}}
`,
  },
};
