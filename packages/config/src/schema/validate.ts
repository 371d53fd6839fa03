/** Checks a value against a schema and gives the value as its type promises: without nulls, booleans as such. */
import { parseGoDuration } from "@weft/core/duration";
import { shapeCodes } from "./codes.ts";
import { formatProblem } from "./formats.ts";
import { nearest } from "./nearest.ts";
import { type FieldPath, formatPath, type Problem } from "./problem.ts";
import type {
  ArraySchema,
  DurationSchema,
  EnumSchema,
  MapSchema,
  ObjectSchema,
  Schema,
  StringSchema,
} from "./schema.ts";

export type Report = (path: FieldPath, problem: Problem) => void;

/** What messages call the root, such as the kind; `path` is where the value stands in its document. */
interface Place {
  readonly root: string;
  readonly path: FieldPath;
  /** Where `root` stands, so that messages count from there. */
  readonly rootDepth: number;
  readonly report: Report;
}

/** Reports every problem, and returns the value with what could be taken; use it only if no error was reported. */
export const validateValue = (schema: Schema, value: unknown, root: string, path: FieldPath, report: Report): unknown =>
  check(schema, value, { root, path, rootDepth: path.length, report });

const check = (schema: Schema, value: unknown, place: Place): unknown => {
  if (schema.deprecated !== undefined) {
    const message = `${nameOf(place)} is deprecated: ${schema.deprecated}`;
    place.report(place.path, { code: shapeCodes.deprecatedField, level: "warning", message, onKey: true });
  }
  switch (schema.kind) {
    case "any":
      return value;
    case "object":
      return isRecord(value) ? checkObject(schema, value, place) : wrongType(place, "an object", value);
    case "map":
      return isRecord(value) ? checkMap(schema, value, place) : wrongType(place, "a map", value);
    case "array":
      return Array.isArray(value) ? checkArray(schema, value, place) : wrongType(place, "a list", value);
    default:
      return checkScalar(schema, value, place);
  }
};

type ScalarSchema = Exclude<Schema, { readonly kind: "any" | "object" | "map" | "array" }>;

const checkScalar = (schema: ScalarSchema, value: unknown, place: Place): unknown => {
  switch (schema.kind) {
    case "string":
      return typeof value === "string" ? checkText(schema, value, place) : wrongType(place, "a text", value);
    case "enum":
      return checkWord(schema, value, place);
    case "duration":
      return checkDuration(schema, value, place);
    case "bool":
      return checkBool(value, place);
    case "intOrString":
      return typeof value === "string" || Number.isInteger(value)
        ? value
        : wrongType(place, "a number or a text", value);
    case "int":
      if (!Number.isInteger(value)) return wrongType(place, "a whole number", value);
      return checkRange(schema, value as number, place);
    case "number":
      if (typeof value !== "number" || !Number.isFinite(value)) return wrongType(place, "a number", value);
      return checkRange(schema, value, place);
    default:
      return schema satisfies never;
  }
};

const checkObject = (schema: ObjectSchema, value: Readonly<Record<string, unknown>>, place: Place): unknown => {
  const known = new Map(Object.entries(schema.fields));
  const given = Object.entries(value).filter(([, member]) => member !== null);
  const present = new Set(given.map(([name]) => name));
  const lacking = [...known].filter(([name, { required }]) => required && !present.has(name));
  const unknown = schema.open ? [] : Object.keys(value).filter((name) => !known.has(name));
  for (const name of unknown) {
    const only = lacking.length === 1 && unknown.length === 1 ? lacking[0]?.[0] : undefined;
    reportUnknown(name, { known: [...known.keys()], only }, place);
  }
  for (const [name, { about }] of lacking) {
    const message = `${nameOf(place)} lacks ${JSON.stringify(name)}: ${about}`;
    place.report(place.path, { code: shapeCodes.missingField, message, onKey: true });
  }
  for (const group of schema.oneOf ?? []) {
    const both = group.filter((name) => present.has(name));
    if (both.length < 2) continue;
    const message = `${nameOf(place)} has ${both.map((name) => JSON.stringify(name)).join(" and ")}: keep one of them`;
    place.report([...place.path, both[1]!], { code: shapeCodes.exclusiveFields, message, onKey: true });
  }
  return Object.fromEntries(
    given.flatMap(([name, member]) => {
      const field = known.get(name);
      if (field === undefined) return schema.open ? [[name, member]] : [];
      return [[name, check(field, member, inside(place, name))]];
    }),
  );
};

const namesShownMax = 24;

interface KnownNames {
  readonly known: readonly string[];
  /** The one field that is lacking, so most likely the one meant. */
  readonly only: string | undefined;
}

const reportUnknown = (name: string, { known, only }: KnownNames, place: Place): void => {
  const guess = nearest(name, known) ?? only;
  const hint = guess === undefined ? "" : ` — did you mean ${JSON.stringify(guess)}?`;
  const shown = known.slice(0, namesShownMax).join(", ") + (known.length > namesShownMax ? ", …" : "");
  const message = `unknown field ${JSON.stringify(name)} in ${nameOf(place)}${hint} (accepted: ${shown})`;
  place.report([...place.path, name], { code: shapeCodes.unknownField, message, onKey: true });
};

const checkMap = (schema: MapSchema, value: Readonly<Record<string, unknown>>, place: Place): unknown => {
  const entries = Object.entries(value);
  const { maxItems } = schema;
  if (maxItems !== undefined && entries.length > maxItems) {
    refuse(place, `has ${entries.length} entries; at most ${maxItems} are allowed`);
  }
  return Object.fromEntries(entries.map(([name, given]) => [name, check(schema.value, given, inside(place, name))]));
};

