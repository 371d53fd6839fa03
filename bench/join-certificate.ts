/** A workload's certificate, as a machine with a join token gets it. */
import { generateKeyPairSync } from "node:crypto";
import { readFileSync } from "node:fs";
import { createGrpcChannel } from "@weft/net/grpc/client";
import { createCsr } from "@weft/protocols/x509/csr";
import type { TestControlPlane } from "@weft/testkit/control-plane";
import { decodeMessage, encodeMessage } from "@weft/xds/codec";
import { IstioCertificateRequestSchema, IstioCertificateResponseSchema } from "@weft/xds/gen/istio/ca";
import type { OpenStreams } from "./load/ads/messages.ts";

const path = "/istio.v1.auth.IstioCertificateService/CreateCertificate";

/** For the identity of `default` in `default`; all parts as PEM, the chain as sidecars show it: without the root. */
export const joinCertificate = async (cp: TestControlPlane): Promise<NonNullable<OpenStreams["tls"]>> => {
  const ca = readFileSync(cp.rootCertFile, "utf8");
  const [host = "", port = ""] = cp.secure.split(":");
  using channel = createGrpcChannel({
    target: { kind: "tcp", host, port: Number(port) },
    tls: () => ({ roots: ca, serverName: "localhost" }),
  });
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const uris = ["spiffe://cluster.local/ns/default/sa/default"];
  const csr = createCsr(privateKey, { uris, dnsNames: [], ipAddresses: [] });
  const metadata = { authorization: `Bearer ${readFileSync(cp.joinTokenFile, "utf8").trim()}` };
  const answer = await channel.unary({ path, metadata }, encodeMessage(IstioCertificateRequestSchema, { csr }));
  const { certChain = [] } = decodeMessage(IstioCertificateResponseSchema, answer) as { certChain?: string[] };
  return {
    ca,
    cert: certChain.slice(0, -1).join(""),
    key: privateKey.export({ format: "pem", type: "pkcs8" }).toString(),
  };
};
