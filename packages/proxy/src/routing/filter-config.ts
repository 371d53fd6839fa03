/** `typed_per_filter_config`: settings of HTTP filters that a table, virtual host or route overrides. */

import type { AnyJson } from "@bufbuild/protobuf/wkt";
import { ConfigError } from "@weft/core/config-error";
import { openAny } from "../compile/any.ts";
import { member, within } from "../compile/fields.ts";
import type { HttpFilterKind } from "../filters/http/filter.ts";

/** Stands in `route.filterConfig` for a filter that is switched off there. */
export const filterDisabled: unique symbol = Symbol("filter disabled");

export type FilterConfig = ReadonlyMap<string, unknown>;

const wrapper = "envoy.config.route.v3.FilterConfig";

interface Entry {
  readonly name: string;
  readonly json: AnyJson;
  readonly at: string;
}

const compileEntry = (entry: Entry, kinds: readonly HttpFilterKind[], into: Map<string, unknown>): void => {
  let { typeName, raw } = openAny(entry.json, entry.at);
  let optional = false;
  if (typeName === wrapper) {
    if (raw.disabled === true) {
      into.set(entry.name, filterDisabled);
      return;
    }
    optional = raw.isOptional === true;
    ({ typeName, raw } = openAny(raw.config as object | undefined, member(entry.at, "config")));
  }
  const named = kinds.find((kind) => kind.name === entry.name || kind.aliases?.includes(entry.name));
  // The message decides where the name says nothing: CorsPolicy lies in the package of the filter's own message.
  const packageName = typeName.slice(0, typeName.lastIndexOf("."));
  const kind = named ?? kinds.find(({ typeName: type }) => type.slice(0, type.lastIndexOf(".")) === packageName);
  if (!kind?.configureRoute) {
    if (optional) return;
    throw new ConfigError(entry.at, `${typeName} for the HTTP filter "${entry.name}" is not supported`);
  }
  const { configureRoute } = kind;
  const compiled = within(entry.at, () => configureRoute(raw));
  into.set(entry.name, compiled);
  into.set(kind.name, compiled);
};

/** The wider level's settings with the narrower one's over them. */
export const compileFilterConfig = (
  json: Readonly<Record<string, AnyJson>> | undefined,
  at: string,
  { wider, kinds }: { wider: FilterConfig; kinds: readonly HttpFilterKind[] },
): FilterConfig => {
  if (!json || Object.keys(json).length === 0) return wider;
  const merged = new Map(wider);
  for (const [name, value] of Object.entries(json)) {
    compileEntry({ name, json: value, at: `${member(at, "typedPerFilterConfig")}["${name}"]` }, kinds, merged);
  }
  return merged;
};
