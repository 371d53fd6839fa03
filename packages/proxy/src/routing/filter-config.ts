/** `typed_per_filter_config`: settings of HTTP filters that a table, virtual host or route overrides. */

import type { AnyJson } from "@bufbuild/protobuf/wkt";
import { ConfigError } from "@weft/core/config-error";
import { openAny } from "../compile/any.ts";
import { member, within } from "../compile/fields.ts";
import type { CompileTools } from "../compile/tools.ts";
import type { HttpFilterKind } from "../filters/http/filter.ts";

/** Stands in `route.filterConfig` for a filter that is switched off there. */
export const filterDisabled: unique symbol = Symbol("filter disabled");

export interface FilterConfig {
  /** What the filter of that name made of its settings. */
  readonly config: ReadonlyMap<string, unknown>;
  /** Filters that are switched off, by their names in the chain; absent where there are none. */
  readonly off: ReadonlySet<string> | undefined;
}

export const noFilterConfig: FilterConfig = { config: new Map(), off: undefined };

/** With one filter's settings more. */
export const withFilterConfig = ({ config, off }: FilterConfig, name: string, value: unknown): FilterConfig => ({
  config: new Map(config).set(name, value),
  off,
});

const wrapper = "envoy.config.route.v3.FilterConfig";

interface Entry {
  readonly name: string;
  readonly json: AnyJson;
  readonly at: string;
}

/** What every level of a table compiles its settings with. */
interface LevelTools {
  readonly kinds: readonly HttpFilterKind[];
  readonly tools: CompileTools;
}

interface Merged {
  readonly config: Map<string, unknown>;
  readonly off: Set<string>;
}

const compileEntry = ({ name, json, at }: Entry, { kinds, tools }: LevelTools, { config, off }: Merged): void => {
  let { typeName, raw } = openAny(json, at);
  let optional = false;
  if (typeName === wrapper) {
    if (raw.disabled === true) {
      config.set(name, filterDisabled);
      off.add(name);
      return;
    }
    off.delete(name);
    optional = raw.isOptional === true;
    if ((raw.config as { readonly "@type"?: string } | undefined)?.["@type"] === undefined) {
      // Nothing but the word that the filter runs here.
      if (typeof config.get(name) === "symbol") config.delete(name);
      if (!config.has(name)) config.set(name, undefined);
      return;
    }
    ({ typeName, raw } = openAny(raw.config as object | undefined, member(at, "config")));
  }
  off.delete(name);
  const named = kinds.find((kind) => kind.name === name || kind.aliases?.includes(name));
  // The message decides where the name says nothing: CorsPolicy lies in the package of the filter's own message.
  const packageName = typeName.slice(0, typeName.lastIndexOf("."));
  const typed = kinds.find(({ typeName: type }) => type.slice(0, type.lastIndexOf(".")) === packageName);
  const kind = typed ?? named;
  if (!kind?.configureRoute) {
    if (optional) return;
    throw new ConfigError(at, `${typeName} for the HTTP filter "${name}" is not supported`);
  }
  const { configureRoute, combineRoute } = kind;
  const own = within(at, () => configureRoute(raw, tools));
  const before = config.get(name);
  const compiled = combineRoute && before !== undefined && before !== filterDisabled ? combineRoute(before, own) : own;
  config.set(name, compiled);
  if (!config.has(kind.name)) config.set(kind.name, compiled);
};

/** The wider level's settings with the narrower one's over them. */
export const compileFilterConfig = (
  json: Readonly<Record<string, AnyJson>> | undefined,
  at: string,
  { wider, ...level }: LevelTools & { readonly wider: FilterConfig },
): FilterConfig => {
  if (!json || Object.keys(json).length === 0) return wider;
  const merged: Merged = { config: new Map(wider.config), off: new Set(wider.off) };
  for (const [name, value] of Object.entries(json)) {
    compileEntry({ name, json: value, at: `${member(at, "typedPerFilterConfig")}["${name}"]` }, level, merged);
  }
  return { config: merged.config, off: merged.off.size === 0 ? undefined : merged.off };
};
