import type { Clock } from "@weft/core/world";
import type { FoundAddress, ResolveName } from "../dns/resolve-name.ts";

/** Answers are shared by workers that ask within so long of each other. */
const sharedMs = 1_000;
/** Names remembered at most; they come from configuration. */
const namesMax = 10_000;

/** A resolver for all threads: they ask at about the same time, and must come to the same hosts. Failures are not kept. */
export const createSharedNames = (resolve: ResolveName, clock: Clock): ResolveName => {
  const answers = new Map<string, { readonly atMs: number; readonly addresses: Promise<readonly FoundAddress[]> }>();
  return (question) => {
    const key = JSON.stringify([question.name, question.family, question.resolver]);
    const nowMs = clock.nowMs();
    const known = answers.get(key);
    if (known && nowMs - known.atMs < sharedMs) return known.addresses;
    if (answers.size >= namesMax) answers.clear();
    const made = { atMs: nowMs, addresses: resolve(question) };
    answers.set(key, made);
    made.addresses.catch(() => {
      if (answers.get(key) === made) answers.delete(key);
    });
    return made.addresses;
  };
};
