/** The names that resources have for statuses that are errors; the generated names would bring protobuf into workers. */
const errors: ReadonlyMap<string, number> = new Map([
  ["BadRequest", 400],
  ["Unauthorized", 401],
  ["PaymentRequired", 402],
  ["Forbidden", 403],
  ["NotFound", 404],
  ["MethodNotAllowed", 405],
  ["NotAcceptable", 406],
  ["ProxyAuthenticationRequired", 407],
  ["RequestTimeout", 408],
  ["Conflict", 409],
  ["Gone", 410],
  ["LengthRequired", 411],
  ["PreconditionFailed", 412],
  ["PayloadTooLarge", 413],
  ["URITooLong", 414],
  ["UnsupportedMediaType", 415],
  ["RangeNotSatisfiable", 416],
  ["ExpectationFailed", 417],
  ["MisdirectedRequest", 421],
  ["UnprocessableEntity", 422],
  ["Locked", 423],
  ["FailedDependency", 424],
  ["UpgradeRequired", 426],
  ["PreconditionRequired", 428],
  ["TooManyRequests", 429],
  ["RequestHeaderFieldsTooLarge", 431],
  ["InternalServerError", 500],
  ["NotImplemented", 501],
  ["BadGateway", 502],
  ["ServiceUnavailable", 503],
  ["GatewayTimeout", 504],
  ["HTTPVersionNotSupported", 505],
  ["VariantAlsoNegotiates", 506],
  ["InsufficientStorage", 507],
  ["LoopDetected", 508],
  ["NotExtended", 510],
  ["NetworkAuthenticationRequired", 511],
]);

/** The status of that name or number; `undefined` where it is no error. */
export const errorStatus = (code: string | number | undefined): number | undefined => {
  const status = typeof code === "number" ? code : errors.get(code ?? "");
  return status !== undefined && status >= 400 ? status : undefined;
};
