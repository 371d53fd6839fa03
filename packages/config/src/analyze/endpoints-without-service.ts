import { serviceNameLabel } from "../kinds/common.ts";
import type { Analyzer } from "./analyzer.ts";

/** Endpoints belong to no Service. */
export const endpointsWithoutService: Analyzer = {
  code: "WF1127",
  level: "warning",
  also: [],
  title: "endpoints belong to no Service",
  explain: `An Endpoints object belongs to the Service of its name, an EndpointSlice to the one its label
\`${serviceNameLabel}\` names. Without that Service in the same namespace the addresses are not used.`,
  run: ({ of }) => {
    const known = new Set(of("Service").map(({ namespace, name }) => `${namespace}/${name}`));
    return [...of("Endpoints"), ...of("EndpointSlice")].flatMap((object) => {
      const owner = object.kind === "Endpoints" ? object.name : (object.labels[serviceNameLabel] ?? "");
      if (owner === "" || known.has(`${object.namespace}/${owner}`)) return [];
      const service = `${object.namespace}/${owner}`;
      const message = `there is no Service ${service}, so these addresses are not used: add the Service`;
      return [{ object, path: ["metadata"], message }];
    });
  },
  example: {
    bad: `
apiVersion: v1
kind: Endpoints
metadata: {name: printer}
subsets: [{addresses: [{ip: 10.1.0.9}], ports: [{port: 631}]}]
`,
    good: `
apiVersion: v1
kind: Service
metadata: {name: printer}
spec: {ports: [{name: http, port: 631}]}
---
apiVersion: v1
kind: Endpoints
metadata: {name: printer}
subsets: [{addresses: [{ip: 10.1.0.9}], ports: [{name: http, port: 631}]}]
`,
  },
};
