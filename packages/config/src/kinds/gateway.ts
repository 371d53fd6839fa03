/** Gateway: which ports and hosts an edge proxy opens, and with which TLS. */
import { bool, type Infer, list, mapOf, object, oneWord, port, required, text } from "../schema/schema.ts";
import { tlsVersion } from "./common.ts";
import { validateGateway } from "./gateway-rules.ts";
import { defineKind, type Kind } from "./kind.ts";

const tlsCertificate = object("A certificate with its key.", {
  serverCertificate: text("File with the certificate."),
  privateKey: text("File with the key."),
  caCertificates: text("File with the authorities that sign client certificates."),
});

export const serverTlsSettings = object(
  "TLS of a server.",
  {
    httpsRedirect: bool("Answer plain HTTP with a redirect to HTTPS.", { default: "false" }),
    mode: oneWord(
      ["PASSTHROUGH", "SIMPLE", "MUTUAL", "AUTO_PASSTHROUGH", "ISTIO_MUTUAL", "OPTIONAL_MUTUAL"],
      "How connections are secured.",
      { default: "PASSTHROUGH" },
    ),
    serverCertificate: text("File with the certificate."),
    privateKey: text("File with the key."),
    caCertificates: text("File with the authorities that sign client certificates."),
    caCrl: text("File with revoked client certificates."),
    credentialName: text("Secret with certificate and key."),
    credentialNames: list(text("Secret.", { minLength: 1 }), "Secrets, one per key type.", {
      minItems: 1,
      maxItems: 2,
    }),
    caCertCredentialName: text("Secret with the authorities that sign client certificates."),
    tlsCertificates: list(tlsCertificate, "Certificates, one per key type.", { minItems: 1, maxItems: 2 }),
    subjectAltNames: list(text("A name."), "Names of which a client certificate must have one."),
    verifyCertificateSpki: list(text("Base64 of SHA-256."), "Hashes of allowed client keys."),
    verifyCertificateHash: list(text("Hex of SHA-256."), "Hashes of allowed client certificates."),
    minProtocolVersion: tlsVersion,
    maxProtocolVersion: tlsVersion,
    cipherSuites: list(text("A cipher suite."), "Cipher suites, in order of preference."),
    insecureSkipVerify: bool("Accept client certificates that do not verify.", { default: "false" }),
  },
  { oneOf: [["credentialName", "credentialNames", "tlsCertificates", "serverCertificate"]] },
);
export interface ServerTlsSettings extends Infer<typeof serverTlsSettings> {}

const server = object("A port with the hosts served there.", {
  port: required(
    object("The port.", {
      number: required(port("Port number.")),
      protocol: required(text("HTTP, HTTPS, GRPC, GRPC-WEB, HTTP2, MONGO, TCP or TLS.", { minLength: 1 })),
      name: required(text("Name of the port.", { minLength: 1 })),
      targetPort: port("Not used.", { deprecated: "leave it out" }),
    }),
  ),
  bind: text("Address to listen at."),
  hosts: required(
    list(
      text("`[NAMESPACE/]HOST`.", { format: "gatewayHost" }),
      "Hosts served, with the namespaces they may come from.",
      {
        minItems: 1,
      },
    ),
  ),
  tls: serverTlsSettings,
  defaultEndpoint: text("Not implemented by Istio."),
  name: text("Name of the server."),
});
export interface GatewayServer extends Infer<typeof server> {}

export const gatewaySpec = object("Servers of the edge proxies selected.", {
  servers: list(server, "Ports and hosts."),
  selector: mapOf(text("The label's value.", { format: "labelValue" }), "Labels of the edge proxies."),
});
export interface GatewaySpec extends Infer<typeof gatewaySpec> {}

export const gateway: Kind = defineKind({
  name: "Gateway",
  plural: "gateways",
  shortNames: ["gw"],
  group: "networking.istio.io",
  versions: ["v1", "v1beta1", "v1alpha3"],
  about: "Opens ports at edge proxies for hosts; VirtualServices attach routes to it.",
  schema: gatewaySpec,
  validate: validateGateway,
});