const checkArray = (schema: ArraySchema, value: readonly unknown[], place: Place): unknown => {
  const { minItems = 0, maxItems = Number.POSITIVE_INFINITY } = schema;
  if (value.length < minItems) refuse(place, `needs at least ${minItems} ${minItems === 1 ? "entry" : "entries"}`);
  if (value.length > maxItems) refuse(place, `has ${value.length} entries; at most ${maxItems} are allowed`);
  return value.map((item, index) => check(schema.item, item, inside(place, index)));
};

const checkText = (schema: StringSchema, value: string, place: Place): string => {
  const { minLength = 0, maxLength = Number.POSITIVE_INFINITY, pattern, patternAbout, format } = schema;
  if (value.length < minLength) refuse(place, "must not be empty");
  else if (value.length > maxLength) refuse(place, `is longer than ${maxLength} characters`);
  else if (pattern !== undefined && !new RegExp(`^(?:${pattern})$`).test(value)) {
    refuse(place, `is ${quote(value)}; it must be ${patternAbout ?? pattern}`);
  } else if (format !== undefined) {
    const problem = formatProblem(format, value);
    if (problem !== undefined) refuse(place, `is ${quote(value)}: ${problem}`);
  }
  return value;
};

/** Kubernetes reads the words `on` and `off` as booleans before anybody else sees them. */
const checkWord = (schema: EnumSchema, value: unknown, place: Place): unknown => {
  if (typeof value === "string") return checkEnum(schema, value, place);
  const word = value === true ? "on" : "off";
  return typeof value === "boolean" && schema.values.includes(word) ? word : wrongType(place, "a word", value);
};

const checkEnum = ({ values }: EnumSchema, value: string, place: Place): string => {
  if (!values.includes(value)) {
    const guess = nearest(value, values);
    const hint = guess === undefined ? "" : ` — did you mean ${guess}?`;
    refuse(place, `is ${quote(value)}${hint} (accepted: ${values.join(", ")})`);
  }
  return value;
};

/** What Go's durations hold, in nanoseconds of 63 bits; proxies cannot be told of more. */
const durationMsMax = 9_223_372_036_854;

const checkDuration = ({ minMs, maxMs }: DurationSchema, value: unknown, place: Place): unknown => {
  const unitHint = typeof value === "number" ? `; write a unit, such as ${value}s` : "";
  if (typeof value !== "string") return wrongType(place, `a duration such as 1.5s, 300ms or 1h30m${unitHint}`, value);
  const ms = parseGoDuration(value);
  if (ms === undefined) refuse(place, `is ${quote(value)}, not a duration such as 1.5s, 300ms or 1h30m`);
  else if (Math.abs(ms) > durationMsMax) refuse(place, `is ${value}; it must be shorter than 292 years`);
  else if (minMs !== undefined && ms < minMs) {
    refuse(place, `is ${value}; ${minMs === 0 ? "it must not be negative" : `it must be at least ${minMs}ms`}`);
  } else if (maxMs !== undefined && ms > maxMs) refuse(place, `is ${value}; it must be at most ${maxMs}ms`);
  return value;
};

/** Kubernetes reads YAML 1.1, where these words are booleans. */
const yaml11Booleans: ReadonlyMap<unknown, boolean> = new Map(
  (["yes", "on", "y", "no", "off", "n"] as const).flatMap((word, index) =>
    [word, word.toUpperCase(), `${word[0]?.toUpperCase()}${word.slice(1)}`].map((form) => [form, index < 3] as const),
  ),
);

const checkBool = (value: unknown, place: Place): unknown =>
  typeof value === "boolean" ? value : (yaml11Booleans.get(value) ?? wrongType(place, "true or false", value));

const checkRange = (
  { min = Number.NEGATIVE_INFINITY, max = Number.POSITIVE_INFINITY }: { readonly min?: number; readonly max?: number },
  value: number,
  place: Place,
): number => {
  if (value < min || value > max) {
    const bound = value < min ? `at least ${min}` : `at most ${max}`;
    refuse(place, `is ${value}; it must be ${bound}`);
  }
  return value;
};

const refuse = (place: Place, problem: string): void =>
  place.report(place.path, { code: shapeCodes.badValue, message: `${nameOf(place)} ${problem}` });

const wrongType = (place: Place, wanted: string, value: unknown): undefined => {
  const quoting = wanted === "a text" && typeof value !== "object" ? "; put it in quotes" : "";
  const message = `${nameOf(place)} must be ${wanted}, not ${typeName(value)}${quoting}`;
  place.report(place.path, { code: shapeCodes.wrongType, message });
  return undefined;
};

const typeName = (value: unknown): string => {
  if (value === null || value === undefined) return "empty";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return "an object";
  return typeof value === "string" ? `the text ${quote(value)}` : `the ${typeof value} ${String(value)}`;
};

const shownMax = 80;
const quote = (value: string): string =>
  JSON.stringify(value.length > shownMax ? `${value.slice(0, shownMax)}…` : value);

const inside = (place: Place, step: string | number): Place => ({ ...place, path: [...place.path, step] });

const nameOf = ({ root, path, rootDepth }: Place): string => {
  const rest = formatPath(path.slice(rootDepth));
  if (rest === "") return root;
  return rest.startsWith("[") ? `${root}${rest}` : `${root}.${rest}`;
};

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
