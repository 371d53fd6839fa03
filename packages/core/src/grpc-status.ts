/** gRPC status codes (grpc/statuscodes.md): the one table all others are made from. */
export const grpcStatus = {
  ok: 0,
  cancelled: 1,
  unknown: 2,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  alreadyExists: 6,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  aborted: 10,
  outOfRange: 11,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  dataLoss: 15,
  unauthenticated: 16,
} as const;

const upper = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase();

/** `DEADLINE_EXCEEDED` and the like, at the index of their number. */
export const grpcStatusNames: readonly string[] = Object.keys(grpcStatus).map(upper);

/** The numbers by those names. */
export const grpcStatusNumbers: ReadonlyMap<string, number> = new Map(
  grpcStatusNames.map((name, number) => [name, number]),
);
