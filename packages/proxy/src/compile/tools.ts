import type { Clock, Random } from "@weft/core/world";
import type { CountsSource } from "../clusters/counts.ts";
import type { Histogram } from "../observe/stats.ts";
import type { ContextInput } from "../runtime/secrets.ts";

/** What compiled configuration may ask of the world when it runs. */
export interface CompileTools {
  readonly random: Random;
  readonly clock: Clock;
  /** Where counts are kept; objects of this thread when absent. */
  readonly counts?: CountsSource;
  /** The histogram of that name; absent where nothing is measured. */
  readonly histogram?: ((name: string) => Histogram) | undefined;
  /** Throws ConfigError where key material that is given by files cannot be used; absent: it shows when it is needed. */
  readonly checkKeyFiles?: ((input: ContextInput, at: string) => void) | undefined;
}
