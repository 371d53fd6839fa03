/**
 * Envoy's substitution format strings (`%REQ(:METHOD)% %DURATION%`), compiled once. Access logs and header
 * operations share them.
 */
import { ConfigError } from "@weft/core/config-error";
import { compileOperator, type FormatSource, localReplyBody, type Operator } from "./format-operators.ts";

export type Part = string | Operator;

const operatorPattern = /%([A-Z][A-Z0-9_]*)(?:\(([^)]*)\))?(?::(\d+))?%/y;

/** `%START_TIME(%Y/%m)%` has percent signs and no `)` inside its argument, so one pattern reads all of them. */
export const parseFormat = (format: string, at: string): readonly Part[] => {
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
  /** What stands for a value that is not there. */
  readonly missing: string;
}

/** Compiles to a function that gives the whole text. A format without operators costs nothing per call. */
export const compileFormat = (
  format: string,
  { missing }: FormatOptions,
  at: string,
): ((source: FormatSource) => string) => {
  const parts = parseFormat(format, at);
  const [only] = parts;
  if (parts.length === 0) return () => "";
  if (parts.length === 1 && typeof only === "string") return () => only;
  const steps = stepsOf(parts);
  return (source) => {
    let out = "";
    for (let i = 0; i < steps.length; i++) {
      const { before, operator, mayBeEmpty } = steps[i] as Step;
      const value = operator(source);
      out += before;
      if (value === undefined || (value === "" && !mayBeEmpty)) out += missing;
      else out += value;
    }
    return out;
  };
};

export interface Step {
  /** The text ahead of the value. */
  readonly before: string;
  readonly operator: Operator;
  /** The one value that may be empty and is there all the same. */
  readonly mayBeEmpty: boolean;
}

const nothing: Operator = () => "";

/** Each operator with the text before it; what is behind the last one comes as text before nothing. */
export const stepsOf = (parts: readonly Part[]): readonly Step[] => {
  const steps: Step[] = [];
  let before = "";
  for (const part of parts) {
    if (typeof part === "string") before += part;
    else {
      steps.push({ before, operator: part, mayBeEmpty: part === localReplyBody });
      before = "";
    }
  }
  if (before !== "") steps.push({ before, operator: nothing, mayBeEmpty: true });
  return steps;
};

/** True when the format is plain text that never changes. */
export const isConstantFormat = (format: string): boolean => !format.includes("%");

/** Compiles to the typed value when the format is one operator alone; otherwise to text. For JSON logs. */
export const compileTypedFormat = (
  format: string,
  at: string,
): ((source: FormatSource) => string | number | undefined) => {
  const parts = parseFormat(format, at);
  const [only] = parts;
  if (parts.length === 1 && typeof only === "function") return only;
  return compileFormat(format, { missing: "-" }, at);
};
