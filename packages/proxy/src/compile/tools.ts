import type { Clock, Random } from "@weft/core/world";

/** What compiled configuration may ask of the world when it runs. */
export interface CompileTools {
  readonly random: Random;
  readonly clock: Clock;
}
