/** Rules of RequestAuthentication that its schema cannot say. */
import type { RuleTools } from "./kind.ts";
import type { RequestAuthenticationSpec } from "./request-authentication.ts";
import { reporter } from "./rules.ts";

export const validateRequestAuthentication = (spec: RequestAuthenticationSpec, tools: RuleTools): void => {
  const { bad } = reporter(tools);
  for (const [index, { jwksUri, jwks }] of (spec.jwtRules ?? []).entries()) {
    const path = ["jwtRules", index];
    if (jwksUri !== undefined && jwksUri !== "" && !isHttpUrl(jwksUri)) {
      bad([...path, "jwksUri"], `jwksUri is "${jwksUri}"; it must be an http or https URL`);
    }
    if (jwks !== undefined && jwks !== "" && !hasKeys(jwks)) {
      bad([...path, "jwks"], 'jwks is no set of keys: it must be JSON such as {"keys": […]}');
    }
  }
};

const isHttpUrl = (text: string): boolean => {
  const url = URL.parse(text);
  return url !== null && (url.protocol === "http:" || url.protocol === "https:") && url.hostname !== "";
};

const hasKeys = (text: string): boolean => {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && "keys" in value && Array.isArray(value.keys);
  } catch {
    return false;
  }
};
