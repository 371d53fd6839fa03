import type { Analyzer } from "./analyzer.ts";
import { destinationsOf } from "./destinations.ts";
import { fullHost } from "./hosts.ts";

/** A route leads to a host that no service has. */
export const destinationHost: Analyzer = {
  code: "WF1101",
  level: "error",
  also: ["IST0101", "KIA1101"],
  title: "a route leads to an unknown host",
  explain: `A VirtualService names a destination that no registry, ServiceEntry or Kubernetes Service knows.
Requests that take the route are answered with 503. A name without dots is completed with the
VirtualService's namespace, so a service of another namespace needs its full name. Where no service at
all is known, the finding is a warning: services may yet register.`,
  run: ({ of, serviceFor, servicesKnown, suggestHost }) =>
    of("VirtualService").flatMap((object) =>
      destinationsOf(object).flatMap(({ destination: { host }, path }) => {
        if (serviceFor(host, object.namespace)) return [];
        const guess = suggestHost(host);
        const full = fullHost(host, object.namespace);
        const shown = full === host ? `"${host}"` : `"${host}" (${full})`;
        const hint = guess === undefined ? "register it, or add a ServiceEntry" : `did you mean "${guess}"?`;
        const message = `destination host ${shown} is no known service: ${hint}`;
        return [{ object, path: [...path, "host"], message, level: servicesKnown ? "error" : "warning" } as const];
      }),
    ),
  example: {
    bad: `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: billing}
spec:
  hosts: [billing.default.svc.cluster.local]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: billing}
spec:
  hosts: [billing]
  http:
  - route:
    - destination: {host: biling}
`,
    good: `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: billing}
spec:
  hosts: [billing.default.svc.cluster.local]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: billing}
spec:
  hosts: [billing]
  http:
  - route:
    - destination: {host: billing}
`,
  },
};
