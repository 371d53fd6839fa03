/** A finding: one thing worth telling about the configuration, with the place it is at. */
import type { Level } from "./schema/problem.ts";

/** The shape `analyze` prints; names are empty and numbers 0 where a finding belongs to no object or place. */
export interface Finding {
  readonly code: string;
  readonly level: Level;
  readonly message: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly file: string;
  readonly line: number;
  readonly column: number;
  /** Codes of Istio's and Kiali's checks that mean the same. */
  readonly also: readonly string[];
}
