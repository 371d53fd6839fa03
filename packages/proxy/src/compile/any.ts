import { ConfigError } from "@weft/core/config-error";

/** The message inside a google.protobuf.Any as resource JSON shows it. */
export interface OpenedAny {
  /** The message's full name, without the URL prefix. */
  readonly typeName: string;
  readonly raw: Readonly<Record<string, unknown>>;
}

const typedStructs: ReadonlySet<string> = new Set(["udpa.type.v1.TypedStruct", "xds.type.v3.TypedStruct"]);

const nameOf = (typeUrl: string): string => typeUrl.slice(typeUrl.lastIndexOf("/") + 1);

const camel = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(camel);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [
      key.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase()),
      camel(inner),
    ]),
  );
};

/**
 * Opens an Any, and the TypedStruct in it if there is one: that one carries another message's type with fields in
 * proto names, which are turned to JSON names.
 */
export const openAny = (any: object | undefined, at: string): OpenedAny => {
  const raw = (any ?? {}) as Readonly<Record<string, unknown>>;
  const url = raw["@type"];
  if (typeof url !== "string" || url === "") throw new ConfigError(at, "has no @type");
  const typeName = nameOf(url);
  if (!typedStructs.has(typeName)) return { typeName, raw };
  const inner = raw.typeUrl;
  if (typeof inner !== "string" || inner === "") throw new ConfigError(`${at}.typeUrl`, "is required");
  return { typeName: nameOf(inner), raw: camel(raw.value ?? {}) as Readonly<Record<string, unknown>> };
};
