/** RequestAuthentication: which tokens requests may carry. */
import { bool, duration, type Infer, list, object, required, text } from "../schema/schema.ts";
import { targetRef, targetRefs, workloadSelector } from "./common.ts";
import { defineKind, type Kind } from "./kind.ts";
import { validateRequestAuthentication } from "./request-authentication-rules.ts";

const jwtRule = object(
  "One issuer of tokens.",
  {
    issuer: required(text("The `iss` claim.", { minLength: 1 })),
    audiences: list(text("An audience.", { minLength: 1 }), "Accepted `aud` claims; absent: any."),
    jwksUri: text("Where the issuer's keys are.", { maxLength: 2048 }),
    jwks: text("The issuer's keys."),
    fromHeaders: list(
      object("A header.", {
        name: required(text("Name of the header.", { format: "headerName" })),
        prefix: text("Text before the token."),
      }),
      "Headers the token may be in.",
      { default: "Authorization: Bearer" },
    ),
    fromParams: list(text("A query parameter.", { minLength: 1 }), "Query parameters the token may be in.", {
      default: "access_token",
    }),
    fromCookies: list(text("A cookie.", { minLength: 1 }), "Cookies the token may be in."),
    outputPayloadToHeader: text("Header that gets the token's payload."),
    forwardOriginalToken: bool("Leave the token in the request.", { default: "false" }),
    outputClaimToHeaders: list(
      object("A claim.", {
        header: required(text("Header that gets the claim.", { format: "headerName" })),
        claim: required(text("The claim.", { minLength: 1 })),
      }),
      "Claims that become headers.",
    ),
    timeout: duration("Longest wait for the keys.", { minMs: 1, default: "5s" }),
    spaceDelimitedClaims: list(text("A claim.", { minLength: 1 }), "Claims that are lists separated by spaces."),
  },
  { oneOf: [["jwksUri", "jwks"]] },
);
export interface JwtRule extends Infer<typeof jwtRule> {}

export const requestAuthenticationSpec = object(
  "Tokens of requests to the workloads selected.",
  {
    selector: workloadSelector,
    targetRef: { ...targetRef, deprecated: "write targetRefs" },
    targetRefs,
    jwtRules: list(jwtRule, "Issuers. A request without a token is let through; with a bad one it is not.", {
      maxItems: 4096,
    }),
  },
  { oneOf: [["selector", "targetRef", "targetRefs"]] },
);
export interface RequestAuthenticationSpec extends Infer<typeof requestAuthenticationSpec> {}

export const requestAuthentication: Kind = defineKind({
  name: "RequestAuthentication",
  plural: "requestauthentications",
  shortNames: ["ra"],
  group: "security.istio.io",
  versions: ["v1", "v1beta1"],
  about: "Which issuers' tokens requests may carry, and where.",
  inert: "weft does not read tokens yet",
  schema: requestAuthenticationSpec,
  validate: validateRequestAuthentication,
});
