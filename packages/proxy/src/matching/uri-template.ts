/** URI templates of Envoy's path match and rewrite policies: `/users/{id}/**`, rewritten as `/v2/{id}`. */
import { ConfigError } from "@weft/core/config-error";
import { type Captures, compileCaptures } from "./regex.ts";

/** Envoy's bounds. */
const variablesMax = 5;
const nameCharsMax = 16;

const literal = "a-zA-Z0-9\\-._~%!$&'()+,;:@";
const isLiteral = new RegExp(`^[${literal}]+$`);
const isRewriteLiteral = new RegExp(`^[${literal}/]+$`);
const isName = /^[a-zA-Z][a-zA-Z0-9_]*$/;
const globs: ReadonlyMap<string, string> = new Map([
  ["*", `[${literal}]+`],
  ["**", `[${literal}/]*`],
]);

const quote = (text: string): string => text.replace(/[$()+.]/g, "\\$&");

interface Parsed {
  readonly pattern: string;
  readonly names: readonly string[];
  /** What every path it takes begins with. */
  readonly prefix: string;
}

class Parser {
  readonly names: string[] = [];
  private readonly at: string;
  private sawTextGlob = false;

  constructor(at: string) {
    this.at = at;
  }
  fail(problem: string): never {
    throw new ConfigError(this.at, problem);
  }
  /** A literal or a glob; a glob may not follow `**`. */
  part(text: string): string {
    const glob = globs.get(text);
    if (glob === undefined) return isLiteral.test(text) ? quote(text) : this.fail(`"${text}" is not a path segment`);
    if (this.sawTextGlob) this.fail("has a wildcard after **");
    this.sawTextGlob = text === "**";
    return glob;
  }
  variable(text: string): string {
    const equals = text.indexOf("=");
    const name = equals < 0 ? text : text.slice(0, equals);
    if (!isName.test(name) || name.length > nameCharsMax) this.fail(`"${name}" is not a variable's name`);
    if (this.names.includes(name)) this.fail(`has the variable "${name}" twice`);
    if (this.names.length === variablesMax) this.fail(`has more than ${variablesMax} variables`);
    this.names.push(name);
    const parts = equals < 0 ? ["*"] : text.slice(equals + 1).split("/");
    return `(${parts.map((part) => this.part(part)).join("/")})`;
  }
}

/** One segment and what may follow its closing brace or glob as a suffix of the whole. */
const segmentPattern = (segment: string, last: boolean, parser: Parser): string => {
  const shape = /^(\{[^}]*\}|\*\*|\*)(.*)$/.exec(segment);
  if (!shape) return parser.part(segment);
  const [, head = "", suffix = ""] = shape;
  if (suffix !== "" && (!last || !isLiteral.test(suffix))) parser.fail(`"${suffix}" may stand only at the end`);
  return (head.startsWith("{") ? parser.variable(head.slice(1, -1)) : parser.part(head)) + quote(suffix);
};

/** Slashes within braces separate no segments. */
const splitSegments = (text: string): readonly string[] => {
  const segments: string[] = [""];
  let depth = 0;
  for (const char of text) {
    if (char === "{") depth++;
    if (char === "}") depth--;
    if (char === "/" && depth === 0) segments.push("");
    else segments[segments.length - 1] += char;
  }
  return segments;
};

const parse = (template: string, at: string): Parsed => {
  const parser = new Parser(at);
  if (!/^\/[\x21-\x7e]*$/.test(template)) parser.fail("must begin with a slash and be printable");
  const segments = splitSegments(template.slice(1));
  const patterns = segments.map((segment, index) => {
    const last = index === segments.length - 1;
    if (segment === "" && last) return "";
    return segmentPattern(segment, last, parser);
  });
  const open = template.search(/[*{]/);
  return {
    pattern: `/${patterns.join("/")}`,
    names: parser.names,
    prefix: open < 0 ? template : template.slice(0, open),
  };
};

export interface UriTemplate {
  readonly names: readonly string[];
  readonly prefix: string;
  readonly test: (path: string) => boolean;
  /** The variables' texts, in the order of `names`; `undefined` for a path it does not take. */
  readonly capture: Captures;
}

/** Compiles a template to match a whole path without its query. */
export const compileUriTemplate = (template: string, at: string): UriTemplate => {
  const { pattern, names, prefix } = parse(template, at);
  const { test, capture } = compileCaptures(pattern, at);
  return { names, prefix, test, capture };
};

/** Compiles what a path that `template` takes is rewritten to. */
export const compileTemplateRewrite = (
  rewrite: string,
  template: UriTemplate,
  at: string,
): ((path: string) => string | undefined) => {
  if (!rewrite.startsWith("/")) throw new ConfigError(at, "must begin with a slash");
  const parts: (string | number)[] = [];
  for (const piece of rewrite.split(/(\{[^{}]*\})/)) {
    if (piece === "") continue;
    if (!piece.startsWith("{")) {
      if (!isRewriteLiteral.test(piece) || piece.includes("//")) throw new ConfigError(at, `"${piece}" is not a path`);
      parts.push(piece);
      continue;
    }
    const index = template.names.indexOf(piece.slice(1, -1));
    if (index < 0) throw new ConfigError(at, `the match has no variable ${piece}`);
    parts.push(index);
  }
  return (path) => {
    const texts = template.capture(path);
    return texts && parts.map((part) => (typeof part === "number" ? (texts[part] ?? "") : part)).join("");
  };
};
