/** What an analyzer is: one thing that can be wrong across objects, with its explanation and an example of it. */
import type { ConfigObject } from "../config-object.ts";
import type { FieldPath, Level } from "../schema/problem.ts";
import type { Facts } from "./facts.ts";

/** One place where it is so. `path` counts from the object's root. */
export interface Hit {
  readonly object: ConfigObject;
  readonly path: FieldPath;
  /** Says what is wrong and what to change. */
  readonly message: string;
  /** Where it weighs other than the analyzer's own level. */
  readonly level?: Level;
}

/** What is known of a code without looking at any configuration. */
export interface CodeFacts {
  readonly code: string;
  readonly level: Level;
  /** Codes of Istio's and Kiali's checks that mean the same. */
  readonly also: readonly string[];
  readonly title: string;
  /** A paragraph of markdown: what it means, what happens in the mesh, what to do. */
  readonly explain: string;
}

export interface Analyzer extends CodeFacts {
  readonly run: (facts: Facts) => readonly Hit[];
  /** YAML that has the finding, and the same put right; tests hold both to it. */
  readonly example: { readonly bad: string; readonly good: string };
}
