/** The parts of TLS contexts that clusters and listeners have in common: key material, trust, parameters. */
import { ConfigError } from "@weft/core/config-error";
import type { SubjectNames } from "@weft/net/tls/peer";
import { refuseParameters } from "@weft/net/tls/tls-material";
import type { DataSourceJson } from "@weft/xds/gen/envoy/config/core/v3/base";
import type {
  CertificateValidationContextJson,
  TlsCertificateJson,
  TlsParametersJson,
} from "@weft/xds/gen/envoy/extensions/transport_sockets/tls/v3/common";
import type { SdsSecretConfigJson } from "@weft/xds/gen/envoy/extensions/transport_sockets/tls/v3/secret";
import type { CommonTlsContextJson } from "@weft/xds/gen/envoy/extensions/transport_sockets/tls/v3/tls";
import { member, oneOf, refuseOthers, required } from "../compile/fields.ts";
import { compileStringTest } from "../matching/string-matcher.ts";
import { type CertificatePins, compilePins } from "./certificate-pins.ts";
import type { SanMatcher, SecretSource, UpstreamTls } from "./cluster.ts";

/** Everything of a CommonTlsContext. */
export interface TlsCommon {
  readonly certificate: SecretSource | undefined;
  /** Those of other types of key, at servers. */
  readonly otherCertificates: readonly SecretSource[];
  readonly trust: SecretSource | undefined;
  readonly sans: readonly SanMatcher[];
  readonly pins: CertificatePins | undefined;
  readonly revoked: SecretSource | undefined;
  readonly alpn: readonly string[];
  readonly minVersion: UpstreamTls["minVersion"];
  readonly maxVersion: UpstreamTls["maxVersion"];
  readonly ciphers: readonly string[];
  readonly curves: readonly string[];
  readonly signatures: readonly string[];
}

type Material = { readonly kind: "pem"; readonly text: string } | { readonly kind: "file"; readonly path: string };

const readSource = (json: DataSourceJson | undefined, at: string): Material | undefined => {
  if (!json) return undefined;
  refuseOthers(json, "DataSource", at, ["filename", "inlineBytes", "inlineString", "watchedDirectory"]);
  if (json.filename) {
    if (json.filename.includes(",")) throw new ConfigError(member(at, "filename"), "must not contain a comma");
    return { kind: "file", path: json.filename };
  }
  if (json.inlineBytes !== undefined) return { kind: "pem", text: Buffer.from(json.inlineBytes, "base64").toString() };
  return { kind: "pem", text: required(json.inlineString, at) };
};

/** Compiles a TlsCertificate given in place or by files. */
export const compileCertificate = (json: TlsCertificateJson, at: string): SecretSource => {
  refuseOthers(json, "TlsCertificate", at, ["certificateChain", "privateKey"]);
  const chainAt = member(at, "certificateChain");
  const keyAt = member(at, "privateKey");
  const chain = required(readSource(json.certificateChain, chainAt), chainAt);
  const key = required(readSource(json.privateKey, keyAt), keyAt);
  if (chain.kind === "pem" && key.kind === "pem")
    return { kind: "inline", certificatePem: chain.text, keyPem: key.text };
  if (chain.kind === "file" && key.kind === "file") return { kind: "named", name: `file:${chain.path},${key.path}` };
  throw new ConfigError(at, "must give certificateChain and privateKey both in place or both as files");
};

const pemSource = (json: DataSourceJson | undefined, at: string): SecretSource | undefined => {
  const pem = readSource(json, at);
  if (!pem) return undefined;
  return pem.kind === "pem" ? { kind: "inline", rootsPem: pem.text } : { kind: "named", name: `file:${pem.path}` };
};

const compileRoots = (json: CertificateValidationContextJson, at: string): SecretSource | undefined =>
  json.systemRootCerts ? { kind: "named", name: "system" } : pemSource(json.trustedCa, member(at, "trustedCa"));

const sanKinds = { EMAIL: "email", DNS: "dns", URI: "uri", IP_ADDRESS: "address" } as const;

