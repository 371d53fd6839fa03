/** Transport sockets: the mesh's mTLS by SDS secrets `default` and `ROOTCA`, and TLS as DestinationRules ask for it. */
import type { ClientTlsSettings } from "@weft/config/kinds/destination-rule";
import { isIPv4, isIPv6 } from "@weft/core/ip";
import type { TransportSocketJson } from "@weft/xds/gen/envoy/config/core/v3/base";
import type { ConfigSourceJson } from "@weft/xds/gen/envoy/config/core/v3/config_source";
import type { SubjectAltNameMatcherJson } from "@weft/xds/gen/envoy/extensions/transport_sockets/tls/v3/common";
import type { CommonTlsContextJson } from "@weft/xds/gen/envoy/extensions/transport_sockets/tls/v3/tls";
import { any } from "@weft/xds/resource";
import { isHttp, type Protocol } from "../model/protocol.ts";

const tlsPackage = "envoy.extensions.transport_sockets.tls.v3";

/** Resources that come on the same stream. `0s`: wait for them as long as it takes. */
export const fromAds: ConfigSourceJson = { ads: {}, initialFetchTimeout: "0s", resourceApiVersion: "V3" };

const fromSds = (clusterName: string): ConfigSourceJson => ({
  apiConfigSource: {
    apiType: "GRPC",
    transportApiVersion: "V3",
    setNodeOnFirstMessageOnly: true,
    grpcServices: [{ envoyGrpc: { clusterName } }],
  },
  initialFetchTimeout: "0s",
  resourceApiVersion: "V3",
});

export const plaintextSocket: TransportSocketJson = {
  name: "envoy.transport_sockets.raw_buffer",
  typedConfig: any("envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer", {}),
};

export const exactName = (exact: string): SubjectAltNameMatcherJson => ({
  sanType: exact.includes("://") ? "URI" : isIPv4(exact) || isIPv6(exact) ? "IP_ADDRESS" : "DNS",
  matcher: { exact },
});

const meshTlsContext = (sdsCluster: string, sans: readonly SubjectAltNameMatcherJson[]): CommonTlsContextJson => ({
  tlsCertificateSdsSecretConfigs: [{ name: "default", sdsConfig: fromSds(sdsCluster) }],
  combinedValidationContext: {
    defaultValidationContext: sans.length > 0 ? { matchTypedSubjectAltNames: [...sans] } : {},
    validationContextSdsSecretConfig: { name: "ROOTCA", sdsConfig: fromSds(sdsCluster) },
  },
});

/**
 * ALPN towards mesh peers. Our sidecar sets it per request by the HTTP version (`istio.alpn`); stock Envoy cannot, so
 * there the declared protocol decides, and the server's HTTP filter chain matches.
 */
const clientAlpn = ({ protocol, native, http2 }: MeshClientTls): string[] => {
  if (native) return ["istio-peer-exchange", "istio", ...(http2 ? ["h2"] : [])];
  if (http2) return ["istio-h2", "istio", "h2"];
  return isHttp(protocol) ? ["istio-http/1.1", "istio", "http/1.1"] : ["istio"];
};

export interface MeshClientTls {
  readonly sdsCluster: string;
  readonly native: boolean;
  readonly identities: readonly string[];
  readonly protocol: Protocol;
  /** Requests go out over HTTP/2 whatever the client speaks. */
  readonly http2: boolean;
  readonly sni: string;
}

export const meshClientSocket = (tls: MeshClientTls): TransportSocketJson => ({
  name: "envoy.transport_sockets.tls",
  typedConfig: any(`${tlsPackage}.UpstreamTlsContext`, {
    commonTlsContext: {
      tlsParams: { tlsMinimumProtocolVersion: "TLSv1_2", tlsMaximumProtocolVersion: "TLSv1_3" },
      alpnProtocols: clientAlpn(tls),
      ...meshTlsContext(tls.sdsCluster, tls.identities.map(exactName)),
    } satisfies CommonTlsContextJson,
    sni: tls.sni,
  }),
});

const serverCiphers = [
  "ECDHE-ECDSA-AES256-GCM-SHA384",
  "ECDHE-RSA-AES256-GCM-SHA384",
  "ECDHE-ECDSA-AES128-GCM-SHA256",
  "ECDHE-RSA-AES128-GCM-SHA256",
];

