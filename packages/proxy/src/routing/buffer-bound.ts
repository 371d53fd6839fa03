import { ConfigError } from "@weft/core/config-error";
import { unsigned } from "../compile/fields.ts";

/** A route may have no more than this kept of a request: many of them at once must still fit. */
export const routeBufferBytesMax = 64 * 1024 * 1024;

/** Bytes of a request's body that a route wants kept so that it can be sent again. */
export const compileBufferBound = (json: number | string | undefined, at: string): number | undefined => {
  const bytes = unsigned(json, at);
  if (bytes !== undefined && bytes > routeBufferBytesMax)
    throw new ConfigError(at, `is more than ${routeBufferBytesMax} bytes`);
  return bytes;
};
