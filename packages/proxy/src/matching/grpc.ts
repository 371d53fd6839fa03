import type { RequestHead } from "@weft/protocols/http/head";

const grpcType = "application/grpc";

/** `application/grpc` or `application/grpc+x`, as Envoy tells gRPC by. */
export const isGrpcContentType = (value: string | undefined): boolean =>
  value?.startsWith(grpcType) === true && (value.length === grpcType.length || value[grpcType.length] === "+");

export const isGrpcRequest = (request: RequestHead): boolean => isGrpcContentType(request.headers.get("content-type"));
