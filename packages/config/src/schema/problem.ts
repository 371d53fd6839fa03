/** Where and what is wrong in a value, before it is tied to a file. */

/** Keys and indices from the value's root. */
export type FieldPath = readonly (string | number)[];

export type Level = "error" | "warning" | "info";

export interface Problem {
  readonly code: string;
  /** `error` when absent. */
  readonly level?: Level;
  readonly message: string;
  /** The field's name itself is at fault, so the position is that of the name. */
  readonly onKey?: boolean;
}

/** `http[0].match[1].uri`; keys that are not plain names are quoted. */
export const formatPath = (path: FieldPath): string =>
  path.reduce<string>((text, step) => {
    if (typeof step === "number") return `${text}[${step}]`;
    const plain = /^[A-Za-z_$][\w$-]*$/.test(step);
    return plain ? (text === "" ? step : `${text}.${step}`) : `${text}[${JSON.stringify(step)}]`;
  }, "");
