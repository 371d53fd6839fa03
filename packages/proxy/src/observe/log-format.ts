/** The formats of access logs, text or JSON, compiled once to what writes a line's bytes. */
import type { LineOut } from "@weft/core/line-out";
import type { SubstitutionFormatStringJson } from "@weft/xds/gen/envoy/config/core/v3/substitution_format_string";
import { member, refuseOthers, required } from "../compile/fields.ts";
import { compileFormat, compileTypedFormat, parseFormat, stepsOf } from "./format.ts";
import type { FormatSource, Operator } from "./format-operators.ts";
import { putBytes, putEscaped, putNumber, putQuoted } from "./put-value.ts";

/** Writes what stands for the source, between `begin` and `end` of a line. */
export type PutLine = (source: FormatSource, out: LineOut) => void;

export interface JsonOptions {
  /** Keep numbers as numbers; the older `json_format` of file logs writes strings. */
  readonly typed: boolean;
  readonly omitEmpty: boolean;
}

/** A text format: values are escaped, since peers choose them; what has no value is `-`, or nothing. */
export const compileTextLine = (format: string, at: string, omitEmpty: boolean): PutLine => {
  const missing = Buffer.from(omitEmpty ? "" : "-");
  const steps = stepsOf(parseFormat(format, at)).map(({ before, operator, mayBeEmpty }) => ({
    before: Buffer.from(before),
    operator,
    mayBeEmpty,
  }));
  return (source, out) => {
    for (let i = 0; i < steps.length; i++) {
      const { before, operator, mayBeEmpty } = steps[i] as (typeof steps)[number];
      putBytes(out, before);
      const value = operator(source);
      if (typeof value === "number") putNumber(out, value);
      else if (value === undefined || (value === "" && !mayBeEmpty)) putBytes(out, missing);
      else putEscaped(out, value);
    }
  };
};

/** A JSON format and a line's end. */
export const compileJsonLine = (json: unknown, at: string, options: JsonOptions): PutLine => {
  const put = compileJson(json, at, options);
  return (source, out) => {
    put(source, out);
    putBytes(out, lineEnd);
  };
};

/** A format as text or as JSON with a line's end. */
export const compileLogFormat = (json: SubstitutionFormatStringJson, at: string): PutLine => {
  refuseOthers(json, "SubstitutionFormatString", at, [
    "textFormat",
    "jsonFormat",
    "textFormatSource",
    "omitEmptyValues",
  ]);
  const omitEmpty = json.omitEmptyValues === true;
  if (json.jsonFormat) return compileJsonLine(json.jsonFormat, member(at, "jsonFormat"), { typed: true, omitEmpty });
  if (json.textFormat !== undefined) return compileTextLine(json.textFormat, member(at, "textFormat"), omitEmpty);
  const source = json.textFormatSource;
  const sourceAt = member(at, "textFormatSource");
  if (source) refuseOthers(source, "DataSource", sourceAt, ["inlineString"]);
  return compileTextLine(required(source?.inlineString, sourceAt), sourceAt, omitEmpty);
};

const lineEnd = Buffer.from("\n");
const nullText = Buffer.from("null");
const comma = Buffer.from(",");
const openObject = Buffer.from("{");
const closeObject = Buffer.from("}");
const openArray = Buffer.from("[");
const closeArray = Buffer.from("]");

const compileJson = (json: unknown, at: string, options: JsonOptions): PutLine => {
  if (typeof json === "string") {
    const value = compileLeaf(json, at, options);
    return (source, out) => putJson(out, value(source));
  }
  if (Array.isArray(json)) return arrayOf(json.map((item, index) => compileJson(item, `${at}[${index}]`, options)));
  if (typeof json === "object" && json !== null) return compileObject(json, at, options);
  const text = Buffer.from(JSON.stringify(json));
  return (_, out) => putBytes(out, text);
};

const compileLeaf = (text: string, at: string, { typed }: JsonOptions): Operator =>
  typed ? compileTypedFormat(text, at) : compileFormat(text, { missing: "-" }, at);

const putJson = (out: LineOut, value: string | number | undefined): void => {
  if (typeof value === "string") putQuoted(out, value);
  else if (value === undefined) putBytes(out, nullText);
  else putNumber(out, value);
};

const arrayOf =
  (items: readonly PutLine[]): PutLine =>
  (source, out) => {
    putBytes(out, openArray);
    for (let i = 0; i < items.length; i++) {
      if (i > 0) putBytes(out, comma);
      items[i]?.(source, out);
    }
    putBytes(out, closeArray);
  };

interface Member {
  readonly key: Uint8Array;
  /** The key behind a comma. */
  readonly nextKey: Uint8Array;
  /** What has one value, which may be absent. */
  readonly leaf: Operator | undefined;
  readonly put: PutLine;
}

const compileObject = (json: object, at: string, options: JsonOptions): PutLine => {
  const { omitEmpty } = options;
  const members = Object.entries(json)
    .filter(([, value]) => value !== null || !omitEmpty)
    .map(([key, value]): Member => {
      const text = JSON.stringify(key);
      return {
        key: Buffer.from(`${text}:`),
        nextKey: Buffer.from(`,${text}:`),
        leaf: typeof value === "string" ? compileLeaf(value, `${at}.${key}`, options) : undefined,
        put: compileJson(value, `${at}.${key}`, options),
      };
    });
  return (source, out) => {
    putBytes(out, openObject);
    let first = true;
    for (let i = 0; i < members.length; i++) {
      const { key, nextKey, leaf, put } = members[i] as Member;
      const value = leaf?.(source);
      if (leaf && value === undefined && omitEmpty) continue;
      putBytes(out, first ? key : nextKey);
      first = false;
      if (leaf) putJson(out, value);
      else put(source, out);
    }
    putBytes(out, closeObject);
  };
};
