import type { Analyzer, Hit } from "./analyzer.ts";
import { destinationsOf } from "./destinations.ts";

/** A destination's port is not one of the service's, or is left open among several. */
export const destinationPort: Analyzer = {
  code: "WF1125",
  level: "error",
  also: ["IST0112"],
  title: "a destination's port is unknown or ambiguous",
  explain: `A destination names a port that its service does not have; requests get 503. Or it names none although
the service has several ports: then the port the client dialled is used, or the first, which may not be
the one meant (a warning).`,
  run: ({ of, serviceFor }) =>
    of("VirtualService").flatMap((object) =>
      destinationsOf(object).flatMap(({ destination: { host, port }, path }): readonly Hit[] => {
        const service = serviceFor(host, object.namespace);
        if (!service || service.ports.length === 0) return [];
        const known = service.ports.map(({ number }) => number);
        if (port?.number !== undefined) {
          if (known.includes(port.number)) return [];
          const message = `"${host}" has no port ${port.number} (it has ${known.join(", ")}): correct port.number`;
          return [{ object, path: [...path, "port"], message }];
        }
        if (known.length === 1 || object.spec.hosts?.some((name) => serviceFor(name, object.namespace) === service))
          return [];
        const message = `"${host}" has several ports (${known.join(", ")}): write port.number`;
        return [{ object, path, message, level: "warning" }];
      }),
    ),
  example: {
    bad: `
apiVersion: v1
kind: Service
metadata: {name: tickets}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: tickets}
spec:
  hosts: [tickets]
  http: [{route: [{destination: {host: tickets, port: {number: 8080}}}]}]
`,
    good: `
apiVersion: v1
kind: Service
metadata: {name: tickets}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: tickets}
spec:
  hosts: [tickets]
  http: [{route: [{destination: {host: tickets, port: {number: 80}}}]}]
`,
  },
};
