/** Path normalization at the edge of the proxy, so that matchers and policies see one spelling of a path. */

export type EscapedSlashes = "keep" | "reject" | "redirect" | "forward";

export interface NormalizeOptions {
  /** RFC 3986 section 6: unreserved characters unescaped, dot segments removed. */
  readonly normalize: boolean;
  readonly mergeSlashes: boolean;
  /** What becomes of `%2F` and `%5C`. */
  readonly escapedSlashes: EscapedSlashes;
}

export type NormalizedPath =
  | { readonly kind: "path"; readonly path: string }
  /** Answer 400. */
  | { readonly kind: "reject" }
  /** Answer 307 with this location. */
  | { readonly kind: "redirect"; readonly path: string };

const rejected: NormalizedPath = { kind: "reject" };

/** Nothing in such a path can change: no escape, no backslash, no dot segment, no double slash. */
const settled = /^(?:\/[A-Za-z0-9_~!$&'()*+,;=:@-][A-Za-z0-9_~!$&'()*+,;=:@.-]*)*\/?$/;

const isUnreserved = (code: number): boolean =>
  (code >= 48 && code <= 57) ||
  (code >= 65 && code <= 90) ||
  (code >= 97 && code <= 122) ||
  code === 45 ||
  code === 46 ||
  code === 95 ||
  code === 126;

/** Heads are read byte by byte: one character is one byte. */
const escapeByte = (byte: string): string => `%${byte.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`;

/**
 * Unescapes what need not be escaped, writes the other escapes in upper case, and escapes bytes above ASCII;
 * `undefined` for a broken escape.
 */
const normalizeEscapes = (path: string): string | undefined => {
  if (/%(?![0-9A-Fa-f]{2})/.test(path) || /%00/.test(path)) return undefined;
  return path.replace(/[\x80-\xff]/g, escapeByte).replace(/%[0-9A-Fa-f]{2}/g, (triplet) => {
    const code = Number.parseInt(triplet.slice(1), 16);
    return isUnreserved(code) ? String.fromCharCode(code) : triplet.toUpperCase();
  });
};

/** Removes `.` and `..` segments (RFC 3986 section 5.2.4); `..` above the root stays at the root. */
const removeDotSegments = (path: string): string => {
  const out: string[] = [];
  const segments = path.split("/");
  for (const [index, segment] of segments.entries()) {
    const last = index === segments.length - 1;
    if (segment === ".") {
      if (last) out.push("");
    } else if (segment === "..") {
      if (out.length > 1) out.pop();
      if (last) out.push("");
    } else {
      out.push(segment);
    }
  }
  return out.join("/");
};

/** Applies the configured steps to a request's path; query and fragment are left as they are. */
export const normalizePath = (whole: string, options: NormalizeOptions): NormalizedPath => {
  const { normalize, mergeSlashes, escapedSlashes } = options;
  if (!whole.startsWith("/")) return { kind: "path", path: whole };
  const end = whole.search(/[?#]/);
  const before = end < 0 ? whole : whole.slice(0, end);
  if (settled.test(before)) return { kind: "path", path: whole };
  const rest = end < 0 ? "" : whole.slice(end);
  let path = before;
  let redirect = false;
  if (escapedSlashes !== "keep" && /%2f|%5c/i.test(path)) {
    if (escapedSlashes === "reject") return rejected;
    redirect = escapedSlashes === "redirect";
    path = path.replace(/%2f/gi, "/").replace(/%5c/gi, "\\");
  }
  if (normalize) {
    const unescaped = normalizeEscapes(path);
    if (unescaped === undefined) return rejected;
    // Browsers take a backslash for a slash, so a policy must too.
    path = removeDotSegments(unescaped.replaceAll("\\", "/"));
  }
  if (mergeSlashes) path = path.replace(/\/{2,}/g, "/");
  return redirect ? { kind: "redirect", path: path + rest } : { kind: "path", path: path + rest };
};
