import type { Clock, Random } from "@weft/core/world";
import type { DynamicNames } from "../clusters/cluster.ts";
import type { CountsSource } from "../clusters/counts.ts";
import type { Host, Locality } from "../clusters/host.ts";
import type { HostTable } from "../clusters/host-table.ts";
import type { UpdateCounters } from "../clusters/update-window.ts";
import type { DynamicHosts } from "../dns/dynamic-hosts.ts";
import type { Histogram } from "../observe/stats.ts";
import type { OnDemand } from "../on-demand/on-demand.ts";
import type { BucketMaker } from "../rate-limits/token-bucket.ts";
import type { ContextInput } from "../runtime/secrets.ts";

/** What compiled configuration may ask of the world when it runs. */
export interface CompileTools {
  readonly random: Random;
  readonly clock: Clock;
  /** Where counts are kept; objects of this thread when absent. */
  readonly counts?: CountsSource;
  /** Counts updates of clusters' endpoints; absent where nothing is measured. */
  readonly updates?: UpdateCounters;
  /** Makes buckets of tokens that all threads take from; each thread its own when absent. */
  readonly buckets?: BucketMaker | undefined;
  /** Opens the cache of names of a cluster whose hosts are those that requests ask for; absent where nothing is served. */
  readonly openNames?: ((names: DynamicNames, table: HostTable) => DynamicHosts) | undefined;
  /** The histogram of that name; absent where nothing is measured. */
  readonly histogram?: ((name: string) => Histogram) | undefined;
  /** The proxy's own locality, and the hosts of the cluster that it is itself of, where it knows them. */
  readonly local?: { readonly locality: Locality; readonly hosts: () => readonly Host[] } | undefined;
  /** Throws ConfigError where key material that is given by files cannot be used; absent: it shows when it is needed. */
  readonly checkKeyFiles?: ((input: ContextInput, at: string) => void) | undefined;
  /** Fetches what requests ask for and is not here; absent where nothing can be fetched. */
  readonly onDemand?: OnDemand | undefined;
}
