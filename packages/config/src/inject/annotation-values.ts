/** Readers of annotation values: each gives the value, or the words for what was wanted. */
import { isIPv4, isIPv6 } from "@weft/core/ip";
import { parseDocuments } from "../yaml/parse-documents.ts";
import { isObject, type JsonObject } from "./json-values.ts";

/** A value, or what the annotation should have said. */
export type Reading<T> =
  | { readonly kind: "value"; readonly value: T }
  | { readonly kind: "wanted"; readonly what: string };

const value = <T>(found: T): Reading<T> => ({ kind: "value", value: found });
const wanted = (what: string): { readonly kind: "wanted"; readonly what: string } => ({ kind: "wanted", what });

export type Read<T> = (text: string) => Reading<T>;

export const readAny: Read<string> = value;

/** As Go's ParseBool has it, which Istio uses. */
export const readBool: Read<boolean> = (text) => {
  if (["1", "t", "T", "true", "TRUE", "True", "y", "yes", "on"].includes(text)) return value(true);
  if (["0", "f", "F", "false", "FALSE", "False", "n", "no", "off"].includes(text)) return value(false);
  return wanted("true or false");
};

/** `500m`, `1.5`, `128Mi`, `1e3`: a Kubernetes quantity above nothing. */
export const readQuantity: Read<string> = (text) =>
  /^\+?(\d+(\.\d*)?|\.\d+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?$/.test(text)
    ? value(text)
    : wanted("a quantity, such as 500m or 128Mi");

export const readNumber =
  (min: number, max: number): Read<number> =>
  (text) => {
    const number = Number(text);
    return /^\d+$/.test(text) && number >= min && number <= max
      ? value(number)
      : wanted(`a number from ${min} to ${max}`);
  };

const isPort = (text: string): boolean => /^\d{1,5}$/.test(text) && Number(text) >= 1 && Number(text) <= 65_535;

/** `80,443`; with `all` also `*`. Empty is none. */
export const readPorts =
  (all: boolean): Read<string> =>
  (text) => {
    if (all && text.trim() === "*") return value("*");
    const ports = text.split(",").map((port) => port.trim());
    const given = ports.filter((port) => port !== "");
    return given.every(isPort) ? value(given.join(",")) : wanted(`ports such as 80,443${all ? ", or *" : ""}`);
  };

const isCidr = (text: string): boolean => {
  const [address = "", length, ...more] = text.split("/");
  const bits = isIPv4(address) ? 32 : isIPv6(address) ? 128 : undefined;
  if (bits === undefined || more.length > 0) return false;
  return length === undefined || (/^\d{1,3}$/.test(length) && Number(length) <= bits);
};

/** `10.0.0.0/8,fd00::/8`; with `all` also `*`. */
export const readCidrs =
  (all: boolean): Read<string> =>
  (text) => {
    if (all && text.trim() === "*") return value("*");
    const cidrs = text.split(",").map((cidr) => cidr.trim());
    const given = cidrs.filter((cidr) => cidr !== "");
    return given.every(isCidr) ? value(given.join(",")) : wanted(`CIDRs such as 10.0.0.0/8${all ? ", or *" : ""}`);
  };

export const readWord =
  <const W extends string>(...words: readonly W[]): Read<W> =>
  (text) => {
    const found = words.find((word) => word === text);
    return found === undefined ? wanted(`one of ${words.join(", ")}`) : value(found);
  };

export const readLogLevel = readWord("trace", "debug", "info", "warning", "warn", "error", "critical", "off");

/** No space, so that it stays one word of a command line; the names that registries, hosts and levels have. */
export const readWordless: Read<string> = (text) =>
  /^[\w.:/@[\]-]{1,512}$/.test(text) ? value(text) : wanted("a name without spaces");

/** JSON as Istio has it for volumes: an object by name, or a list whose items are named. */
export const readNamed =
  (make: (name: string, item: JsonObject) => JsonObject): Read<readonly JsonObject[]> =>
  (text) => {
    const parsed = readYaml(text);
    if (Array.isArray(parsed) && parsed.every((item) => isObject(item) && typeof item.name === "string"))
      return value(parsed as readonly JsonObject[]);
    if (isObject(parsed) && Object.values(parsed).every((item) => isObject(item)))
      return value(Object.entries(parsed).map(([name, item]) => make(name, item as JsonObject)));
    return wanted('JSON such as {"name": {…}}');
  };

/** YAML of one object; nothing written is the empty one. */
export const readYamlObject: Read<JsonObject> = (text) => {
  const parsed = text.trim() === "" ? {} : readYaml(text);
  return isObject(parsed) ? value(parsed) : wanted("YAML of an object");
};

const readYaml = (text: string): unknown => {
  const { documents, problems } = parseDocuments(text, "annotation");
  return problems.length > 0 || documents.length !== 1 ? undefined : documents[0]?.value;
};