const compileSans = (json: CertificateValidationContextJson, at: string): readonly SanMatcher[] => [
  ...(json.matchTypedSubjectAltNames ?? []).map((typed, index): SanMatcher => {
    const here = `${at}.matchTypedSubjectAltNames[${index}]`;
    refuseOthers(typed, "SubjectAltNameMatcher", here, ["sanType", "matcher"]);
    const type = oneOf(typed.sanType, ["EMAIL", "DNS", "URI", "IP_ADDRESS"], "URI", member(here, "sanType"));
    const of = sanKinds[type];
    return { of, ...compileStringTest(required(typed.matcher, member(here, "matcher")), member(here, "matcher")) };
  }),
  ...(json.matchSubjectAltNames ?? []).map(
    (matcher, index): SanMatcher => ({
      of: "any",
      ...compileStringTest(matcher, `${at}.matchSubjectAltNames[${index}]`),
    }),
  ),
];

/** RFC 6125 section 6.4: case does not matter, and a wildcard in the certificate stands for the first label only. */
const isDnsName = (wanted: string, name: string): boolean => {
  const [a, b] = [wanted.toLowerCase(), name.toLowerCase()];
  return a === b || (b.startsWith("*.") && a.indexOf(".") > 0 && a.slice(a.indexOf(".")) === b.slice(1));
};

/** Whether one of a peer's names is one that is looked for, of the kind it is looked for as. */
export const acceptsNames = (
  sans: readonly SanMatcher[],
  { uris, dnsNames, emails, addresses }: SubjectNames,
): boolean =>
  sans.some(({ of, kind, value, test }) => {
    const isName = kind === "exact" ? (name: string) => isDnsName(value, name) : test;
    return (
      ((of === "uri" || of === "any") && uris.some(test)) ||
      ((of === "dns" || of === "any") && dnsNames.some(isName)) ||
      ((of === "email" || of === "any") && emails.some(test)) ||
      ((of === "address" || of === "any") && addresses.some(test))
    );
  });

type Validation = Pick<TlsCommon, "trust" | "sans" | "pins" | "revoked">;

/** Compiles a CertificateValidationContext: roots, what they revoked, and the names and certificates it accepts. */
export const compileValidation = (json: CertificateValidationContextJson, at: string): Validation => {
  refuseOthers(json, "CertificateValidationContext", at, [
    "trustedCa",
    "systemRootCerts",
    "matchTypedSubjectAltNames",
    "matchSubjectAltNames",
    "verifyCertificateSpki",
    "verifyCertificateHash",
    "crl",
    "trustChainVerification",
  ]);
  oneOf(
    json.trustChainVerification,
    ["VERIFY_TRUST_CHAIN"],
    "VERIFY_TRUST_CHAIN",
    member(at, "trustChainVerification"),
  );
  return {
    trust: compileRoots(json, at),
    sans: compileSans(json, at),
    pins: compilePins(json, at),
    revoked: pemSource(json.crl, member(at, "crl")),
  };
};

/** A secret that SDS gives; by which cluster is not looked at: whoever has it may give it. */
const named = (json: SdsSecretConfigJson, at: string): SecretSource => {
  refuseOthers(json, "SdsSecretConfig", at, ["name", "sdsConfig"]);
  return { kind: "named", name: required(json.name, member(at, "name")) };
};

const compileIdentities = (json: CommonTlsContextJson, at: string): readonly SecretSource[] => {
  const sdsAt = member(at, "tlsCertificateSdsSecretConfigs");
  const sds = (json.tlsCertificateSdsSecretConfigs ?? []).map((one, i) => named(one, `${sdsAt}[${i}]`));
  const inlineAt = member(at, "tlsCertificates");
  const inline = (json.tlsCertificates ?? []).map((one, i) => compileCertificate(one, `${inlineAt}[${i}]`));
  return sds.length > 0 ? sds : inline;
};

