import type { ConfigOf } from "../config-object.ts";
import type { HttpRoute } from "../kinds/virtual-service.ts";
import type { FieldPath } from "../schema/problem.ts";
import type { Analyzer, Hit } from "./analyzer.ts";
import { covers } from "./route-matches.ts";

type Service = ConfigOf<"VirtualService">;

/** A delegate is missing, is none, or can match nothing of what is handed to it. */
export const delegate: Analyzer = {
  code: "WF1138",
  level: "error",
  also: ["IST0101"],
  title: "a delegate does not work",
  explain: `A rule with \`delegate\` hands its requests to the http rules of another VirtualService, which must have no hosts
and no gateways, be visible here, and delegate no further. Each of its matches must lie within the match
of the rule that hands over; a rule with a match outside of it is dropped. What the delegate's rules say goes before
what the rule that hands over says.`,
  run: ({ of }) => {
    const all = of("VirtualService");
    const byName = new Map(all.map((object) => [`${object.namespace}/${object.name}`, object]));
    return all.flatMap((object) =>
      (object.spec.http ?? []).flatMap((rule, index): Hit[] => {
        if (!rule.delegate) return [];
        const path = ["spec", "http", index, "delegate"];
        const name = `${rule.delegate.namespace || object.namespace}/${rule.delegate.name ?? ""}`;
        const target = byName.get(name);
        if (!target) {
          const message = `delegate "${name}" is no known VirtualService: correct the name, or add it`;
          return [{ object, path, message }];
        }
        return [...targetHits(object, target, path), ...ruleHits(object, rule, target, index)];
      }),
    );
  },
  example: {
    bad: `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: site}
spec:
  hosts: [site]
  http: [{match: [{uri: {prefix: /shop}}], delegate: {name: shop}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  http: [{match: [{uri: {prefix: /cart}}], directResponse: {status: 200}}]
`,
    good: `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: site}
spec:
  hosts: [site]
  http: [{match: [{uri: {prefix: /shop}}], delegate: {name: shop}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  http: [{match: [{uri: {prefix: /shop/cart}}], directResponse: {status: 200}}]
`,
  },
};

const targetHits = (object: Service, target: Service, path: FieldPath): Hit[] => {
  const name = `${target.namespace}/${target.name}`;
  const { hosts = [], exportTo = ["*"], http = [] } = target.spec;
  if (hosts.length > 0) {
    return [
      { object, path, message: `delegate "${name}" has hosts, so it is none: remove its hosts, or the delegate` },
    ];
  }
  const visible = exportTo.some(
    (one) => one === "*" || one === object.namespace || (one === "." && target.namespace === object.namespace),
  );
  if (!visible) {
    return [
      { object, path, message: `delegate "${name}" is not visible here: add "${object.namespace}" to its exportTo` },
    ];
  }
  const deeper = http.findIndex((rule) => rule.delegate !== undefined);
  if (deeper === -1) return [];
  const message = `a delegate cannot delegate further, so http[${deeper}] is dropped: write its routes here`;
  return [{ object: target, path: ["spec", "http", deeper, "delegate"], message }];
};

const ruleHits = (object: Service, rule: HttpRoute, target: Service, index: number): Hit[] => {
  const outer = rule.match?.length ? rule.match : [{}];
  return (target.spec.http ?? []).flatMap(({ match }, at): Hit[] => {
    const outside = (match ?? []).findIndex((inner) => !outer.some((one) => covers(one, inner)));
    if (outside === -1) return [];
    const place = `http[${index}] of ${object.namespace}/${object.name}`;
    const message = `this match is not within that of ${place}, so the rule is dropped: narrow it, or widen that one`;
    return [{ object: target, path: ["spec", "http", at, "match", outside], message }];
  });
};
