/** Codes of what only the resources made for a proxy can show; the control plane finds them. */
import type { CodeFacts } from "./analyzer.ts";

/** An EnvoyFilter's patch met nothing in any proxy it is for. */
export const envoyFilterMatchesNothing: CodeFacts = {
  code: "WF1136",
  level: "warning",
  also: [],
  title: "an EnvoyFilter's patch matches nothing",
  explain: `The patch was tried on the resources of every connected proxy that the EnvoyFilter selects, and met none: a name
in its match is misspelt, of another release, or of something these proxies do not have. Look at the names with
\`weft config dump\` of such a proxy and correct the match. Until a proxy that it selects is connected, nothing can be
told.`,
};

export const madeCodes: readonly CodeFacts[] = [envoyFilterMatchesNothing];