const noValidation: Validation = { trust: undefined, sans: [], pins: undefined, revoked: undefined };

const compileTrust = (json: CommonTlsContextJson, at: string): Validation => {
  const sds = json.validationContextSdsSecretConfig;
  if (sds) return { ...noValidation, trust: named(sds, member(at, "validationContextSdsSecretConfig")) };
  if (json.validationContext) return compileValidation(json.validationContext, member(at, "validationContext"));
  const combined = json.combinedValidationContext;
  if (!combined) return noValidation;
  const combinedAt = member(at, "combinedValidationContext");
  refuseOthers(combined, "CombinedValidationContext", combinedAt, [
    "defaultValidationContext",
    "validationContextSdsSecretConfig",
  ]);
  const base = compileValidation(
    combined.defaultValidationContext ?? {},
    member(combinedAt, "defaultValidationContext"),
  );
  const over = combined.validationContextSdsSecretConfig;
  return over ? { ...base, trust: named(over, member(combinedAt, "validationContextSdsSecretConfig")) } : base;
};

const compileParameters = (
  json: TlsParametersJson,
  at: string,
): Pick<TlsCommon, "minVersion" | "maxVersion" | "ciphers" | "curves" | "signatures"> => {
  refuseOthers(json, "TlsParameters", at, [
    "tlsMinimumProtocolVersion",
    "tlsMaximumProtocolVersion",
    "cipherSuites",
    "ecdhCurves",
    "signatureAlgorithms",
  ]);
  // Versions before 1.2 are never spoken: a lower minimum means 1.2.
  const least = json.tlsMinimumProtocolVersion ?? "TLS_AUTO";
  const most = oneOf(
    json.tlsMaximumProtocolVersion,
    ["TLS_AUTO", "TLSv1_2", "TLSv1_3"],
    "TLS_AUTO",
    member(at, "tlsMaximumProtocolVersion"),
  );
  const minVersion = least === "TLSv1_3" ? "TLSv1.3" : "TLSv1.2";
  const maxVersion = most === "TLSv1_2" ? "TLSv1.2" : "TLSv1.3";
  if (minVersion > maxVersion) throw new ConfigError(at, "the minimum protocol version is above the maximum");
  const rules = {
    minVersion,
    maxVersion,
    // BoringSSL writes ciphers that are equally good to it as `[A|B]`.
    ciphers: (json.cipherSuites ?? []).flatMap((cipher) => cipher.replace(/^\[|\]$/g, "").split("|")),
    curves: json.ecdhCurves ?? [],
    signatures: json.signatureAlgorithms ?? [],
  } as const;
  const problem = refuseParameters(rules);
  if (problem !== undefined) throw new ConfigError(at, problem);
  return rules;
};

/** What nobody vouches for proves nothing: with no roots to check the peer by, it would be passed over. */
const refuseUnproven = (validation: Validation, at: string): Validation => {
  const { sans, pins, revoked, trust } = validation;
  if (trust !== undefined || (sans.length === 0 && pins === undefined && revoked === undefined)) return validation;
  const by = sans.length > 0 ? "name" : pins ? "certificate" : "lists of revoked ones";
  throw new ConfigError(at, `accepts peers by ${by} without trusted roots to check them by`);
};

/** Compiles a CommonTlsContext. */
export const compileTlsCommon = (json: CommonTlsContextJson, at: string): TlsCommon => {
  refuseOthers(json, "CommonTlsContext", at, [
    "tlsParams",
    "tlsCertificates",
    "tlsCertificateSdsSecretConfigs",
    "validationContext",
    "validationContextSdsSecretConfig",
    "combinedValidationContext",
    "alpnProtocols",
  ]);
  const [certificate, ...otherCertificates] = compileIdentities(json, at);
  return {
    certificate,
    otherCertificates,
    ...refuseUnproven(compileTrust(json, at), at),
    alpn: json.alpnProtocols ?? [],
    ...compileParameters(json.tlsParams ?? {}, member(at, "tlsParams")),
  };
};
