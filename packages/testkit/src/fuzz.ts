/**
 * Seeded mutation fuzzing of a codec in this process. Guided by behaviour: an input that makes the target do something
 * it did not do before joins the corpus that further inputs are made from.
 */

import { seededRandom } from "@weft/core/random";
import type { Random } from "@weft/core/world";

export interface FuzzOptions {
  readonly seed: number;
  /** How many inputs are run, the corpus included. */
  readonly inputs: number;
  readonly corpus: readonly Buffer[];
  /** Another input out of one, and a second to take parts of. */
  readonly mutate: (input: Buffer, other: Buffer, random: Random) => Buffer;
  /** Throws when an invariant does not hold. What it returns names what the target did: a new name is worth keeping. */
  readonly run: (input: Buffer, random: Random) => string | undefined;
  /** Failures after which it stops. One if not given. */
  readonly failuresMax?: number;
}

export interface FuzzFailure {
  /** Made as short as cutting pieces out allows with the same message. */
  readonly input: Buffer;
  readonly message: string;
}

export interface FuzzResult {
  readonly inputs: number;
  /** Different behaviours met. */
  readonly behaviours: number;
  readonly failures: readonly FuzzFailure[];
}

/** Inputs kept to mutate; a new one then takes the place of a random one. */
const corpusMax = 4096;
const inputBytesMax = 64 * 1024;

/** The same seed runs the same inputs. */
export const fuzz = (options: FuzzOptions): FuzzResult => {
  const random = seededRandom(options.seed);
  const corpus = [...options.corpus];
  const behaviours = new Set<string>();
  const failures: FuzzFailure[] = [];
  const pick = (): Buffer => corpus[Math.floor(random() * corpus.length)] ?? noBytes;
  let inputs = 0;
  for (; inputs < options.inputs && failures.length < (options.failuresMax ?? 1); inputs++) {
    const input = options.corpus[inputs] ?? options.mutate(pick(), pick(), random).subarray(0, inputBytesMax);
    try {
      const behaviour = options.run(input, random);
      if (behaviour === undefined || behaviours.has(behaviour)) continue;
      behaviours.add(behaviour);
      if (corpus.length < corpusMax) corpus.push(Buffer.from(input));
      else corpus[Math.floor(random() * corpusMax)] = Buffer.from(input);
    } catch (error) {
      failures.push(shortened(options, input, messageOf(error)));
    }
  }
  return { inputs, behaviours: behaviours.size, failures };
};

/**
 * A mutation for protocols made of text and bytes: pieces removed, doubled, moved, taken from another input, bytes
 * changed, and words of the protocol put in. One to four at a time.
 */
export const mutator =
  (words: readonly string[]) =>
  (input: Buffer, other: Buffer, random: Random): Buffer => {
    let bytes = input;
    for (let left = 1 + Math.floor(random() * random() * 4); left > 0; left--)
      bytes = edit(bytes, other, words, random);
    return bytes;
  };

const noBytes = Buffer.alloc(0);
const pieceMax = 40;

const edit = (bytes: Buffer, other: Buffer, words: readonly string[], random: Random): Buffer => {
  const at = Math.floor(random() * (bytes.length + 1));
  const length = Math.min(bytes.length - at, 1 + Math.floor(random() * random() * pieceMax));
  const [before, piece, after] = [bytes.subarray(0, at), bytes.subarray(at, at + length), bytes.subarray(at + length)];
  switch (Math.floor(random() * 8)) {
    case 0:
      return Buffer.concat([before, after]);
    case 1:
      return Buffer.concat([before, piece, piece, after]);
    case 2: {
      const from = Math.floor(random() * other.length);
      return Buffer.concat([before, other.subarray(from, from + length + 1), after]);
    }
    case 3: {
      const to = Math.floor(random() * (before.length + 1));
      return Buffer.concat([before.subarray(0, to), piece, before.subarray(to), after]);
    }
    case 4: {
      const changed = Buffer.from(bytes);
      if (at < changed.length) changed[at] = Math.floor(random() * 256);
      return changed;
    }
    case 5: {
      const changed = Buffer.from(bytes);
      if (at < changed.length) changed[at] = (changed[at] as number) ^ (1 << Math.floor(random() * 8));
      return changed;
    }
    default: {
      const word = Buffer.from(words[Math.floor(random() * words.length)] ?? "", "latin1");
      return Buffer.concat([before, word, random() < 0.5 ? after : bytes.subarray(at)]);
    }
  }
};

const messageOf = (error: unknown): string =>
  error instanceof Error ? `${error.name}: ${error.message}` : String(error);

/** Tries so many cuts at most. */
const cutsMax = 2000;

const shortened = (options: FuzzOptions, input: Buffer, message: string): FuzzFailure => {
  const fails = (candidate: Buffer): string | undefined => {
    try {
      options.run(candidate, seededRandom(options.seed));
      return undefined;
    } catch (error) {
      return messageOf(error);
    }
  };
  const sort = (text: string): string => text.slice(0, 40);
  let best = { input: Buffer.from(input), message };
  let tries = 0;
  for (let size = best.input.length >> 1; size > 0; size >>= 1) {
    for (let at = 0; at < best.input.length && tries < cutsMax; tries++) {
      const candidate = Buffer.concat([best.input.subarray(0, at), best.input.subarray(at + size)]);
      const again = fails(candidate);
      if (again !== undefined && sort(again) === sort(message)) best = { input: candidate, message: again };
      else at += size;
    }
  }
  return best;
};
