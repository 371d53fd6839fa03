/**
 * Checks JSON a person wrote against a protobuf message and says where it does not fit. Protobuf's own reader
 * stops at the first misfit and names only the message; a bootstrap file deserves every place, by path.
 */
import { type DescEnum, type DescField, type DescMessage, type Registry, ScalarType } from "@bufbuild/protobuf";
import { registry as knownTypes } from "./registry.ts";

export interface JsonProblem {
  /** Keys and indexes from the root, as written. */
  readonly path: JsonPath;
  readonly message: string;
}
export type JsonPath = readonly (string | number)[];

const problemsMax = 50;
const depthMax = 100;

/** `static_resources.listeners[0].name`. */
export const formatPath = (path: JsonPath): string =>
  path
    .map((step) => (typeof step === "number" ? `[${step}]` : `.${step}`))
    .join("")
    .replace(/^\./, "");

/** Every misfit, up to a bound; field names may be those of the .proto file or their JSON form. */
export const checkJson = (
  desc: DescMessage,
  json: unknown,
  registry: Registry = knownTypes,
): readonly JsonProblem[] => {
  const problems: JsonProblem[] = [];
  const report = (path: JsonPath, message: string): undefined => {
    if (problems.length < problemsMax) problems.push({ path, message });
  };
  checkMessage(desc, json, [], { report, registry });
  return problems;
};

interface Context {
  readonly report: (path: JsonPath, message: string) => undefined;
  readonly registry: Registry;
}

const isObject = (json: unknown): json is Readonly<Record<string, unknown>> =>
  typeof json === "object" && json !== null && !Array.isArray(json);

const describe = (json: unknown): string =>
  json === null
    ? "null"
    : Array.isArray(json)
      ? "a list"
      : typeof json === "object"
        ? "a mapping"
        : JSON.stringify(json);

const checkMessage = (desc: DescMessage, json: unknown, path: JsonPath, context: Context): undefined => {
  if (path.length > depthMax) return context.report(path, "is nested too deeply");
  const wellKnown = wellKnownChecks.get(desc.typeName);
  if (wellKnown) return wellKnown(json, path, context);
  if (!isObject(json)) return context.report(path, `must be a mapping, not ${describe(json)}`);
  const oneofs = new Map<string, string>();
  for (const [key, value] of Object.entries(json)) {
    const field = desc.fields.find(({ name, jsonName }) => name === key || jsonName === key);
    if (!field) {
      context.report([...path, key], `there is no field "${key}" in ${desc.typeName}${suggest(key, desc)}`);
      continue;
    }
    if (value === null) continue;
    const oneof = field.oneof?.name;
    const other = oneof === undefined ? undefined : oneofs.get(oneof);
    if (other !== undefined) context.report([...path, key], `"${key}" and "${other}" exclude each other`);
    if (oneof !== undefined) oneofs.set(oneof, key);
    checkField(field, value, [...path, key], context);
  }
};

const checkField = (field: DescField, json: unknown, path: JsonPath, context: Context): undefined => {
  if (field.fieldKind === "list") {
    if (!Array.isArray(json)) return context.report(path, `must be a list, not ${describe(json)}`);
    for (const [index, item] of json.entries()) checkSingle(field, item, [...path, index], context);
    return;
  }
  if (field.fieldKind === "map") {
    if (!isObject(json)) return context.report(path, `must be a mapping, not ${describe(json)}`);
    for (const [key, item] of Object.entries(json)) checkSingle(field, item, [...path, key], context);
    return;
  }
  checkSingle(field, json, path, context);
};

const checkSingle = (field: DescField, json: unknown, path: JsonPath, context: Context): undefined => {
  if (field.message) return checkMessage(field.message, json, path, context);
  if (field.enum) return checkEnum(field.enum, json, path, context);
  const problem = field.scalar === undefined ? undefined : scalarProblem(field.scalar, json);
  if (problem !== undefined) context.report(path, `must be ${problem}, not ${describe(json)}`);
};

const checkEnum = (desc: DescEnum, json: unknown, path: JsonPath, context: Context): undefined => {
  if (typeof json === "number" && Number.isInteger(json)) return;
  if (typeof json === "string" && desc.values.some(({ name }) => name === json)) return;
  const names = desc.values.map(({ name }) => name);
  context.report(path, `must be one of ${names.join(", ")}, not ${describe(json)}`);
};

const integerRanges: ReadonlyMap<ScalarType, readonly [bigint, bigint]> = new Map([
  [ScalarType.INT32, [-(2n ** 31n), 2n ** 31n - 1n]],
  [ScalarType.SINT32, [-(2n ** 31n), 2n ** 31n - 1n]],
  [ScalarType.SFIXED32, [-(2n ** 31n), 2n ** 31n - 1n]],
  [ScalarType.UINT32, [0n, 2n ** 32n - 1n]],
  [ScalarType.FIXED32, [0n, 2n ** 32n - 1n]],
  [ScalarType.INT64, [-(2n ** 63n), 2n ** 63n - 1n]],
  [ScalarType.SINT64, [-(2n ** 63n), 2n ** 63n - 1n]],
  [ScalarType.SFIXED64, [-(2n ** 63n), 2n ** 63n - 1n]],
  [ScalarType.UINT64, [0n, 2n ** 64n - 1n]],
  [ScalarType.FIXED64, [0n, 2n ** 64n - 1n]],
]);

