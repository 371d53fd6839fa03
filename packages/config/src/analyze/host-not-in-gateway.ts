import type { Analyzer } from "./analyzer.ts";
import { fullHost, hostsOverlap } from "./hosts.ts";

/** A VirtualService's host is not served by the Gateway it is bound to. */
export const hostNotInGateway: Analyzer = {
  code: "WF1122",
  level: "warning",
  also: ["IST0132"],
  title: "a host is not served by the Gateway",
  explain: `A VirtualService is bound to a Gateway none of whose servers takes the host, from the VirtualService's
namespace. Requests for it get 404 there. Add the host to the Gateway's server, or correct it.`,
  run: ({ of }) => {
    const gateways = new Map(of("Gateway").map((gateway) => [`${gateway.namespace}/${gateway.name}`, gateway]));
    return of("VirtualService").flatMap((object) =>
      (object.spec.gateways ?? []).flatMap((name) => {
        const gateway = gateways.get(name.includes("/") ? name : `${object.namespace}/${name}`);
        if (!gateway) return [];
        const served = (gateway.spec.servers ?? [])
          .flatMap(({ hosts }) => hosts)
          .filter((host) => isOpenTo(host, gateway.namespace, object.namespace))
          .map((host) => host.replace(/^[^/]*\//, ""));
        return (object.spec.hosts ?? []).flatMap((host, index) => {
          const full = fullHost(host, object.namespace);
          if (served.some((one) => hostsOverlap(one, full) || hostsOverlap(one, host))) return [];
          const known = served.length === 0 ? "no host for this namespace" : served.join(", ");
          const message =
            `host "${host}" is not served by Gateway ${gateway.namespace}/${gateway.name} (it has ` +
            `${known}): add it there`;
          return [{ object, path: ["spec", "hosts", index], message }];
        });
      }),
    );
  },
  example: {
    bad: `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: door}
spec:
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*.shop.example"]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: door}
spec:
  hosts: [www.store.example]
  gateways: [door]
  http: [{directResponse: {status: 204}}]
`,
    good: `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: door}
spec:
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*.shop.example"]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: door}
spec:
  hosts: [www.shop.example]
  gateways: [door]
  http: [{directResponse: {status: 204}}]
`,
  },
};

/** Whether a server's host, `NAMESPACE/HOST`, takes routes from that namespace. */
const isOpenTo = (host: string, owner: string, namespace: string): boolean => {
  const scope = host.includes("/") ? host.split("/")[0] : "*";
  return scope === "*" || scope === namespace || (scope === "." && owner === namespace);
};
