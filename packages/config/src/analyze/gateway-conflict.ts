import { formatPosition } from "@weft/core/error";
import type { ConfigOf } from "../config-object.ts";
import type { Analyzer, Hit } from "./analyzer.ts";

interface Claim {
  readonly object: ConfigOf<"Gateway">;
  readonly server: number;
}

/** Two Gateways of the same edge proxies serve one host at one port. */
export const gatewayConflict: Analyzer = {
  code: "WF1121",
  level: "error",
  also: ["IST0145", "KIA0301"],
  title: "two Gateways serve the same host and port",
  explain: `Gateways with the same selector open the same port for the same host. The older one's settings hold. Put
the host in one of them.`,
  run: ({ of }) => {
    const claims = new Map<string, Claim>();
    const hits: Hit[] = [];
    for (const object of of("Gateway")) {
      const selector = Object.entries(object.spec.selector ?? {}).map(([name, value]) => `${name}=${value}`);
      for (const [server, { port, hosts, bind = "" }] of (object.spec.servers ?? []).entries()) {
        for (const [index, host] of hosts.entries()) {
          const name = host.replace(/^[^/]*\//, "");
          const key = [selector.sort().join(), bind, port.number, name].join(" ");
          const first = claims.get(key);
          if (!first) claims.set(key, { object, server });
          if (!first || (first.object === object && first.server === server)) continue;
          const at = `${first.object.namespace}/${first.object.name} (${formatPosition(first.object.source)})`;
          const claim = `host "${name}" at port ${port.number}`;
          const message = `${claim} is already served by Gateway ${at}, which wins: remove one`;
          hits.push({ object, path: ["spec", "servers", server, "hosts", index], message });
        }
      }
    }
    return hits;
  },
  example: {
    bad: `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: public}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [shop.example]}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: public-too}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: web, protocol: HTTP}, hosts: [shop.example]}]
`,
    good: `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: public}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [shop.example]}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: public-too}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: web, protocol: HTTP}, hosts: [blog.example]}]
`,
  },
};
