/** Certificates of a test plane's own authority. */
import { generateKeyPairSync } from "node:crypto";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";
import { formatAddress } from "@weft/core/address";
import { createCsr } from "@weft/protocols/x509/csr";
import { IstioCertificateRequestSchema, IstioCertificateResponseSchema } from "@weft/xds/gen/istio/ca";
import { createCertificatePath } from "../ca/ca-service.ts";
import type { TestPlane } from "./plane.ts";

/** A certificate from the CA, by the join token. */
export const join = async (mesh: TestPlane, identity: string): Promise<{ key: string; chain: string }> => {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const csr = createCsr(privateKey, { uris: [identity], dnsNames: [], ipAddresses: [] });
  const client = new grpc.Client(
    formatAddress(mesh.plane.secure),
    grpc.credentials.createSsl(Buffer.from(mesh.rootPem)),
    { "grpc.ssl_target_name_override": "localhost" },
  );
  const metadata = new grpc.Metadata();
  metadata.set("authorization", `Bearer ${mesh.joinToken}`);
  const request = toBinary(IstioCertificateRequestSchema, create(IstioCertificateRequestSchema, { csr }));
  const answer = await new Promise<Buffer>((resolve, reject) =>
    client.makeUnaryRequest(
      createCertificatePath,
      (b: Buffer) => b,
      (b: Buffer) => b,
      Buffer.from(request),
      metadata,
      (error, value) => (error ? reject(error) : resolve(value as Buffer)),
    ),
  );
  client.close();
  const { certChain } = fromBinary(IstioCertificateResponseSchema, answer);
  return { key: privateKey.export({ format: "pem", type: "pkcs8" }).toString(), chain: certChain.join("") };
};

/** What shows that identity and trusts the plane. */
export const credentialsOf = async (mesh: TestPlane, identity: string): Promise<grpc.ChannelCredentials> => {
  const { key, chain } = await join(mesh, identity);
  return grpc.credentials.createSsl(Buffer.from(mesh.rootPem), Buffer.from(key), Buffer.from(chain));
};