/** What the value should have been; `undefined` when it fits. */
const scalarProblem = (type: ScalarType, json: unknown): string | undefined => {
  if (type === ScalarType.BOOL) return typeof json === "boolean" ? undefined : "true or false";
  if (type === ScalarType.STRING) return typeof json === "string" ? undefined : "a string";
  if (type === ScalarType.BYTES)
    return typeof json === "string" && /^[\w+/-]*={0,2}$/.test(json) ? undefined : "base64 text";
  const range = integerRanges.get(type);
  if (!range)
    return typeof json === "number" || (typeof json === "string" && json !== "" && !Number.isNaN(Number(json)))
      ? undefined
      : "a number";
  const whole =
    typeof json === "number" && Number.isInteger(json)
      ? BigInt(json)
      : typeof json === "string" && /^-?\d+$/.test(json)
        ? BigInt(json)
        : undefined;
  const fits = whole !== undefined && whole >= range[0] && whole <= range[1];
  return fits ? undefined : range[0] === 0n ? `a whole number from 0 to ${range[1]}` : "a whole number";
};

type Check = (json: unknown, path: JsonPath, context: Context) => undefined;

const textCheck =
  (pattern: RegExp, form: string): Check =>
  (json, path, { report }) => {
    if (typeof json !== "string" || !pattern.test(json)) report(path, `must be ${form}, not ${describe(json)}`);
  };
const wrapperCheck =
  (type: ScalarType): Check =>
  (json, path, { report }) => {
    const problem = scalarProblem(type, json);
    if (problem !== undefined) report(path, `must be ${problem}, not ${describe(json)}`);
  };
const anything: Check = () => undefined;

const checkAny: Check = (json, path, context) => {
  if (!isObject(json)) return context.report(path, `must be a mapping with "@type", not ${describe(json)}`);
  const url = json["@type"];
  if (typeof url !== "string" || url === "") return context.report(path, 'needs "@type", the type URL of its content');
  const name = url.slice(url.lastIndexOf("/") + 1);
  const desc = context.registry.getMessage(name);
  if (!desc) return context.report([...path, "@type"], `the type ${name} is not known here`);
  if (wellKnownChecks.has(name)) return checkMessage(desc, json.value, [...path, "value"], context);
  const { "@type": _, ...rest } = json;
  checkMessage(desc, rest, path, context);
};

const wellKnownChecks: ReadonlyMap<string, Check> = new Map<string, Check>([
  ["google.protobuf.Any", checkAny],
  ["google.protobuf.Duration", textCheck(/^-?\d{1,12}(\.\d{1,9})?s$/, 'a duration such as "0.25s"')],
  ["google.protobuf.Timestamp", textCheck(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d/, "a time such as 2026-01-31T12:00:00Z")],
  ["google.protobuf.FieldMask", textCheck(/^[\w.,]*$/, "field paths joined by commas")],
  [
    "google.protobuf.Struct",
    (json, path, { report }) => {
      if (!isObject(json)) report(path, `must be a mapping, not ${describe(json)}`);
    },
  ],
  ["google.protobuf.Value", anything],
  ["google.protobuf.ListValue", anything],
  ["google.protobuf.BoolValue", wrapperCheck(ScalarType.BOOL)],
  ["google.protobuf.StringValue", wrapperCheck(ScalarType.STRING)],
  ["google.protobuf.BytesValue", wrapperCheck(ScalarType.BYTES)],
  ["google.protobuf.Int32Value", wrapperCheck(ScalarType.INT32)],
  ["google.protobuf.Int64Value", wrapperCheck(ScalarType.INT64)],
  ["google.protobuf.UInt32Value", wrapperCheck(ScalarType.UINT32)],
  ["google.protobuf.UInt64Value", wrapperCheck(ScalarType.UINT64)],
  ["google.protobuf.DoubleValue", wrapperCheck(ScalarType.DOUBLE)],
  ["google.protobuf.FloatValue", wrapperCheck(ScalarType.FLOAT)],
]);

const suggest = (key: string, desc: DescMessage): string => {
  let best: { readonly name: string; readonly distance: number } | undefined;
  for (const { name } of desc.fields) {
    const distance = editDistance(key.toLowerCase().replaceAll("_", ""), name.replaceAll("_", ""));
    if (distance <= Math.max(1, Math.ceil(key.length / 4)) && (!best || distance < best.distance))
      best = { name, distance };
  }
  return best ? `; did you mean "${best.name}"?` : "";
};

const editDistance = (a: string, b: string): number => {
  if (Math.abs(a.length - b.length) > 8 || a.length > 100) return Number.POSITIVE_INFINITY;
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, (row[j] as number) + 1, (next[j - 1] as number) + 1));
    }
    row = next;
  }
  return row[b.length] as number;
};
