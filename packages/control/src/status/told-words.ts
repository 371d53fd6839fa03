/** What is known of another control plane's proxies, and what is to be said where that is not all. */
import type { Finding } from "@weft/config/finding";
import type { ToldProxies } from "./proxy-record.ts";

export type Word =
  | {
      readonly kind: "told";
      readonly id: string;
      readonly told: ToldProxies;
      readonly ageMs: number;
      readonly heard: number;
    }
  | { readonly kind: "unreadable" | "silent"; readonly id: string };

/** `undefined`: all is told. */
export const findingOfWord = (word: Word): Finding | undefined => {
  const finding = (code: string, message: string): Finding => ({
    ...{ code, level: "warning", message, kind: "ControlPlane", namespace: "", name: word.id },
    ...{ file: "", line: 0, column: 0, also: [] },
  });
  switch (word.kind) {
    case "unreadable":
      return finding(
        "WF2280",
        `what control plane ${word.id} tells of its proxies cannot be read; they are not counted`,
      );
    case "silent":
      return finding(
        "WF2281",
        `control plane ${word.id} is there and tells nothing of its proxies; they are not counted`,
      );
    case "told": {
      const left = word.told.kinds?.left ?? 0;
      if (left === 0) return undefined;
      return finding("WF2282", `control plane ${word.id} has ${left} proxies of more kinds than are told apart`);
    }
    default:
      return word satisfies never;
  }
};
