const camel = [
  "OK",
  "Canceled",
  "Unknown",
  "InvalidArgument",
  "DeadlineExceeded",
  "NotFound",
  "AlreadyExists",
  "PermissionDenied",
  "ResourceExhausted",
  "FailedPrecondition",
  "Aborted",
  "OutOfRange",
  "Unimplemented",
  "Internal",
  "Unavailable",
  "DataLoss",
  "Unauthenticated",
];

/** `DeadlineExceeded` or `DEADLINE_EXCEEDED`; the number for a status that has no name. */
export const grpcStatusName = (status: number, snake = false): string => {
  const name = camel[status];
  if (name === undefined) return String(status);
  if (!snake) return name;
  return name === "OK" ? "OK" : name.replace(/([a-z])([A-Z])/g, "$1_$2").toUpperCase();
};
