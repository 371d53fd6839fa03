/**
 * Envoy's substitution format strings (`%REQ(:METHOD)% %DURATION%`), compiled once. Access logs and header
 * operations share them.
 */
import { ConfigError } from "@weft/core/config-error";
import { compileOperator, type FormatSource, localReplyBody, type Operator } from "./format-operators.ts";

type Part = string | Operator;

const operatorPattern = /%([A-Z][A-Z0-9_]*)(?:\(([^)]*)\))?(?::(\d+))?%/y;

/** `%START_TIME(%Y/%m)%` has percent signs and no `)` inside its argument, so one pattern reads all of them. */
const parse = (format: string, at: string): readonly Part[] => {
  const parts: Part[] = [];
  let text = "";
  for (let i = 0; i < format.length; ) {
    const percent = format.indexOf("%", i);
    if (percent < 0) {
      text += format.slice(i);
      break;
    }
    text += format.slice(i, percent);
    if (format[percent + 1] === "%") {
      text += "%";
      i = percent + 2;
      continue;
    }
    operatorPattern.lastIndex = percent;
    const match = operatorPattern.exec(format);
    if (!match) throw new ConfigError(at, `format "${format}" has an operator at ${percent} that is not well formed`);
    if (text !== "") parts.push(text);
    text = "";
    parts.push(compileOperator({ name: match[1] ?? "", argument: match[2], length: match[3] }, at));
    i = operatorPattern.lastIndex;
  }
  if (text !== "") parts.push(text);
  return parts;
};

export interface FormatOptions {
  /** What stands for a value that is not there: `-` in logs, nothing in headers. */
  readonly missing: string;
  /** Values come from peers: none may end the line, or the quotation marks that the format puts around it. */
  readonly escaped?: boolean;
}

/** Control characters of both sets, C1 among them: terminals take 0x9b for the start of a sequence. */
const unsafe = /["\\\p{Cc}]/u;
const unsafeAll = /["\\\p{Cc}]/gu;
const escapeOne = (char: string): string =>
  char === '"' || char === "\\" ? `\\${char}` : `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`;

/** The value as it would be between the quotation marks of a JSON string. Most are what they were in the line before. */
const escapeValue = (step: Step, value: string | number): string | number => {
  if (typeof value !== "string" || value === step.harmless) return value;
  if (unsafe.test(value)) return value.replace(unsafeAll, escapeOne);
  if (value.length <= harmlessCharsMax) step.harmless = value;
  return value;
};

/** A value that is remembered holds no more than this. */
const harmlessCharsMax = 256;

/** Compiles to a function that gives the whole text. A format without operators costs nothing per call. */
export const compileFormat = (
  format: string,
  { missing, escaped = false }: FormatOptions,
  at: string,
): ((source: FormatSource) => string) => {
  const parts = parse(format, at);
  const [only] = parts;
  if (parts.length === 0) return () => "";
  if (parts.length === 1 && typeof only === "string") return () => only;
  const steps = stepsOf(parts);
  return (source) => {
    let out = "";
    for (let i = 0; i < steps.length; i++) {
      const step = steps[i] as Step;
      const { before, operator, mayBeEmpty } = step;
      const value = operator(source);
      out += before;
      if (value === undefined || (value === "" && !mayBeEmpty)) out += missing;
      else out += escaped ? escapeValue(step, value) : value;
    }
    return out;
  };
};

interface Step {
  /** The text ahead of the value. */
  readonly before: string;
  readonly operator: Operator;
  /** The one value that may be empty and is there all the same. */
  readonly mayBeEmpty: boolean;
  /** Its value of late, which needs no escapes. */
  harmless: string | undefined;
}

const nothing: Operator = () => "";

/** Each operator with the text before it; what is behind the last one comes as text before nothing. */
const stepsOf = (parts: readonly Part[]): readonly Step[] => {
  const steps: Step[] = [];
  let before = "";
  for (const part of parts) {
    if (typeof part === "string") before += part;
    else {
      steps.push({ before, operator: part, mayBeEmpty: part === localReplyBody, harmless: undefined });
      before = "";
    }
  }
  if (before !== "") steps.push({ before, operator: nothing, mayBeEmpty: true, harmless: undefined });
  return steps;
};

/** True when the format is plain text that never changes. */
export const isConstantFormat = (format: string): boolean => !format.includes("%");

/** Compiles to the typed value when the format is one operator alone; otherwise to text. For JSON logs. */
export const compileTypedFormat = (
  format: string,
  at: string,
): ((source: FormatSource) => string | number | undefined) => {
  const parts = parse(format, at);
  const [only] = parts;
  if (parts.length === 1 && typeof only === "function") return only;
  return compileFormat(format, { missing: "-" }, at);
};
