import type { ResponseHead } from "@weft/protocols/http/head";
import { HeaderList } from "@weft/protocols/http/headers";
import type { InternalRedirect } from "../routing/internal-redirect.ts";
import type { Route } from "../routing/route.ts";
import { actsOn } from "./filter-chain.ts";
import type { HttpExchange } from "./http-exchange.ts";
import type { RequestFlow } from "./request-flow.ts";
import { normalizeTarget } from "./request-headers.ts";

/** The route of the request as it is now; none where a filter that waits for its end would not hear of it there. */
const routeAnew = ({ settings, request, downstream, route: left }: HttpExchange): Route | undefined => {
  if (settings === undefined || normalizeTarget(settings, request, downstream) !== undefined) return undefined;
  const route = settings.routes.table?.match(request, downstream);
  return settings.endFilters.some((filter) => actsOn(filter, left) && !actsOn(filter, route)) ? undefined : route;
};

/**
 * Makes the request the one that an upstream's redirect asks for, and gives the route that it is to go by. `undefined`,
 * and the request as it was, where the redirect is the client's to see.
 */
export const followRedirect = (
  exchange: HttpExchange,
  policy: InternalRedirect,
  head: ResponseHead,
  body: RequestFlow,
): Route | undefined => {
  const { request } = exchange;
  const target = policy.targetOf(head, request.scheme === "https");
  if (target === undefined) return undefined;
  const { method, scheme, authority, path } = request;
  const headers = new HeaderList();
  headers.copyFrom(request.headers);
  policy.apply(request, head, target);
  const route = routeAnew(exchange);
  if (route === undefined) {
    Object.assign(request, { method, scheme, authority, path });
    request.headers.copyFrom(headers);
  } else if (request.method !== method) body.clear();
  return route;
};
