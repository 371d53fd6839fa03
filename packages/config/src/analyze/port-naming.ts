import type { ConfigOf } from "../config-object.ts";
import type { Analyzer } from "./analyzer.ts";

const words = new Set(["http", "https", "http2", "grpc", "grpc-web", "tcp", "tls", "mongo", "redis", "mysql", "udp"]);
const applicationProtocols = new Set([
  ...words,
  "kubernetes.io/h2c",
  "kubernetes.io/ws",
  "kubernetes.io/wss",
  "h2c",
  "hbone",
]);

/** A Service's port does not say which protocol it speaks. */
export const portNaming: Analyzer = {
  code: "WF1139",
  level: "info",
  also: ["IST0118", "IST0150", "KIA0601", "KIA0602"],
  title: "a port's name does not tell its protocol",
  explain: `The protocol of a Service's port is its appProtocol, else the part of its name before the first dash: http,
https, http2, grpc, grpc-web, tcp, tls, mongo, redis, mysql. Other names are accepted, and the proxy looks at the first
bytes of each connection instead. That works for HTTP and for protocols in which the client speaks first; name the
port to be sure, and to have HTTP/2 and TLS policies applied.`,
  run: ({ of }) =>
    of("Service").flatMap((object) =>
      (object.spec.ports ?? []).flatMap((port, index) => {
        const message = problemOf(object, port);
        return message === undefined ? [] : [{ object, path: ["spec", "ports", index], message }];
      }),
    ),
  example: {
    bad: `
apiVersion: v1
kind: Service
metadata: {name: forum}
spec: {ports: [{name: web, port: 80}]}
`,
    good: `
apiVersion: v1
kind: Service
metadata: {name: forum}
spec: {ports: [{name: http-web, port: 80}]}
`,
  },
};

type ServicePort = NonNullable<ConfigOf<"Service">["spec"]["ports"]>[number];

const problemOf = ({ spec }: ConfigOf<"Service">, port: ServicePort): string | undefined => {
  const { name = "", appProtocol, protocol = "TCP" } = port;
  if (protocol !== "TCP") return undefined;
  if (appProtocol !== undefined) {
    if (applicationProtocols.has(appProtocol.toLowerCase())) return undefined;
    return `appProtocol "${appProtocol}" is none weft knows, so the protocol is found by looking: write http, tcp or the like`;
  }
  const lower = name.toLowerCase();
  if (lower.startsWith("grpc-web") || words.has(lower.split("-")[0] ?? "")) return undefined;
  if (spec.type === "ExternalName" && name === "") {
    return "a port of an ExternalName Service needs a name that tells its protocol: write tcp, tls or http";
  }
  const start = name === "" ? `port ${port.port} has no name` : `port name "${name}" does not begin with a protocol`;
  const cure =
    name === "" ? "name it http, tcp or the like" : `name it http-${name} or tcp-${name}, or set appProtocol`;
  return `${start}, so the protocol is found by looking: ${cure}`;
};
