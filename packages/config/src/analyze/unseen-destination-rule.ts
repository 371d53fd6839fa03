import type { Analyzer } from "./analyzer.ts";

/** A DestinationRule stands in a namespace where no client looks for it. */
export const unseenDestinationRule: Analyzer = {
  code: "WF1140",
  level: "warning",
  also: [],
  title: "a DestinationRule is never looked up",
  explain: `A client looks for a service's DestinationRule in its own namespace, then in the service's, then in the root
namespace, and takes the first. A rule in any other namespace holds only for clients of that namespace. Here no workload
of it is known, so the rule has no effect; move it to the service's namespace. Where it has workloads, this is a remark.`,
  run: ({ of, serviceFor, services, workloads, rootNamespace }) =>
    of("DestinationRule").flatMap((object) => {
      const { host } = object.spec;
      if (!host.includes(".")) return [];
      const service = serviceFor(host, object.namespace);
      const { namespace } = object;
      if (!service || host.startsWith("*") || namespace === service.namespace || namespace === rootNamespace) return [];
      const clients = [...workloads, ...services].some((one) => one.namespace === namespace);
      const only = `the rule holds only for clients of namespace ${namespace}`;
      const message = clients
        ? `${only}, as "${host}" is of ${service.namespace}: move it there if all clients are meant`
        : `${only}, where none is known, as "${host}" is of ${service.namespace}: move it there`;
      const level = clients ? "info" : "warning";
      return [{ object, path: ["metadata", "namespace"], message, level } as const];
    }),
  example: {
    bad: `
apiVersion: v1
kind: Service
metadata: {name: stock, namespace: depot}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: stock, namespace: policies}
spec:
  host: stock.depot.svc.cluster.local
  trafficPolicy: {loadBalancer: {simple: RANDOM}}
`,
    good: `
apiVersion: v1
kind: Service
metadata: {name: stock, namespace: depot}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: stock, namespace: depot}
spec:
  host: stock.depot.svc.cluster.local
  trafficPolicy: {loadBalancer: {simple: RANDOM}}
`,
  },
};
