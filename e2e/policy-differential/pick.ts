import type { Random } from "@weft/core/world";

/** Choices of one seeded random source. */
export interface Pick {
  chance(probability: number): boolean;
  /** Both ends included. */
  between(low: number, high: number): number;
  one<T>(list: readonly T[]): T;
  /** Some of the list, in its order. */
  some<T>(list: readonly T[], probability: number): T[];
}

export const createPick = (random: Random): Pick => {
  const between = (low: number, high: number): number => low + Math.floor(random() * (high - low + 1));
  return {
    chance: (probability) => random() < probability,
    between,
    one: (list) => list[between(0, list.length - 1)] as (typeof list)[number],
    some: (list, probability) => list.filter(() => random() < probability),
  };
};
