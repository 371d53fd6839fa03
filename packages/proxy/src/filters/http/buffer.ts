/** Lets a request on when all of its body is there, so that an upstream is not kept waiting by a slow client. */
import { ConfigError } from "@weft/core/config-error";
import type { BufferJson, BufferPerRouteJson } from "@weft/xds/gen/envoy/extensions/filters/http/buffer/v3/buffer";
import { refuseOthers, required, unsigned, within } from "../../compile/fields.ts";
import { routeBufferBytesMax } from "../../routing/buffer-bound.ts";
import { type HttpFilterKind, wait } from "./filter.ts";

export const bufferFilterName = "envoy.filters.http.buffer";

/** Bytes it keeps at most. */
const compileBuffer = (json: BufferJson): number => {
  refuseOthers(json, "Buffer", "", ["maxRequestBytes"]);
  const most = required(unsigned(json.maxRequestBytes, "maxRequestBytes"), "maxRequestBytes");
  if (most === 0 || most > routeBufferBytesMax)
    throw new ConfigError("maxRequestBytes", `must be 1 to ${routeBufferBytesMax}`);
  return most;
};

/** `undefined` where it is switched off. */
const compilePerRoute = (json: BufferPerRouteJson): { readonly most: number | undefined } => {
  refuseOthers(json, "BufferPerRoute", "", ["disabled", "buffer"]);
  if (json.disabled) return { most: undefined };
  return { most: within("buffer", () => compileBuffer(required(json.buffer, ""))) };
};

export const buffer: HttpFilterKind = {
  name: bufferFilterName,
  typeName: "envoy.extensions.filters.http.buffer.v3.Buffer",
  configure(raw) {
    // Without settings of its own it acts where a route has some.
    const own = Object.keys(raw).some((key) => key !== "@type") ? compileBuffer(raw as BufferJson) : undefined;
    return ({ name = bufferFilterName }) => ({
      onRequest(exchange) {
        const routed = exchange.route?.filterConfig.get(name) as ReturnType<typeof compilePerRoute> | undefined;
        const most = routed === undefined ? own : routed.most;
        const { protocol, method } = exchange.request;
        // What comes after an upgrade is no body.
        const bodiless = exchange.requestEnded !== false || protocol !== "" || method === "CONNECT";
        if (most === undefined || bodiless || exchange.gather === undefined) return undefined;
        exchange.gather(most);
        return wait;
      },
    });
  },
  configureRoute: (raw) => compilePerRoute(raw as BufferPerRouteJson),
};
