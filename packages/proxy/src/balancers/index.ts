import type { BalancerKind } from "./balancer.ts";
import { clusterProvided } from "./cluster-provided.ts";
import { leastRequest } from "./least-request.ts";
import { maglev } from "./maglev.ts";
import { peakEwma } from "./peak-ewma.ts";
import { random } from "./random.ts";
import { ringHash } from "./ring-hash.ts";
import { roundRobin } from "./round-robin.ts";

/** Every balancer there is; one conformance suite runs over the list. */
export const balancers: readonly BalancerKind[] = [
  roundRobin,
  leastRequest,
  random,
  ringHash,
  maglev,
  peakEwma,
  clusterProvided,
];
