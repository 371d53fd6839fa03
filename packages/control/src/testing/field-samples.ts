/** Values to try in each field of a kind: from its schema, or from a table where only certain values mean something. */
import { type Leaf, type LeafPath, leafName, type SampleOf } from "@weft/config/schema/leaves";
import type { Schema } from "@weft/config/schema/schema";

const host = "app.default.svc.cluster.local";

/** By the end of a field's name: values that meet something in the mesh of `field-mesh.ts`. The first match holds. */
const table: readonly (readonly [RegExp, readonly unknown[]])[] = [
  [/sniHosts\[\]$/, ["secure.example", "a.secure.example"]],
  [/destination\.host$|mirror\.host$|egressProxy\.host$/, [host, "kube.default.svc.cluster.local"]],
  [/^host$/, [host, "kube.default.svc.cluster.local"]],
  [/egress\[\]\.hosts\[\]$/, ["./*", "default/app.default.svc.cluster.local"]],
  [/servers\[\]\.hosts\[\]$/, ["*/site.example", "*/shop.example"]],
  [/^match\.hosts\[\]$|^hosts\[\]$/, [host, "site.example", "other.example"]],
  [/delegate\.name$/, ["inner", "inner-other"]],
  [/delegate\.namespace$/, ["default", "other"]],
  [/gateways\[\]$/, ["default/edge", "mesh"]],
  [/subset$/, ["v1", "v2"]],
  [/exportTo\[\]$|ExportTo\[\]$/, [".", "other", "~"]],
  [/sourceNamespace$/, ["default", "other"]],
  [/subsets\[\]\.labels$|endpoints\[\]\.labels$/, [{ version: "v1" }, { version: "v2" }]],
  [/[lL]abels$|^selector$/, [{ app: "app" }, { app: "web" }, { istio: "edge" }, { app: "entry" }, { app: "none" }]],
  [/(destinationSubnets\[\]|sourceSubnet)$/, ["10.9.0.0/16", "10.8.0.1"]],
  [/match\[\]\.port$|port\.number$|targetPort$|^portNumber$/, [80, 90, 3306, 8080, 443]],
  [/portNumber$|destinationPort$/, [80, 8080, 3306]],
  [/(distribute|failover)\[\]\.from$/, ["r1", "r2"]],
  [/failover\[\]\.to$/, ["r2", "r3"]],
  [/distribute\[\]\.to$/, [{ "r1/*": 100 }, { "r2/*": 100 }]],
  [/failoverPriority\[\]$/, ["version", "rack"]],
  [/locality$/, ["r1/z1/s1", "r2/z2/s2"]],
  [/tableSize$/, [65_537, 131_071]],
  [/budgetInterval$/, ["3s", "9s"]],
  [/patch\.value$/, [{ connect_timeout: "4s" }, { connect_timeout: "5s" }]],
  [/routeConfiguration\.gateway$/, ["default/edge", "default/other"]],
  [/routeConfiguration\.portName$/, ["http", "other"]],
  [/redirectCode$/, [302, 307]],
  [/redirect\.scheme$/, ["https", "http"]],
  [/retryOn$/, ["5xx", "reset"]],
  [/grpcStatus$/, ["UNAVAILABLE", "INTERNAL"]],
  [/body\.bytes$/, ["aGk=", "aG8="]],
  [/protocol$/, ["HTTP", "TCP", "TLS", "HTTP2", "GRPC", "HTTPS"]],
  [/addresses\[\]$|^clusterIPs?(\[\])?$/, ["10.9.0.77", "10.9.0.78"]],
  [/address$/, ["10.3.0.1", "10.3.0.2"]],
  [/defaultEndpoint$/, ["127.0.0.1:7000", "unix:///run/app.sock"]],
  [/bind$/, ["127.0.0.1", "10.0.0.7"]],
  [/principals\[\]$|notPrincipals\[\]$|equestPrincipals\[\]$/i, ["cluster.local/ns/default/sa/web", "*"]],
  [/operation\.(not)?[pP]orts\[\]$/, ["80", "8080"]],
  [/operation\.(not)?[mM]ethods\[\]$/, ["GET", "POST"]],
  [/operation\.(not)?[pP]aths\[\]$/, ["/a", "/b*"]],
  [/when\[\]\.key$/, ["request.headers[x-a]", "source.ip"]],
  [/when\[\]\.(not)?[vV]alues\[\]$/, ["10.0.0.1", "10.0.0.2"]],
  [/provider\.name$/, ["checker"]],
  [/serviceAccounts?\[?\]?$/i, ["web", "default/app"]],
  [/cipherSuites\[\]$/, ["ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-GCM-SHA256"]],
  [/accessLogFile$/, ["/dev/stdout", "/dev/stderr"]],
  [/fixedDelay$/, ["2s", "3s"]],
  [/proxyVersion$/, ["^1\\.31", "^1\\.2"]],
  [/network$/, ["n1", "n2"]],
  [/rootNamespace$/, ["default", "mesh-root"]],
];

