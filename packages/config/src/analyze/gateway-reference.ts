import { nearest } from "../schema/nearest.ts";
import type { Analyzer } from "./analyzer.ts";

/** A VirtualService is bound to a Gateway that is not there. */
export const gatewayReference: Analyzer = {
  code: "WF1103",
  level: "error",
  also: ["IST0101", "KIA1102"],
  title: "a VirtualService is bound to an unknown Gateway",
  explain: `A VirtualService lists a Gateway that does not exist, so its routes are open at no edge. A name without
a namespace is looked up in the VirtualService's own.`,
  run: ({ of }) => {
    const known = new Set(of("Gateway").map(({ namespace, name }) => `${namespace}/${name}`));
    return of("VirtualService").flatMap((object) =>
      (object.spec.gateways ?? []).flatMap((gateway, index) => {
        const full = gateway.includes("/") ? gateway : `${object.namespace}/${gateway}`;
        if (gateway === "mesh" || known.has(full)) return [];
        const elsewhere = [...known].find((name) => name.endsWith(`/${gateway}`));
        const guess = elsewhere ?? nearest(full, [...known]);
        const next = guess === undefined ? "add the Gateway, or remove the name" : `did you mean "${guess}"?`;
        const message = `Gateway "${full}" is not known: ${next}`;
        return [{ object, path: ["spec", "gateways", index], message }];
      }),
    );
  },
  example: {
    bad: `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: front}
spec:
  hosts: [front.example.com]
  gateways: [edge]
  http:
  - directResponse: {status: 200}
`,
    good: `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  servers:
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: [front.example.com]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: front}
spec:
  hosts: [front.example.com]
  gateways: [edge]
  http:
  - directResponse: {status: 200}
`,
  },
};
