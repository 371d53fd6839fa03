import { ConfigError } from "@weft/core/config-error";
import { openAny } from "../../compile/any.ts";
import { within } from "../../compile/fields.ts";
import { adaptiveConcurrency } from "./adaptive-concurrency.ts";
import { buffer } from "./buffer.ts";
import { cors } from "./cors.ts";
import { dynamicForwardProxy } from "./dynamic-forward-proxy.ts";
import { fault } from "./fault.ts";
import type { FilterTools, HttpFilter, HttpFilterKind } from "./filter.ts";
import { grpcStats } from "./grpc-stats.ts";
import { grpcWeb } from "./grpc-web.ts";
import { headerMutation } from "./header-mutation.ts";
import { istioAlpn } from "./istio-alpn.ts";
import { istioStats } from "./istio-stats.ts";
import { localRateLimit } from "./local-ratelimit.ts";
import { onDemand } from "./on-demand.ts";
import { peerMetadata } from "./peer-metadata.ts";
import { rbac } from "./rbac.ts";
import { router } from "./router.ts";
import { setFilterState } from "./set-filter-state.ts";
import { setMetadata } from "./set-metadata.ts";
import { weftOnDemand } from "./weft-on-demand.ts";
import { weftReason } from "./weft-reason.ts";
import { weftRetries } from "./weft-retries.ts";

/** Every HTTP filter there is. */
export const httpFilters: readonly HttpFilterKind[] = [
  router,
  fault,
  rbac,
  cors,
  grpcStats,
  grpcWeb,
  istioAlpn,
  peerMetadata,
  istioStats,
  localRateLimit,
  buffer,
  headerMutation,
  setMetadata,
  setFilterState,
  dynamicForwardProxy,
  onDemand,
  weftReason,
  weftRetries,
  weftOnDemand,
  adaptiveConcurrency,
];

/** An HttpFilter of a connection manager, in resource JSON. */
export interface HttpFilterJson {
  readonly name?: string;
  readonly typedConfig?: object;
  readonly isOptional?: boolean;
  readonly disabled?: boolean;
}

export interface ConfiguredFilter {
  readonly kind: HttpFilterKind;
  readonly build: (tools: FilterTools) => HttpFilter;
}

/**
 * Finds a filter's kind by the message of its configuration, else by its name, and configures it. `undefined` for an
 * unknown filter that is optional; any other unknown one is refused by name.
 */
export const configureHttpFilter = (json: HttpFilterJson, at: string): ConfiguredFilter | undefined => {
  const name = json.name ?? "";
  const opened = json.typedConfig && openAny(json.typedConfig, `${at}.typedConfig`);
  const named = (kind: HttpFilterKind) => kind.name === name || kind.aliases?.includes(name) === true;
  const kind = opened
    ? httpFilters.find(({ typeName, aliases }) => typeName === opened.typeName || aliases?.includes(opened.typeName))
    : httpFilters.find(named);
  if (!kind) {
    if (json.isOptional) return undefined;
    throw new ConfigError(at, `the HTTP filter "${name}"${opened ? ` (${opened.typeName})` : ""} is not supported`);
  }
  const build = within(`${at}.typedConfig`, () => kind.configure(opened?.raw ?? {}));
  const offByDefault = json.disabled === true;
  return {
    kind,
    build: (tools) => ({ ...within(`${at}.typedConfig`, () => build({ ...tools, name })), name, offByDefault }),
  };
};
