/** The word of a list a person most likely meant. */

/** `undefined` when none is near: at most a third of the letters may differ, case and `_`, `-` aside. */
export const nearest = (word: string, known: readonly string[]): string | undefined => nearestAmong(known)(word);

/** `nearest` for many words and one long list. */
export const nearestAmong = (known: readonly string[]): ((word: string) => string | undefined) => {
  const candidates = known.map((candidate) => ({ candidate, folded: fold(candidate) }));
  return (word) => {
    const wanted = fold(word);
    let best: { readonly word: string; readonly distance: number } | undefined;
    for (const { candidate, folded } of candidates) {
      const alike = startsAlike(wanted, folded);
      const limit = Math.max(1, Math.floor(Math.max(wanted.length, folded.length) / 3));
      const most = Math.min(limit, (best?.distance ?? Number.POSITIVE_INFINITY) - 1);
      if (!alike && Math.abs(wanted.length - folded.length) > most) continue;
      const distance = alike ? 1 : editDistance(wanted, folded);
      if (distance <= most) best = { word: candidate, distance };
    }
    return best?.word;
  };
};

const wordMax = 128;
const fold = (word: string): string => word.slice(0, wordMax).toLowerCase().replace(/[_-]/g, "");

/** One word is the other with an ending: `retry` for `retries`, `host` for `hosts`, `timeoutSeconds` for `timeout`. */
const startsAlike = (a: string, b: string): boolean =>
  a !== b && Math.min(a.length, b.length) >= 4 && (a.startsWith(b) || b.startsWith(a));

/** Insertions, deletions, replacements and swaps of neighbours. */
export const editDistance = (a: string, b: string): number => {
  const shorter = Math.min(a.length, b.length);
  let start = 0;
  while (start < shorter && a[start] === b[start]) start++;
  let end = 0;
  while (end < shorter - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end++;
  return distanceBetween(a.slice(start, a.length - end), b.slice(start, b.length - end));
};

/** The same, of words that neither begin nor end alike. */
const distanceBetween = (a: string, b: string): number => {
  if (a.length === 0 || b.length === 0) return a.length + b.length;
  let before: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const same = a[row - 1] === b[column - 1];
      let cost = Math.min(last[column - 1]! + (same ? 0 : 1), last[column]! + 1, current[column - 1]! + 1);
      const swapped = row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1];
      if (swapped) cost = Math.min(cost, before[column - 2]! + 1);
      current.push(cost);
    }
    before = last;
    last = current;
  }
  return last[b.length]!;
};
