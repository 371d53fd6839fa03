/** The certificate service as a gRPC server mounts it. */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { grpcStatus } from "@weft/core/grpc-status";
import type { Clock } from "@weft/core/world";
import type { GrpcHandler } from "@weft/net/grpc/calls";
import { GrpcError } from "@weft/net/grpc/status";
import {
  type IstioCertificateRequest,
  IstioCertificateRequestSchema,
  IstioCertificateResponseSchema,
} from "@weft/xds/gen/istio/ca";
import { type CreateCertificateOptions, createCertificate } from "./create-certificate.ts";

export const createCertificatePath = "/istio.v1.auth.IstioCertificateService/CreateCertificate";

/** By path. To be served over TLS only: the join token goes over it. */
export const caHandlers = (
  options: CreateCertificateOptions & { readonly clock: Clock },
): ReadonlyMap<string, GrpcHandler> =>
  new Map([
    [
      createCertificatePath,
      {
        kind: "unary",
        handle: async (bytes, { metadata, peer }) => {
          const caller = { authorization: metadata.get("authorization"), spiffe: peer.spiffe, address: peer.address };
          const answer = await createCertificate(options, caller, decode(bytes), options.clock.wallMs());
          if (answer.kind === "refused") throw new GrpcError(answer.status, answer.message);
          const response = create(IstioCertificateResponseSchema, { certChain: [...answer.chain] });
          return toBinary(IstioCertificateResponseSchema, response);
        },
      },
    ],
  ]);

const decode = (bytes: Uint8Array): IstioCertificateRequest => {
  try {
    return fromBinary(IstioCertificateRequestSchema, bytes);
  } catch (cause) {
    throw new GrpcError(grpcStatus.invalidArgument, "the message is not a certificate request", { cause });
  }
};
