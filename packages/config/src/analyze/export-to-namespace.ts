import { nearest } from "../schema/nearest.ts";
import type { Analyzer } from "./analyzer.ts";

/** exportTo names a namespace nothing is in. */
export const exportToNamespace: Analyzer = {
  code: "WF1133",
  level: "warning",
  also: ["KIA0005"],
  title: "exportTo names an unknown namespace",
  explain: `exportTo makes an object visible to the namespaces it lists, and to no others. Nothing that is known is in the
namespace named, so this is most often a slip. Namespaces count as known by a Namespace object, of a cluster too, or by any
object, service or workload in them; where no Namespace object is in sight it is only a remark.`,
  run: ({ of, objects, services, workloads, namespaces: declared }) => {
    const known = new Set([...declared, ...[...objects, ...services, ...workloads].map(({ namespace }) => namespace)]);
    const level = declared.length > 0 ? "warning" : "info";
    return [...of("VirtualService"), ...of("DestinationRule"), ...of("ServiceEntry")].flatMap((object) =>
      (object.spec.exportTo ?? []).flatMap((scope, index) => {
        if (scope === "*" || scope === "." || scope === "~" || known.has(scope)) return [];
        const guess = nearest(scope, [...known]);
        const next = guess === undefined ? "correct it, or remove it" : `did you mean "${guess}"?`;
        const message = `exportTo names namespace "${scope}", in which nothing is known: ${next}`;
        return [{ object, path: ["spec", "exportTo", index], message, level } as const];
      }),
    );
  },
  example: {
    bad: `
apiVersion: v1
kind: Namespace
metadata: {name: payments}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: bank}
spec:
  hosts: [bank.example]
  resolution: DNS
  ports: [{number: 443, name: tls, protocol: TLS}]
  exportTo: [payment]
`,
    good: `
apiVersion: v1
kind: Namespace
metadata: {name: payments}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: bank}
spec:
  hosts: [bank.example]
  resolution: DNS
  ports: [{number: 443, name: tls, protocol: TLS}]
  exportTo: [payments]
`,
  },
};
