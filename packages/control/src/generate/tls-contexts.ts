/** Transport sockets: the mesh's mTLS by SDS secrets `default` and `ROOTCA`, and TLS as DestinationRules ask for it. */
import type { ClientTlsSettings } from "@weft/config/kinds/destination-rule";
import { isIPv4, isIPv6 } from "@weft/core/ip";
import type { TransportSocketJson } from "@weft/xds/gen/envoy/config/core/v3/base";
import type { ConfigSourceJson } from "@weft/xds/gen/envoy/config/core/v3/config_source";
import type { SubjectAltNameMatcherJson } from "@weft/xds/gen/envoy/extensions/transport_sockets/tls/v3/common";
import type { CommonTlsContextJson } from "@weft/xds/gen/envoy/extensions/transport_sockets/tls/v3/tls";
import { any } from "@weft/xds/resource";
import { isHttp, isHttp2, type Protocol } from "../model/protocol.ts";

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

const exactName = (exact: string): SubjectAltNameMatcherJson => ({
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
const clientAlpn = (protocol: Protocol, native: boolean): string[] => {
  if (native) return ["istio-peer-exchange", "istio", ...(isHttp2(protocol) ? ["h2"] : [])];
  if (isHttp2(protocol)) return ["istio-h2", "istio", "h2"];
  return isHttp(protocol) ? ["istio-http/1.1", "istio", "http/1.1"] : ["istio"];
};

export interface MeshClientTls {
  readonly sdsCluster: string;
  readonly native: boolean;
  readonly identities: readonly string[];
  readonly protocol: Protocol;
  readonly sni: string;
}

export const meshClientSocket = (tls: MeshClientTls): TransportSocketJson => ({
  name: "envoy.transport_sockets.tls",
  typedConfig: any(`${tlsPackage}.UpstreamTlsContext`, {
    commonTlsContext: {
      tlsParams: { tlsMinimumProtocolVersion: "TLSv1_2", tlsMaximumProtocolVersion: "TLSv1_3" },
      alpnProtocols: clientAlpn(tls.protocol, tls.native),
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
      ...meshTlsContext(options.sdsCluster, [
        { sanType: "URI", matcher: { prefix: `spiffe://${options.trustDomain}/` } },
      ]),
    } satisfies CommonTlsContextJson,
    requireClientCertificate: true,
  }),
});

const systemRoots = "/etc/ssl/certs/ca-certificates.crt";

/** TLS a DestinationRule asks for towards a server outside the mesh: SIMPLE or MUTUAL with files. */
export const originatedTlsSocket = (
  tls: ClientTlsSettings,
  options: { readonly sni: string; readonly http2: boolean; readonly identities: readonly string[] },
): TransportSocketJson => {
  const sni = tls.sni ?? options.sni;
  // Authorities of the system sign for anybody: with no name asked for, whoever has any certificate would be the server.
  const asked = sni === "" || sni.includes("*") ? [] : [sni];
  const names = [tls.subjectAltNames ?? [], options.identities, asked].find(({ length }) => length > 0) ?? [];
  const matchers = names.map(exactName);
  const context: CommonTlsContextJson = {
    tlsParams: { tlsMinimumProtocolVersion: "TLSv1_2", tlsMaximumProtocolVersion: "TLSv1_3" },
    ...(options.http2 ? { alpnProtocols: ["h2"] } : {}),
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
            trustedCa: { filename: tls.caCertificates ?? systemRoots },
            ...(tls.caCrl ? { crl: { filename: tls.caCrl } } : {}),
            ...(matchers.length > 0 ? { matchTypedSubjectAltNames: matchers } : {}),
          },
        }),
  };
  return {
    name: "envoy.transport_sockets.tls",
    typedConfig: any(`${tlsPackage}.UpstreamTlsContext`, {
      commonTlsContext: context,
      sni,
    }),
  };
};