/** The server's side of mesh mTLS: a client certificate of this trust domain is required. */
export const meshServerSocket = (options: {
  readonly sdsCluster: string;
  readonly trustDomain: string;
  readonly http: boolean;
  /** Names of which a client must have one, instead of any of the trust domain. */
  readonly names?: readonly string[];
}): TransportSocketJson => ({
  name: "envoy.transport_sockets.tls",
  typedConfig: any(`${tlsPackage}.DownstreamTlsContext`, {
    commonTlsContext: {
      tlsParams: {
        tlsMinimumProtocolVersion: "TLSv1_2",
        tlsMaximumProtocolVersion: "TLSv1_3",
        cipherSuites: serverCiphers,
      },
      alpnProtocols: options.http ? ["h2", "http/1.1", "istio"] : ["istio-peer-exchange", "istio", "h2", "http/1.1"],
      ...meshTlsContext(
        options.sdsCluster,
        options.names?.length
          ? options.names.map(exactName)
          : [{ sanType: "URI", matcher: { prefix: `spiffe://${options.trustDomain}/` } }],
      ),
    } satisfies CommonTlsContextJson,
    requireClientCertificate: true,
  }),
});

const systemRoots = "/etc/ssl/certs/ca-certificates.crt";

export interface OriginatedTls {
  /** The service's, asked for where the rule names no other. */
  readonly hostname: string;
  readonly http2: boolean;
  /** Names the service's own definition gives its servers. */
  readonly identities: readonly string[];
  /** Each request's host is verified, so no fixed name is. */
  readonly verifiesHost: boolean;
}

/** Files of authorities as rules name them: none, and Istio's word for it, are the system's. */
const authorities = (file: string | undefined): string => (file && file !== "system" ? file : systemRoots);

/** TLS a DestinationRule asks for towards a server outside the mesh: SIMPLE or MUTUAL, with files or a secret. */
export const originatedTlsSocket = (tls: ClientTlsSettings, options: OriginatedTls): TransportSocketJson => {
  const wild = options.hostname.includes("*");
  const sni = tls.sni ? tls.sni : wild ? "" : options.hostname;
  // Authorities of the system sign for anybody: with no name asked for, whoever has any certificate would be the server.
  const asked = sni === "" || sni.includes("*") || options.verifiesHost ? [] : [sni];
  const names = [tls.subjectAltNames ?? [], options.identities, asked].find(({ length }) => length > 0) ?? [];
  const context: CommonTlsContextJson = {
    tlsParams: { tlsMinimumProtocolVersion: "TLSv1_2", tlsMaximumProtocolVersion: "TLSv1_3" },
    ...(options.http2 ? { alpnProtocols: ["h2"] } : {}),
    ...(tls.credentialName ? secretCredentials(tls, names) : fileCredentials(tls, names)),
  };
  return {
    name: "envoy.transport_sockets.tls",
    typedConfig: any(`${tlsPackage}.UpstreamTlsContext`, { commonTlsContext: context, ...(sni ? { sni } : {}) }),
  };
};

const matching = (names: readonly string[]) =>
  names.length > 0 ? { matchTypedSubjectAltNames: names.map(exactName) } : {};

const fileCredentials = (tls: ClientTlsSettings, names: readonly string[]): CommonTlsContextJson => ({
  ...(tls.mode === "MUTUAL"
    ? {
        tlsCertificates: [
          {
            certificateChain: { filename: tls.clientCertificate ?? "" },
            privateKey: { filename: tls.privateKey ?? "" },
          },
        ],
      }
    : {}),
  ...(tls.insecureSkipVerify
    ? {}
    : {
        validationContext: {
          trustedCa: { filename: authorities(tls.caCertificates) },
          ...(tls.caCrl ? { crl: { filename: tls.caCrl } } : {}),
          ...matching(names),
        },
      }),
});

/** Until the secret comes, connections wait: none goes out without what the rule asks for. */
const secretCredentials = (tls: ClientTlsSettings, names: readonly string[]): CommonTlsContextJson => {
  const credential = tls.credentialName ?? "";
  const name = credential.includes("://") ? credential : `kubernetes://${credential}`;
  return {
    ...(tls.mode === "MUTUAL" ? { tlsCertificateSdsSecretConfigs: [{ name, sdsConfig: fromAds }] } : {}),
    ...(tls.insecureSkipVerify
      ? {}
      : {
          combinedValidationContext: {
            defaultValidationContext: matching(names),
            validationContextSdsSecretConfig: { name: `${name}-cacert`, sdsConfig: fromAds },
          },
        }),
  };
};
