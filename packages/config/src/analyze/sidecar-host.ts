import { isHostWithin } from "../kinds/rules.ts";
import type { Analyzer, Hit } from "./analyzer.ts";
import type { KnownService } from "./facts.ts";
import { fullHost, hostsOverlap } from "./hosts.ts";

/** A Sidecar names a host no service has. */
export const sidecarHost: Analyzer = {
  code: "WF1132",
  level: "warning",
  also: ["KIA1004", "IST0101"],
  title: "a Sidecar names an unknown host",
  explain: `An entry of a Sidecar's egress hosts, or its egressProxy, matches no service, so the workload sees nothing by
it: calls to that host go nowhere or are treated as unknown traffic. The namespace before the slash must be the
service's, \`.\` for the Sidecar's own, or \`*\`. The check is made only where some service is known.`,
  run: ({ of, services, servicesKnown, serviceFor, suggestHost }) => {
    if (!servicesKnown) return [];
    const alikeOf = similarServices(services);
    return of("Sidecar").flatMap((object): Hit[] => {
      const hits = (object.spec.egress ?? []).flatMap(({ hosts }, at) =>
        hosts.flatMap((entry, index): Hit[] => {
          const [namespace = "", host = ""] = entry.split("/");
          if (namespace === "~") return [];
          const wanted = namespace === "." ? object.namespace : namespace;
          const alike = alikeOf(host === "*" ? host : fullHost(host, wanted === "*" ? object.namespace : wanted));
          if (wanted === "*" ? alike.size > 0 : alike.has(wanted)) return [];
          const path = ["spec", "egress", at, "hosts", index];
          if (host === "*") {
            const message = `namespace "${wanted}" has no known service: correct "${entry}", or remove it`;
            return [{ object, path, message, level: "info" }];
          }
          const [elsewhere] = alike;
          const guess = elsewhere === undefined ? suggestHost(host) : `${elsewhere}/${host}`;
          const next = guess === undefined ? "correct it, or register the service" : `did you mean "${guess}"?`;
          return [{ object, path, message: `egress host "${entry}" is no known service: ${next}` }];
        }),
      );
      const proxy = object.spec.outboundTrafficPolicy?.egressProxy?.host;
      if (proxy === undefined || serviceFor(proxy, object.namespace)) return hits;
      const path = ["spec", "outboundTrafficPolicy", "egressProxy", "host"];
      const message = `egressProxy "${proxy}" is no known service: register it, or correct the name`;
      return [...hits, { object, path, message }];
    });
  },
  example: {
    bad: `
apiVersion: v1
kind: Service
metadata: {name: prices, namespace: shop}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default}
spec: {egress: [{hosts: ["./prices.shop.svc.cluster.local"]}]}
`,
    good: `
apiVersion: v1
kind: Service
metadata: {name: prices, namespace: shop}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default}
spec: {egress: [{hosts: ["shop/prices.shop.svc.cluster.local"]}]}
`,
  },
};

/** The namespaces of services that a host may mean. Most Sidecars name the same few, so each is looked for once. */
const similarServices = (services: readonly KnownService[]): ((host: string) => ReadonlySet<string>) => {
  const exact = Map.groupBy(services, ({ hostname }) => hostname);
  const wildcards = services.filter(({ hostname }) => hostname.startsWith("*"));
  const known = new Map<string, ReadonlySet<string>>();
  const look = (host: string): ReadonlySet<string> => {
    const near = host.startsWith("*")
      ? services.filter(({ hostname }) => hostsOverlap(hostname, host))
      : [...(exact.get(host) ?? []), ...wildcards.filter(({ hostname }) => isHostWithin(host, hostname))];
    return new Set(near.map(({ namespace }) => namespace));
  };
  return (host) => {
    const found = known.get(host) ?? look(host);
    known.set(host, found);
    return found;
  };
};
