/** Findings that a user has said are meant. */
import type { ConfigObject } from "../config-object.ts";
import type { CodeFacts } from "./analyzer.ts";

const annotationNames = ["weft.dev/suppress", "galley.istio.io/analyze-suppress"];

/** Whether the object asks, by an annotation, not to be told of the code (ours, Istio's or Kiali's; `*` is all). */
export const isSuppressed = (
  { annotations }: ConfigObject,
  { code, also }: Pick<CodeFacts, "code" | "also">,
): boolean =>
  annotationNames.some((name) => {
    const words = (annotations[name] ?? "").split(",").map((word) => word.trim());
    return words.includes("*") || [code, ...also].some((one) => words.includes(one));
  });

/** Those that do not ask so: what clashes only with an object that does is not told of either. */
export const notSuppressed = <T extends ConfigObject>(
  objects: readonly T[],
  facts: Pick<CodeFacts, "code" | "also">,
): T[] => objects.filter((object) => !isSuppressed(object, facts));
