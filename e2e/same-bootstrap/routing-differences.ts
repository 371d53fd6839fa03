/** Requests that the two route differently: the words that only the one has, and why. */
import type { Difference } from "./pair.ts";

const because = [
  "ours knows the status of its own answer when headers ask for it",
  "RFC 9110 section 8.6: a request without content, of a method that expects none, has no content-length",
] as const;

const lengthOfNothing: Difference = { envoy: '"content-length":"0",', weft: "", because: because[1] };

export const routingDifferences: ReadonlyMap<string, Difference> = new Map([
  ["redirects: /headers", { envoy: "0", weft: "301", because: because[0] }],
  ...["/cors", "/cors-credentials", "/cors-strict", "/cors-off"].map(
    (path) => [`filters: ${path} of a stranger`, lengthOfNothing] as const,
  ),
  [
    "filters: /cors OPTIONS that is no preflight",
    {
      ...lengthOfNothing,
      envoy: '"headers":{"content-length":"0", "host":"filters.example",',
      weft: '"headers":{"host":"filters.example",',
    },
  ],
]);
