/** TLS of a Gateway's server: the mesh's own, files, or Secrets of the gateway's namespace. */
import type { ServerTlsSettings } from "@weft/config/kinds/gateway";
import type { TransportSocketJson } from "@weft/xds/gen/envoy/config/core/v3/base";
import type { CertificateValidationContextJson } from "@weft/xds/gen/envoy/extensions/transport_sockets/tls/v3/common";
import type { SecretJson } from "@weft/xds/gen/envoy/extensions/transport_sockets/tls/v3/secret";
import type { CommonTlsContextJson } from "@weft/xds/gen/envoy/extensions/transport_sockets/tls/v3/tls";
import { any } from "@weft/xds/resource";
import type { Scope } from "./scope.ts";
import { authoritiesSecret, certificateSecret, withheld } from "./secrets.ts";
import { exactName, fromAds, meshServerSocket } from "./tls-contexts.ts";

/** A socket with the secrets it names, or why there can be none. */
export type ServerSocket =
  | {
      readonly kind: "socket";
      readonly socket: TransportSocketJson;
      readonly secrets: readonly SecretJson[];
      /** What is done otherwise than asked for, on the safe side. */
      readonly warnings: readonly string[];
    }
  | { readonly kind: "none"; readonly why: string };

export interface ServerTls {
  readonly tls: ServerTlsSettings;
  /** Requests are read behind it, not only bytes carried. */
  readonly requests: boolean;
}

export const serverSocket = (scope: Scope, input: ServerTls): ServerSocket => {
  const { tls } = input;
  if (tls.mode === "ISTIO_MUTUAL") return meshSocket(scope, input);
  const refused = scope.proxy.native ? refusedHere(tls) : undefined;
  if (refused) return { kind: "none", why: refused };
  const credentials = [...(tls.credentialNames ?? []), ...(tls.credentialName ? [tls.credentialName] : [])];
  const unknown = (tls.cipherSuites ?? []).filter((cipher) => !ciphers.has(cipher));
  const warnings = unknown.map((cipher) => `cipher suite ${cipher} is not known and not used`);
  const keys = credentials.length > 0 ? keysFromSecrets(scope, credentials) : keysFromFiles(tls);
  if (keys.kind === "none") return keys;
  const trust = clientTrust(scope, tls, credentials[0]);
  if (trust.kind === "none") return trust;
  if (scope.proxy.native && tls.insecureSkipVerify) {
    warnings.push("weft's gateway verifies client certificates whatever insecureSkipVerify says");
  }
  return {
    kind: "socket",
    secrets: [...keys.secrets, ...trust.secrets],
    warnings,
    socket: {
      name: "envoy.transport_sockets.tls",
      typedConfig: any("envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext", {
        commonTlsContext: {
          alpnProtocols: ["h2", "http/1.1"],
          ...parameters(tls),
          ...keys.context,
          ...trust.context,
        },
        requireClientCertificate: tls.mode === "MUTUAL",
      }),
    },
  };
};

type Found =
  | { readonly kind: "found"; readonly context: CommonTlsContextJson; readonly secrets: readonly SecretJson[] }
  | { readonly kind: "none"; readonly why: string };

/** What weft's own gateway cannot speak. */
const refusedHere = ({ maxProtocolVersion: most }: ServerTlsSettings): string | undefined =>
  most === "TLSV1_0" || most === "TLSV1_1"
    ? `weft's gateway speaks TLS 1.2 and 1.3, not ${most}: the server is left out`
    : undefined;

const meshSocket = ({ model, proxy }: Scope, { tls, requests }: ServerTls): ServerSocket => {
  const { sdsCluster } = proxy;
  if (!sdsCluster) {
    return { kind: "none", why: "the gateway has no source of the mesh's keys (node metadata WEFT_SDS)" };
  }
  const { trustDomain } = model.mesh;
  const names = tls.subjectAltNames ?? [];
  const socket = meshServerSocket({ sdsCluster, trustDomain, http: requests, names });
  return { kind: "socket", socket, secrets: [], warnings: [] };
};

const parameters = (tls: ServerTlsSettings): CommonTlsContextJson => {
  const least = tlsVersion(tls.minProtocolVersion) ?? "TLSv1_2";
  const most = tlsVersion(tls.maxProtocolVersion);
  const cipherSuites = (tls.cipherSuites ?? []).filter((cipher) => ciphers.has(cipher));
  return {
    tlsParams: {
      tlsMinimumProtocolVersion: least,
      ...(most ? { tlsMaximumProtocolVersion: most } : {}),
      ...(cipherSuites.length > 0 ? { cipherSuites } : {}),
    },
  };
};

