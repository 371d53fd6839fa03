/**
 * The language the kinds are described in: plain data, so that one description validates, names the nearest
 * field, prints documentation and gives the TypeScript type. Fields are optional unless `required`.
 */
export type Schema =
  | StringSchema
  | EnumSchema
  | IntSchema
  | NumberSchema
  | BoolSchema
  | DurationSchema
  | IntOrStringSchema
  | AnySchema
  | ArraySchema
  | MapSchema
  | ObjectSchema;

/** Shared by every schema. `deprecated` says what to write instead. */
interface Notes {
  readonly about: string;
  readonly required?: boolean;
  readonly deprecated?: string;
  /** What holds when the field is absent, as a person would say it. */
  readonly default?: string;
}

/** Checks on text that a pattern cannot say; `formats.ts` has one function for each. */
export type Format =
  | "dnsName"
  /** One service: a DNS name or address without wildcard. */
  | "serviceHost"
  /** As `serviceHost`, also with a leading `*.`, as ServiceEntries have. */
  | "destinationHost"
  /** As `serviceHost`, also `*` or with a leading `*.`. */
  | "host"
  | "gatewayHost"
  /** `NAMESPACE/HOST`, as Sidecar's egress names services. */
  | "sidecarHost"
  | "ip"
  | "ipOrCidr"
  | "regex"
  /** An expression, or `*` for "is present". */
  | "regexOrPresence"
  | "headerName"
  | "labelValue"
  | "namespaceScope";

export interface StringSchema extends Notes {
  readonly kind: "string";
  readonly format?: Format;
  /** A JavaScript pattern the whole text must match, with the words that name it in `patternAbout`. */
  readonly pattern?: string;
  readonly patternAbout?: string;
  readonly minLength?: number;
  readonly maxLength?: number;
}

export interface EnumSchema<V extends string = string> extends Notes {
  readonly kind: "enum";
  readonly values: readonly V[];
}

export interface IntSchema extends Notes {
  readonly kind: "int";
  readonly min: number;
  readonly max: number;
}

export interface NumberSchema extends Notes {
  readonly kind: "number";
  readonly min?: number;
  readonly max?: number;
}

export interface BoolSchema extends Notes {
  readonly kind: "bool";
}

/** Go's notation (`1h30m`, `250ms`); bounds in milliseconds. The value stays the text the user wrote. */
export interface DurationSchema extends Notes {
  readonly kind: "duration";
  readonly minMs?: number;
  readonly maxMs?: number;
}

export interface IntOrStringSchema extends Notes {
  readonly kind: "intOrString";
}

/** Anything at all, kept as it is: Envoy fragments, fields of other systems. */
export interface AnySchema extends Notes {
  readonly kind: "any";
}

export interface ArraySchema<S extends Schema = Schema> extends Notes {
  readonly kind: "array";
  readonly item: S;
  readonly minItems?: number;
  readonly maxItems?: number;
}

/** Keys the user names, values all alike. */
export interface MapSchema<S extends Schema = Schema> extends Notes {
  readonly kind: "map";
  readonly value: S;
  readonly maxItems?: number;
}

export type Fields = Readonly<Record<string, Schema>>;

export interface ObjectSchema<F extends Fields = Fields> extends Notes {
  readonly kind: "object";
  readonly fields: F;
  /** Groups of fields of which at most one may be present. */
  readonly oneOf?: readonly (readonly string[])[];
  /** Fields not listed are taken and kept: objects of other systems, of which only a part concerns weft. */
  readonly open?: boolean;
}

type RequiredKeys<F> = { [K in keyof F]: F[K] extends { readonly required: true } ? K : never }[keyof F];
type Flat<T> = { [K in keyof T]: T[K] };

/** The type of a value that has passed validation against the schema `S`. */
export type Infer<S> =
  S extends EnumSchema<infer V>
    ? V
    : S extends { readonly kind: "string" | "duration" }
      ? string
      : S extends { readonly kind: "int" | "number" }
        ? number
        : S extends { readonly kind: "bool" }
          ? boolean
          : S extends { readonly kind: "intOrString" }
            ? number | string
            : S extends { readonly kind: "array"; readonly item: infer I }
              ? readonly Infer<I>[]
              : S extends { readonly kind: "map"; readonly value: infer I }
                ? Readonly<Record<string, Infer<I>>>
                : S extends { readonly kind: "object"; readonly fields: infer F }
                  ? Flat<
                      { readonly [K in RequiredKeys<F>]: Infer<F[K]> } & {
                        readonly [K in Exclude<keyof F, RequiredKeys<F>>]?: Infer<F[K]>;
                      }
                    >
                  : unknown;

type Options<S> = Partial<Omit<S, "kind" | "about" | "required">>;

export const text = (about: string, options: Options<StringSchema> = {}): StringSchema => ({
  kind: "string",
  about,
  ...options,
});

export const oneWord = <const V extends string>(
  values: readonly V[],
  about: string,
  options: Options<Omit<EnumSchema, "values">> = {},
): EnumSchema<V> => ({ kind: "enum", values, about, ...options });

export const uint32Max = 4_294_967_295;

export const int = (about: string, options: Options<IntSchema> = {}): IntSchema => ({
  kind: "int",
  about,
  min: 0,
  max: 2_147_483_647,
  ...options,
});

export const uint = (about: string, options: Options<IntSchema> = {}): IntSchema =>
  int(about, { max: uint32Max, ...options });

/** A TCP or UDP port, 1 to 65535. */
export const port = (about: string, options: Options<IntSchema> = {}): IntSchema =>
  int(about, { min: 1, max: 65_535, ...options });

export const number = (about: string, options: Options<NumberSchema> = {}): NumberSchema => ({
  kind: "number",
  about,
  ...options,
});

export const bool = (about: string, options: Options<BoolSchema> = {}): BoolSchema => ({
  kind: "bool",
  about,
  ...options,
});

export const duration = (about: string, options: Options<DurationSchema> = {}): DurationSchema => ({
  kind: "duration",
  about,
  minMs: 0,
  ...options,
});

export const intOrString = (about: string, options: Options<IntOrStringSchema> = {}): IntOrStringSchema => ({
  kind: "intOrString",
  about,
  ...options,
});

export const anything = (about: string, options: Options<AnySchema> = {}): AnySchema => ({
  kind: "any",
  about,
  ...options,
});

export const list = <S extends Schema>(
  item: S,
  about: string,
  options: Options<Omit<ArraySchema, "item">> = {},
): ArraySchema<S> => ({ kind: "array", item, about, ...options });

export const mapOf = <S extends Schema>(
  value: S,
  about: string,
  options: Options<Omit<MapSchema, "value">> = {},
): MapSchema<S> => ({ kind: "map", value, about, ...options });

export const object = <F extends Fields>(
  about: string,
  fields: F,
  options: Options<Omit<ObjectSchema, "fields">> = {},
): ObjectSchema<F> => ({ kind: "object", about, fields, ...options });

/** The same schema for a field that must be present. */
export const required = <S extends Schema>(schema: S): S & { readonly required: true } => ({
  ...schema,
  required: true,
});

/** The same schema described in other words, where a shared type has a particular meaning. */
export const described = <S extends Schema>(schema: S, about: string): S => ({ ...schema, about });
