/** What a kind is: its names, its schema, and the rules its schema cannot say. */

import type { FieldPath, Problem } from "../schema/problem.ts";
import type { Fields, Infer, ObjectSchema } from "../schema/schema.ts";

/** What a kind's own rules get beside the spec: the object's name, and where to report. */
export interface RuleTools {
  readonly name: string;
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  /** `path` counts from the spec, such as `["http", 0, "timeout"]`. */
  readonly report: (path: FieldPath, problem: Problem) => void;
}

interface KindFacts {
  readonly name: string;
  readonly plural: string;
  /** As kubectl abbreviates it: `vs`. */
  readonly shortNames?: readonly string[];
  /** API group; empty for core Kubernetes kinds. */
  readonly group: string;
  /** Served versions, the preferred one first. */
  readonly versions: readonly string[];
  readonly about: string;
  /** The spec's fields stand beside `metadata`, not under `spec`. */
  readonly bodyIsRoot?: boolean;
  /** Taken and checked, but nothing in the mesh acts on it; says what to know about that. */
  readonly inert?: string;
  readonly clusterScoped?: boolean;
}

export interface Kind extends KindFacts {
  readonly schema: ObjectSchema;
  /** Runs only on a spec that its schema accepts. */
  readonly validate: (spec: unknown, tools: RuleTools) => void;
}

interface KindDefinition<F extends Fields> extends KindFacts {
  readonly schema: ObjectSchema<F>;
  readonly validate?: (spec: Infer<ObjectSchema<F>>, tools: RuleTools) => void;
}

/** Ties a kind's rules to the type its schema gives; the type is erased here, once. */
export const defineKind = <F extends Fields>(definition: KindDefinition<F>): Kind => ({
  ...definition,
  schema: definition.schema as unknown as ObjectSchema,
  validate: (spec, tools) => definition.validate?.(spec as Infer<ObjectSchema<F>>, tools),
});
