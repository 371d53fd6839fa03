/** TLS contexts for the benches: one root, a leaf for each side, as inline strings both proxies take. */
import { createTestCa } from "@weft/proxy/identity/testing/test-ca";
import { type } from "./bootstrap.ts";

const hourMs = 3_600_000;

export interface BenchTls {
  /** For a listener: serves any client. */
  readonly server: object;
  /** For a listener: asks for a client certificate of the mesh. */
  readonly mutualServer: object;
  /** For a cluster: presents a certificate and checks the server's. */
  readonly mutualClient: object;
}

export const createBenchTls = (): BenchTls => {
  const nowMs = Date.now();
  const ca = createTestCa(nowMs);
  const certificate = () => {
    const { keyPem, chain } = ca.issue({ notBeforeMs: nowMs - hourMs, notAfterMs: nowMs + 24 * hourMs });
    return {
      certificateChain: { inlineString: chain.join("") },
      privateKey: { inlineString: keyPem },
    };
  };
  const trust = { validationContext: { trustedCa: { inlineString: ca.rootPem } } };
  const socket = (kind: string, fields: object): object => ({
    name: "envoy.transport_sockets.tls",
    typedConfig: { "@type": type(`envoy.extensions.transport_sockets.tls.v3.${kind}`), ...fields },
  });
  const own = { tlsCertificates: [certificate()] };
  const offered = { alpnProtocols: ["h2", "http/1.1"] };
  return {
    server: socket("DownstreamTlsContext", { commonTlsContext: { ...own, ...offered } }),
    mutualServer: socket("DownstreamTlsContext", {
      commonTlsContext: { ...own, ...trust, ...offered },
      requireClientCertificate: true,
    }),
    mutualClient: socket("UpstreamTlsContext", {
      commonTlsContext: { tlsCertificates: [certificate()], ...trust, alpnProtocols: ["http/1.1"] },
    }),
  };
};
