/** Rules several kinds share, on values whose shape is already right. */
import { shapeCodes } from "../schema/codes.ts";
import type { FieldPath } from "../schema/problem.ts";
import type { RuleTools } from "./kind.ts";

/** Short ways to report, with the path from the spec. */
export interface Reporter {
  readonly bad: (path: FieldPath, message: string) => void;
  readonly missing: (path: FieldPath, message: string) => void;
  readonly both: (path: FieldPath, message: string) => void;
  readonly warn: (path: FieldPath, message: string) => void;
  readonly deprecated: (path: FieldPath, message: string) => void;
}

export const reporter = ({ report }: RuleTools): Reporter => ({
  bad: (path, message) => report(path, { code: shapeCodes.badValue, message }),
  missing: (path, message) => report(path, { code: shapeCodes.missingField, message, onKey: true }),
  both: (path, message) => report(path, { code: shapeCodes.exclusiveFields, message, onKey: true }),
  warn: (path, message) => report(path, { code: shapeCodes.badValue, level: "warning", message }),
  deprecated: (path, message) => report(path, { code: shapeCodes.deprecatedField, level: "warning", message }),
});

/** Reports each value that came before in the list. */
export const checkUnique = (values: readonly string[], again: (index: number, value: string) => void): void => {
  const seen = new Set<string>();
  for (const [index, value] of values.entries()) {
    if (seen.has(value)) again(index, value);
    seen.add(value);
  }
};

export const checkExportTo = (exportTo: readonly string[] | undefined, { bad }: Reporter): void => {
  if (exportTo === undefined) return;
  checkUnique(exportTo, (index, value) => bad(["exportTo", index], `exportTo names "${value}" twice: remove one`));
  if (exportTo.length > 1 && exportTo.includes("*")) {
    bad(["exportTo"], 'exportTo has "*" beside other namespaces: keep "*" alone, or leave it out');
  }
  if (exportTo.length > 1 && exportTo.includes("~")) {
    bad(["exportTo"], 'exportTo has "~" (nobody) beside other namespaces: keep one of them');
  }
};

/** Words for which Istio has a protocol, in upper case. */
const protocolWords = new Set([
  "HTTP",
  "HTTPS",
  "GRPC",
  "GRPC-WEB",
  "HTTP2",
  "MONGO",
  "TCP",
  "TLS",
  "REDIS",
  "MYSQL",
  "UDP",
]);

export const isProtocol = (word: string): boolean => protocolWords.has(word.toUpperCase());

const headerName = /^[!#$%&'*+\-.^_`|~0-9a-zA-Z]+$/;
export const isHeaderName = (name: string): boolean => headerName.test(name);

const suffixOf = (host: string): string => (host === "*" ? "" : host.startsWith("*.") ? host.slice(1) : host);

/** Whether every name `host` stands for is also one of `pattern`'s: `a.b` and `*.a.b` are within `*.b` and `*`. */
export const isHostWithin = (host: string, pattern: string): boolean => {
  if (host === pattern || pattern === "*") return true;
  if (!pattern.startsWith("*.")) return false;
  return suffixOf(host).endsWith(suffixOf(pattern)) && suffixOf(host).length > suffixOf(pattern).length - 1;
};