const formats: Readonly<Record<string, readonly unknown[]>> = {
  dnsName: ["one.example", "two.example"],
  serviceHost: [host],
  destinationHost: [host],
  host: [host, "two.example"],
  gatewayHost: ["*/site.example"],
  sidecarHost: ["./*"],
  ip: ["10.9.0.1", "10.9.0.2"],
  ipOrCidr: ["10.9.0.1", "10.9.0.0/16"],
  regex: ["a.*", "b+"],
  regexOrPresence: ["a.*", "*"],
  headerName: ["x-one", "x-two"],
  labelValue: ["one", "two"],
  namespaceScope: [".", "other"],
};

/** Maps of which the entries mean something only together are written whole. */
export const asWritten = ({ path, schema }: Leaf): Leaf =>
  path.at(-1) === "*" && table.some(([pattern]) => pattern.test(leafName(path.slice(0, -1))))
    ? { path: path.slice(0, -1), schema: { kind: "any", about: "" } }
    : { path, schema };

/** At least one value; where there is a choice, values that mean different things. */
export const samplesFor = ({ path, schema }: Leaf): readonly unknown[] => {
  const name = leafName(path);
  const known = table.find(([pattern]) => pattern.test(name));
  if (known && schema.kind !== "enum" && schema.kind !== "bool") return known[1];
  return fromSchema(schema);
};

const fromSchema = (schema: Schema): readonly unknown[] => {
  switch (schema.kind) {
    case "string":
      return schema.format === undefined ? ["one", "two"] : (formats[schema.format] ?? ["one"]);
    case "enum":
      return schema.values;
    case "bool":
      return [true, false];
    case "duration":
      return ["7s", "11s"];
    case "int":
    case "number": {
      const [min, max] = [schema.min ?? 0, schema.max ?? 1000];
      return [7, 503, 40].map((value) => Math.min(max, Math.max(min, value)));
    }
    case "intOrString":
      return [8080, "http"];
    default:
      return [{}];
  }
};

/** The first value to try, for fields that must be there. */
export const firstSample: SampleOf = (schema: Schema, path: LeafPath) => {
  const name = leafName(path);
  if (name.endsWith(".key") && schema.about === "") return mapKey(name);
  return samplesFor({ path, schema })[0];
};

/** Names of entries in maps. */
const mapKey = (name: string): string => {
  if (/distribute\[\]\.to\.key$/.test(name)) return "r2/*";
  if (/portLevelMtls/.test(name)) return "8080";
  if (/ports\.key$/.test(name)) return "http";
  if (/^selector\.key$/.test(name)) return "istio";
  if (/subsets\[\]\.labels\.key$|endpoints\[\]\.labels\.key$/.test(name)) return "version";
  if (/[lL]abels\.key$/.test(name)) return "app";
  return "x-sample";
};
