/** Rules of Secret that its schema cannot say. No message repeats what a Secret holds. */
import type { RuleTools } from "./kind.ts";
import { reporter } from "./rules.ts";
import type { SecretSpec } from "./secret.ts";

/** What is shown in place of an entry. */
export const redacted = "[redacted]";

/** As in Kubernetes, in bytes of all entries as written. */
export const secretBytesMax = 1_048_576;

const isBase64 = (text: string): boolean => {
  const digits = text.replaceAll(/[\r\n]/g, "");
  return digits.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(digits);
};

export const validateSecret = ({ data = {}, stringData = {} }: SecretSpec, tools: RuleTools): void => {
  const { bad } = reporter(tools);
  let bytes = 0;
  for (const [field, entries] of [
    ["data", data],
    ["stringData", stringData],
  ] as const) {
    for (const [name, value] of Object.entries(entries)) {
      bytes += value.length;
      const place = [field, name];
      if (value === redacted) {
        bad(
          place,
          `${field} "${name}" is "${redacted}", which only stands for what was not shown: write the entry itself`,
        );
      } else if (field === "data" && !isBase64(value)) {
        bad(place, `data "${name}" is not base64: encode it, or write it under stringData as it is`);
      }
    }
  }
  if (bytes > secretBytesMax) bad([], `the Secret holds ${bytes} bytes; at most ${secretBytesMax} are taken`);
};
