import type { ConnectionPoolSettings } from "../kinds/destination-rule.ts";
import type { Analyzer } from "./analyzer.ts";
import type { KnownPort } from "./facts.ts";
import { policiesOf } from "./policies.ts";

/** A pool setting of HTTP/2 is given for a service that is reached by HTTP/1.1. */
export const http2OnlySetting: Analyzer = {
  code: "WF1142",
  level: "warning",
  also: [],
  title: "a setting needs HTTP/2",
  explain: `maxConcurrentStreams and http2KeepAlive act only on ports that are declared to be HTTP/2: those named http2 or
grpc, or with such an appProtocol. On others they are passed over, as in Istio also where h2UpgradePolicy makes the
connections HTTP/2. The check is made only where the service's ports are known.`,
  run: ({ of, serviceFor }) =>
    of("DestinationRule").flatMap((object) =>
      policiesOf(object).flatMap(({ policy, path }) => {
        const http = policy.connectionPool?.http;
        const field = settingOf(http);
        if (field === undefined) return [];
        const ports = serviceFor(object.spec.host, object.namespace)?.ports ?? [];
        const only = "port" in policy ? policy.port?.number : undefined;
        const held = ports.filter(({ number }) => only === undefined || number === only);
        if (held.length === 0 || held.some(isHttp2)) return [];
        const message =
          `${field} acts only on ports declared as HTTP/2, and "${object.spec.host}" has none here: ` +
          "name the port http2 or grpc";
        return [{ object, path: [...path, "connectionPool", "http", field], message }];
      }),
    ),
  example: {
    bad: `
apiVersion: v1
kind: Service
metadata: {name: feed}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: feed}
spec:
  host: feed
  trafficPolicy: {connectionPool: {http: {maxConcurrentStreams: 50}}}
`,
    good: `
apiVersion: v1
kind: Service
metadata: {name: feed}
spec: {ports: [{name: http2, port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: feed}
spec:
  host: feed
  trafficPolicy: {connectionPool: {http: {maxConcurrentStreams: 50}}}
`,
  },
};

const settingOf = (http: ConnectionPoolSettings["http"]): "maxConcurrentStreams" | "http2KeepAlive" | undefined =>
  http?.maxConcurrentStreams !== undefined
    ? "maxConcurrentStreams"
    : http?.http2KeepAlive === undefined
      ? undefined
      : "http2KeepAlive";

const isHttp2 = ({ protocol }: KnownPort): boolean => ["http2", "grpc", "grpc-web"].includes(protocol);
