/** The checks behind `format`: each gives what is wrong with a text, or `undefined`. */
import { RE2JS } from "re2js";
import type { Format } from "./schema.ts";

type Check = (value: string) => string | undefined;

const label = /^[a-zA-Z0-9_]([-a-zA-Z0-9_]{0,61}[a-zA-Z0-9_])?$/;
const isDnsName = (value: string): boolean =>
  value.length <= 253 &&
  value
    .replace(/\.$/, "")
    .split(".")
    .every((part) => label.test(part));

/** Dotted quad without leading zeros, or an IPv6 address without a zone. */
export const isIp = (value: string): boolean => isIpv4(value) || isIpv6(value);

const isIpv4 = (value: string): boolean =>
  /^(?:\d{1,3}\.){3}\d{1,3}$/.test(value) &&
  value.split(".").every((part) => Number(part) <= 255 && String(Number(part)) === part);

const isIpv6 = (value: string): boolean => {
  const halves = value.split("::");
  if (value.length < 2 || halves.length > 2) return false;
  const groups = (half: string) => (half === "" ? [] : half.split(":"));
  const all = halves.flatMap(groups);
  const tail = all.at(-1) ?? "";
  const mapped = tail.includes(".");
  const hex = mapped ? all.slice(0, -1) : all;
  if (mapped && !isIpv4(tail)) return false;
  if (!hex.every((group) => /^[0-9a-fA-F]{1,4}$/.test(group))) return false;
  const count = hex.length + (mapped ? 2 : 0);
  return halves.length === 2 ? count <= 7 : count === 8;
};

const isIpOrCidr = (value: string): boolean => {
  const [ip = "", bits, ...rest] = value.split("/");
  if (rest.length > 0 || !isIp(ip)) return false;
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (ip.includes(":") ? 128 : 32));
};

const isWildcardHost = (value: string): boolean =>
  value === "*" || isIp(value) || isDnsName(value.startsWith("*.") ? value.slice(2) : value);

const regexLengthMax = 1024;
/** Instructions of the machine an expression becomes: what the proxies of the mesh take, whose time it is. */
const regexStepsMax = 1024;

/** Users' expressions are RE2: linear in time whatever the input. */
const regexProblem: Check = (value) => {
  if (value === "") return "the expression is empty";
  if (value.length > regexLengthMax) return `the expression has more than ${regexLengthMax} characters`;
  try {
    const steps = RE2JS.compile(value).programSize();
    if (steps > regexStepsMax) return `the expression takes ${steps} steps to match, more than ${regexStepsMax}`;
    return undefined;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return (
      `not an RE2 expression (${reason.replace(/^error parsing regexp: /, "")}); RE2 has no ` +
      `look-around and no back-references`
    );
  }
};

const says =
  (test: (value: string) => boolean, problem: string): Check =>
  (value) =>
    test(value) ? undefined : problem;

const checks: { readonly [F in Format]: Check } = {
  dnsName: says(isDnsName, "not a DNS name"),
  serviceHost: (value) => {
    if (value.includes("*")) return "it must be one service, not a wildcard";
    return isDnsName(value) || isIp(value) ? undefined : "not a host name";
  },
  destinationHost: (value) => {
    if (value === "*") return "a destination must be one service; the wildcard host of one begins with `*.`";
    return isWildcardHost(value) ? undefined : "not a host name; only a leading `*.` may be a wildcard";
  },
  host: says(isWildcardHost, "not a host name; only a leading `*.` may be a wildcard"),
  gatewayHost: (value) => {
    const parts = value.split("/");
    const [namespace, host] = parts.length === 2 ? parts : ["*", parts[0]];
    const namespaceGood = namespace === "*" || namespace === "." || (namespace !== undefined && label.test(namespace));
    return parts.length <= 2 && namespaceGood && isWildcardHost(host ?? "")
      ? undefined
      : "not `[NAMESPACE/]HOST`, with `*`, `.` or a name as the namespace";
  },
  sidecarHost: (value) => {
    const [namespace = "", host = "", ...rest] = value.split("/");
    const named = namespace === "~" ? "*" : namespace.replace(/^~/, "");
    const namespaceGood = named === "*" || named === "." || label.test(named);
    return rest.length === 0 && namespaceGood && isWildcardHost(host)
      ? undefined
      : "not `NAMESPACE/HOST`, with `*` (all), `.` (this), `~` (none) or a name as the namespace, or `~` before it";
  },
  ip: says(isIp, "not an IP address"),
  ipOrCidr: says(isIpOrCidr, "neither an IP address nor a CIDR such as 10.0.0.0/8"),
  regex: regexProblem,
  regexOrPresence: (value) => (value === "*" ? undefined : regexProblem(value)),
  headerName: says((value) => /^:?[!#$%&'*+\-.^_`|~0-9a-zA-Z]+$/.test(value), "not a header name"),
  labelValue: says(
    (value) => value.length <= 63 && /^([a-zA-Z0-9]([-._a-zA-Z0-9]*[a-zA-Z0-9])?)?$/.test(value),
    "not a label's value: at most 63 of letters, digits, `-`, `_`, `.`, with a letter or digit at both ends",
  ),
  namespaceScope: says(
    (value) => value === "*" || value === "." || value === "~" || (value.length <= 63 && label.test(value)),
    "neither `.`, `*` nor a namespace",
  ),
};

/** What is wrong with `value` as that format; `undefined` when it is one. */
export const formatProblem = (format: Format, value: string): string | undefined => checks[format](value);
