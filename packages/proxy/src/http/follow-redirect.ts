import type { ResponseHead } from "@weft/protocols/http/head";
import type { InternalRedirect } from "../routing/internal-redirect.ts";
import type { HttpExchange } from "./http-exchange.ts";
import type { RequestFlow } from "./request-flow.ts";

/**
 * Makes the request the one that an upstream's redirect asks for, and has it go through route and filters anew. False,
 * and the request as it was, where the redirect is the client's to see. `leave` is called before anything begins anew.
 */
export const followRedirect = (
  exchange: HttpExchange,
  policy: InternalRedirect,
  head: ResponseHead,
  { body, leave }: { readonly body: RequestFlow; readonly leave: () => void },
): boolean => {
  const { request } = exchange;
  const { method, scheme, authority, path } = request;
  if (!policy.follow(request, head, scheme === "https")) return false;
  leave();
  if (request.method !== method) body.clear();
  if (exchange.restart()) return true;
  Object.assign(request, { method, scheme, authority, path });
  return false;
};
