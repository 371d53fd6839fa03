import type {
  OnDemandJson,
  PerRouteConfigJson,
} from "@weft/xds/gen/envoy/extensions/filters/http/on_demand/v3/on_demand";
import { refuseOthers } from "../../compile/fields.ts";
import type { HttpFilterKind } from "./filter.ts";

/**
 * Fetches what a request lacks. Nothing can be lacking here: virtual hosts come with their tables (a table with `vhds` is
 * refused), so the filter passes everything on, as Envoy's does then. To fetch clusters (`odcds`) is refused.
 */
export const onDemand: HttpFilterKind = {
  name: "envoy.filters.http.on_demand",
  typeName: "envoy.extensions.filters.http.on_demand.v3.OnDemand",
  configure(raw) {
    refuseOthers(raw satisfies OnDemandJson, "OnDemand", "", []);
    return () => ({});
  },
  configureRoute(raw) {
    refuseOthers(raw satisfies PerRouteConfigJson, "OnDemandPerRoute", "", []);
  },
};