/** What Envoy knows of those before TLS 1.3; it refuses a list with any other. */
const ciphers = new Set([
  "ECDHE-ECDSA-AES256-GCM-SHA384",
  "ECDHE-RSA-AES256-GCM-SHA384",
  "ECDHE-ECDSA-AES128-GCM-SHA256",
  "ECDHE-RSA-AES128-GCM-SHA256",
  "ECDHE-ECDSA-CHACHA20-POLY1305",
  "ECDHE-RSA-CHACHA20-POLY1305",
  "AES256-GCM-SHA384",
  "AES128-GCM-SHA256",
  "ECDHE-ECDSA-AES256-SHA",
  "ECDHE-RSA-AES256-SHA",
  "ECDHE-ECDSA-AES128-SHA",
  "ECDHE-RSA-AES128-SHA",
  "AES256-SHA",
  "AES128-SHA",
]);

const versions = new Map([
  ["TLSV1_0", "TLSv1_0"],
  ["TLSV1_1", "TLSv1_1"],
  ["TLSV1_2", "TLSv1_2"],
  ["TLSV1_3", "TLSv1_3"],
] as const);

const tlsVersion = (version: ServerTlsSettings["minProtocolVersion"]) =>
  version === undefined || version === "TLS_AUTO" ? undefined : versions.get(version);

const fromSecret = (name: string | undefined) => ({ name: name ?? "", sdsConfig: fromAds });

const keysFromSecrets = (scope: Scope, credentials: readonly string[]): Found => {
  const secrets: SecretJson[] = [];
  for (const credential of credentials) {
    const secret = certificateSecret(scope, credential);
    if (!secret) {
      const why =
        `namespace ${scope.proxy.namespace} of the gateway has no Secret "${credential}" with tls.crt and tls.key` +
        `${withheld(scope)}: the server is left out`;
      return { kind: "none", why };
    }
    secrets.push(secret);
  }
  const context = { tlsCertificateSdsSecretConfigs: secrets.map(({ name }) => fromSecret(name)) };
  return { kind: "found", context, secrets };
};

const keysFromFiles = (tls: ServerTlsSettings): Found => {
  const files = tls.tlsCertificates ?? [tls];
  const tlsCertificates = files.flatMap(({ serverCertificate, privateKey }) =>
    serverCertificate && privateKey
      ? [{ certificateChain: { filename: serverCertificate }, privateKey: { filename: privateKey } }]
      : [],
  );
  if (tlsCertificates.length === 0) {
    return { kind: "none", why: "the server has neither credentialName nor serverCertificate with privateKey" };
  }
  return { kind: "found", context: { tlsCertificates }, secrets: [] };
};

/** Whom clients must be signed by, and which names they may have. */
const clientTrust = (scope: Scope, tls: ServerTlsSettings, credential: string | undefined): Found => {
  const none = { kind: "found", context: {}, secrets: [] } as const;
  if (tls.mode !== "MUTUAL" && tls.mode !== "OPTIONAL_MUTUAL") return none;
  const checks: CertificateValidationContextJson = {
    ...(tls.subjectAltNames?.length ? { matchTypedSubjectAltNames: tls.subjectAltNames.map(exactName) } : {}),
    ...(tls.verifyCertificateSpki?.length ? { verifyCertificateSpki: [...tls.verifyCertificateSpki] } : {}),
    ...(tls.verifyCertificateHash?.length ? { verifyCertificateHash: [...tls.verifyCertificateHash] } : {}),
    ...(tls.caCrl ? { crl: { filename: tls.caCrl } } : {}),
    ...(tls.insecureSkipVerify && !scope.proxy.native ? { trustChainVerification: "ACCEPT_UNTRUSTED" } : {}),
  };
  const files = tls.caCertificates ?? tls.tlsCertificates?.find(({ caCertificates }) => caCertificates)?.caCertificates;
  const named = tls.caCertCredentialName ?? credential;
  if (named === undefined || (files && !tls.caCertCredentialName)) {
    if (!files) return { kind: "none", why: `tls.mode ${tls.mode} has no caCertificates: the server is left out` };
    return { ...none, context: { validationContext: { ...checks, trustedCa: { filename: files } } } };
  }
  const secret = authoritiesSecret(scope, named);
  if (!secret) {
    const why =
      `namespace ${scope.proxy.namespace} of the gateway has no Secret "${named}" or "${named}-cacert" with ca.crt: ` +
      "the server is left out";
    return { kind: "none", why };
  }
  return {
    kind: "found",
    secrets: [secret],
    context: {
      combinedValidationContext: {
        defaultValidationContext: checks,
        validationContextSdsSecretConfig: fromSecret(secret.name),
      },
    },
  };
};
