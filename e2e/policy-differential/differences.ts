import type { Outcome } from "./ask.ts";
import type { Case } from "./make-corpus.ts";

/** Where the two are meant to differ, and why. An entry that no case needs fails the test. */
export interface Difference {
  readonly name: string;
  readonly because: string;
  readonly holds: (test: Case, envoy: Outcome, weft: Outcome) => boolean;
}

const without = (lines: readonly string[], ...names: readonly string[]): readonly string[] =>
  lines.filter((line) => !names.some((name) => line.startsWith(`${name}:`)));
const same = (one: readonly string[], other: readonly string[]): boolean => one.join("\n") === other.join("\n");

export const differences: readonly Difference[] = [
  {
    name: "the length of what HEAD does not get",
    because: "we say how long a local answer would be; Envoy says it would come in chunks",
    holds: ({ request }, envoy, weft) =>
      request.method === "HEAD" &&
      envoy.status === weft.status &&
      envoy.seen === "" &&
      same(without(envoy.headers, "transfer-encoding"), without(weft.headers, "content-length")),
  },
];
