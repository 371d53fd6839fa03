import type { CompiledListener, FilterChain } from "./compile-listener.ts";

const chainsOf = ({ chains, defaultChain }: CompiledListener): ReadonlyMap<string, FilterChain> =>
  new Map([
    ...chains.map((chain) => [chain.match.identity, chain] as const),
    ...(defaultChain === undefined ? [] : [["default", defaultChain] as const]),
  ]);

/**
 * Hands the settings of each HTTP chain of `after` to the connections of the chain it replaces in `before`: same match,
 * same TLS, same network filters. Gives the chains of `before` that live on, with what they live on as.
 */
export const carryOver = (before: CompiledListener, after: CompiledListener): ReadonlyMap<FilterChain, FilterChain> => {
  const carried = new Map<FilterChain, FilterChain>();
  const old = chainsOf(before);
  for (const [key, chain] of chainsOf(after)) {
    const replaced = old.get(key);
    if (replaced?.terminal.kind !== "http" || chain.terminal.kind !== "http") continue;
    if (replaced.footing !== chain.footing) continue;
    replaced.terminal.slot.current = chain.terminal.slot.current;
    chain.terminal.slot = replaced.terminal.slot;
    carried.set(replaced, chain);
  }
  return carried;
};
