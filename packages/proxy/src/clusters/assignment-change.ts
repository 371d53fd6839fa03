import { isDeepStrictEqual } from "node:util";
import { type Assignment, type EndpointSpec, targetAddress } from "./endpoints.ts";

/** Of two endpoints at one address the later one holds, and their order says nothing. */
const byAddress = (endpoints: readonly EndpointSpec[]): Map<string, EndpointSpec> =>
  new Map(endpoints.map((spec) => [targetAddress(spec.target), spec]));

/** Whether the second assignment says of any endpoint, or of how they are used, something else than the first. */
export const differs = (before: Assignment, after: Assignment): boolean => {
  if (before === after) return false;
  const known = byAddress(before.endpoints);
  const wanted = byAddress(after.endpoints);
  if (known.size !== wanted.size) return true;
  for (const [address, spec] of wanted) if (!isDeepStrictEqual(known.get(address), spec)) return true;
  return !isDeepStrictEqual(
    { ...before, endpoints: [], staleAfterMs: 0 },
    { ...after, endpoints: [], staleAfterMs: 0 },
  );
};
