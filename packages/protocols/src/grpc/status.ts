import { grpcStatus, grpcStatusNames } from "@weft/core/grpc-status";

/** gRPC status codes by their names. */
export const GRPC_STATUS = grpcStatus;

/** The name of a status code, the number itself for one that is not defined. */
export const grpcStatusName = (code: number): string => grpcStatusNames[code] ?? String(code);

/** The code of a name as `retry_on` and logs write it, in either case; `undefined` for no such name. */
export const grpcStatusByName = (name: string): number | undefined => {
  const code = grpcStatusNames.indexOf(name.toUpperCase().replaceAll("-", "_"));
  return code < 0 ? undefined : code;
};

/** A `grpc-status` field's value; -1 when it is not a number of one to three digits. */
export const parseGrpcStatus = (value: string): number => (/^[0-9]{1,3}$/.test(value) ? Number(value) : -1);

/** What a gRPC caller is to see for an HTTP status without gRPC status (gRPC's HTTP to gRPC status mapping). */
export const grpcStatusOfHttp = (status: number): number => {
  switch (status) {
    case 200:
      return GRPC_STATUS.ok;
    case 400:
      return GRPC_STATUS.internal;
    case 401:
      return GRPC_STATUS.unauthenticated;
    case 403:
      return GRPC_STATUS.permissionDenied;
    case 404:
      return GRPC_STATUS.unimplemented;
    case 429:
    case 502:
    case 503:
    case 504:
      return GRPC_STATUS.unavailable;
    default:
      return GRPC_STATUS.unknown;
  }
};

const httpStatuses = [200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401];

/** The HTTP status that says most nearly the same, for counting gRPC answers beside HTTP ones. */
export const httpStatusOfGrpc = (code: number): number => httpStatuses[code] ?? 500;
