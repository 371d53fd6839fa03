import { formatPosition } from "@weft/core/error";
import type { ConfigOf } from "../config-object.ts";
import type { Analyzer, Hit } from "./analyzer.ts";

interface Claim {
  readonly object: ConfigOf<"ServiceEntry">;
  readonly protocol: string;
  readonly index: number;
}

/** Two ServiceEntries claim the same host and port, or addresses that cannot be told apart. */
export const serviceEntryConflict: Analyzer = {
  code: "WF1114",
  level: "warning",
  also: ["IST0177", "KIA1211", "KIA1212"],
  title: "two ServiceEntries claim the same place",
  explain: `Two ServiceEntries that a client can see claim the same host and port: their endpoints are put together,
and where the protocols differ, the older one's holds. For TCP, which carries no host name, two services
on the same port and address (or both without addresses) cannot be told apart: connections to one may
reach the other. Give each its own address or port.`,
  run: ({ of }) => {
    const hosts = new Map<string, Claim>();
    const places = new Map<string, Claim>();
    const hits: Hit[] = [];
    for (const object of of("ServiceEntry")) {
      for (const [index, { number, protocol = "" }] of (object.spec.ports ?? []).entries()) {
        const claim = { object, index, protocol: protocol.toUpperCase() };
        for (const host of object.spec.hosts) hits.push(...hostHits(hosts, `${host}:${number}`, claim));
        if (!connectionProtocols.has(claim.protocol)) continue;
        for (const address of object.spec.addresses ?? ["any address"]) {
          hits.push(...placeHits(places, `${address} port ${number}`, claim));
        }
      }
    }
    return hits;
  },
  example: {
    bad: `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: partner}
spec:
  hosts: [api.partner.example]
  resolution: DNS
  ports: [{number: 8443, name: https, protocol: TLS}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: partner-http}
spec:
  hosts: [api.partner.example]
  resolution: DNS
  ports: [{number: 8443, name: http, protocol: HTTP}]
`,
    good: `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: partner}
spec:
  hosts: [api.partner.example]
  resolution: DNS
  ports: [{number: 8443, name: https, protocol: TLS}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: partner-http}
spec:
  hosts: [api.partner.example]
  resolution: DNS
  ports: [{number: 8080, name: http, protocol: HTTP}]
`,
  },
};

/** Protocols whose connections carry no host name. */
const connectionProtocols = new Set(["TCP", "MONGO", "REDIS", "MYSQL"]);

const hostHits = (claims: Map<string, Claim>, place: string, claim: Claim): Hit[] => {
  const first = claims.get(place);
  if (!first) claims.set(place, claim);
  if (!first || first.object === claim.object) return [];
  const at = describe(first);
  const differ = first.protocol !== claim.protocol;
  const message = differ
    ? `${place} is ${first.protocol || "undeclared"} in ServiceEntry ${at}, which is older and ` +
      `wins, and ${claim.protocol || "undeclared"} here: make them agree`
    : `${place} is also in ServiceEntry ${at}: their endpoints are put together; merge the two`;
  return [{ object: claim.object, path: ["spec", "ports", claim.index], message }];
};

const placeHits = (claims: Map<string, Claim>, place: string, claim: Claim): Hit[] => {
  const first = claims.get(place);
  if (!first) claims.set(place, claim);
  if (!first || first.object === claim.object || shareHost(first.object, claim.object)) return [];
  const message =
    `TCP to ${place} is also ServiceEntry ${describe(first)}, and connections name no host: give ` +
    `it its own address or port`;
  return [{ object: claim.object, path: ["spec", "ports", claim.index], message }];
};

const shareHost = (a: ConfigOf<"ServiceEntry">, b: ConfigOf<"ServiceEntry">): boolean =>
  a.spec.hosts.some((host) => b.spec.hosts.includes(host));

const describe = ({ object }: Claim): string => `${object.namespace}/${object.name} (${formatPosition(object.source)})`;
