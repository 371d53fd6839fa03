import type { HttpFilter } from "../filters/http/filter.ts";
import type { Route } from "../routing/route.ts";

/** Whether a filter of the chain acts on requests of that route: it, or the route, may say that it does not. */
export const actsOn = ({ name = "", offByDefault }: HttpFilter, route: Route | undefined): boolean => {
  if (route?.filtersOff?.has(name) === true) return false;
  return offByDefault !== true || route?.filterConfig.has(name) === true;
};
