import { ConfigError } from "@weft/core/config-error";
import type { RouterJson } from "@weft/xds/gen/envoy/extensions/filters/http/router/v3/router";
import { refuseOthers } from "../../compile/fields.ts";
import type { HttpFilterKind } from "./filter.ts";

export const routerFilterName = "envoy.filters.http.router";

export interface RouterSettings {
  /** Do not add `x-envoy-upstream-service-time` and the like. */
  readonly suppressEnvoyHeaders: boolean;
}

/** Reads the router's settings; the engine is the router. */
export const routerSettings = (raw: Readonly<Record<string, unknown>>): RouterSettings => {
  const json = raw as RouterJson;
  refuseOthers(json, "Router", "", ["suppressEnvoyHeaders", "upstreamHttpFilters"]);
  for (const [index, filter] of (json.upstreamHttpFilters ?? []).entries()) {
    // The upstream codec is always there; no other upstream filter is.
    if (filter.name !== "envoy.filters.http.upstream_codec") {
      throw new ConfigError(`upstreamHttpFilters[${index}]`, `${filter.name} is not supported`);
    }
  }
  return { suppressEnvoyHeaders: json.suppressEnvoyHeaders === true };
};

/** Ends every chain. It does nothing itself: the engine forwards what came through the filters before it. */
export const router: HttpFilterKind = {
  name: routerFilterName,
  typeName: "envoy.extensions.filters.http.router.v3.Router",
  configure(raw) {
    routerSettings(raw);
    return () => ({});
  },
};
