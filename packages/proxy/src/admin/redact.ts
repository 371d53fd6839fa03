/** Private keys and the like never leave by the admin interface: Envoy's words stand in for them. */
const redactedText = "[redacted]";
const redactedBytes = Buffer.from(redactedText).toString("base64");
/** Fields that hold secrets, as JSON names them. */
const secretFields: ReadonlySet<string> = new Set([
  "privateKey",
  "pkcs12",
  "password",
  "secret",
  "keys",
  "privateKeyProvider",
]);
/** Where a field of such a common name really is one: a data source. */
const sourceFields: ReadonlySet<string> = new Set(["inlineString", "inlineBytes"]);

/** The same resource with key material replaced. File names and environment variables stay: they tell where to look. */
export const redact = <T>(json: T): T => walk(json, false) as T;

const walk = (json: unknown, hidden: boolean): unknown => {
  if (Array.isArray(json)) return json.map((item) => walk(item, hidden));
  if (typeof json !== "object" || json === null) return json;
  return Object.fromEntries(
    Object.entries(json).map(([key, value]): [string, unknown] => {
      if (hidden && sourceFields.has(key)) return [key, key === "inlineBytes" ? redactedBytes : redactedText];
      return [key, walk(value, hidden || secretFields.has(key))];
    }),
  );
};
