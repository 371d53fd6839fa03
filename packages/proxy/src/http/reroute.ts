import type { Exchange } from "./exchange.ts";
import { actsOn } from "./filter-chain.ts";

/** Ends a filter's wait: begins anew by the route that there is for the request now, or goes on without one. */
export const reroute = (exchange: Exchange): void => {
  const { settings, request, downstream, route: left } = exchange;
  const route = settings?.routes.table?.match(request, downstream);
  // A filter that has to hear of the end would not, where the route switches it off.
  const isLost = settings?.endFilters.some((filter) => actsOn(filter, left) && !actsOn(filter, route)) === true;
  if (route === undefined || isLost || exchange.restart === undefined) exchange.resume();
  else exchange.restart(route);
};
