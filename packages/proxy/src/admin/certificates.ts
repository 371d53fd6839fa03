/** `/certs`: the certificates in use, from the secrets in force. */
import { X509Certificate } from "node:crypto";
import type { JsonObject } from "@bufbuild/protobuf";
import type { SecretJson } from "@weft/xds/gen/envoy/extensions/transport_sockets/tls/v3/secret";
import type { ResourceStore } from "../discovery/resource-store.ts";

type DataSource = NonNullable<NonNullable<SecretJson["tlsCertificate"]>["certificateChain"]>;

const dayMs = 86_400_000;
const pemBlock = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

const textOf = (source: DataSource | undefined): string =>
  source?.inlineString ?? (source?.inlineBytes ? Buffer.from(source.inlineBytes, "base64").toString("utf8") : "");
const pathOf = (source: DataSource | undefined): string => source?.filename ?? "<inline>";

const describe = (certificate: X509Certificate, path: string, nowMs: number): JsonObject => {
  const until = Date.parse(certificate.validTo);
  const names = (certificate.subjectAltName ?? "").split(", ").flatMap((name): JsonObject[] => {
    if (name.startsWith("URI:")) return [{ uri: name.slice(4) }];
    if (name.startsWith("DNS:")) return [{ dns: name.slice(4) }];
    return name.startsWith("IP Address:") ? [{ ip_address: name.slice(11) }] : [];
  });
  return {
    path,
    serial_number: certificate.serialNumber.toLowerCase(),
    subject_alt_names: names,
    days_until_expiration: String(Math.max(0, Math.floor((until - nowMs) / dayMs))),
    valid_from: new Date(Date.parse(certificate.validFrom)).toISOString(),
    expiration_time: new Date(until).toISOString(),
  };
};

/** What cannot be read as a certificate is left out: it is not in use either. */
const readAll = (source: DataSource | undefined, nowMs: number): readonly JsonObject[] =>
  (textOf(source).match(pemBlock) ?? []).flatMap((pem) => {
    try {
      return [describe(new X509Certificate(pem), pathOf(source), nowMs)];
    } catch {
      return [];
    }
  });

export const certificatesJson = (store: ResourceStore, nowMs: number): JsonObject => ({
  certificates: [...store.entries("secret").values()].flatMap(({ active }): JsonObject[] => {
    const secret = active?.json as SecretJson | undefined;
    if (secret?.tlsCertificate) {
      const [leaf, ...chain] = readAll(secret.tlsCertificate.certificateChain, nowMs);
      return [{ ca_cert: chain, cert_chain: leaf ? [leaf] : [] }];
    }
    return secret?.validationContext ? [{ ca_cert: [...readAll(secret.validationContext.trustedCa, nowMs)] }] : [];
  }),
});
