/** How large the messages of a server stream get, and what is too large to be sent. */
import { resourceType } from "./resource.ts";
import type { SnapshotEntry } from "./snapshot.ts";
import type { StreamMode } from "./stream-messages.ts";
import type { Plan } from "./stream-plan.ts";
import { type TypeState, wholeSetName } from "./type-state.ts";

const anyOverheadBytes = 16;
/** A response's own fields. */
const responseOverheadBytes = 512;

/** Fewer entries are added up sooner than found. */
const rememberedMin = 8;
type Sizes = WeakMap<readonly SnapshotEntry[], number>;
const messageSizes: Readonly<Record<StreamMode, Sizes>> = { delta: new WeakMap(), sotw: new WeakMap() };
const splitSizes: Sizes = new WeakMap();
const contentSizes: Sizes = new WeakMap();

/** Many streams are sent the very same list. */
const remembered = (sizes: Sizes, entries: readonly SnapshotEntry[], add: () => number): number => {
  if (entries.length < rememberedMin) return add();
  const known = sizes.get(entries);
  if (known !== undefined) return known;
  const made = add();
  sizes.set(entries, made);
  return made;
};

/** The size of one response with these, or a little more. */
export const messageBytes = (entries: readonly SnapshotEntry[], mode: StreamMode): number =>
  partsBytes([entries], mode);

const partsBytes = (parts: readonly (readonly SnapshotEntry[])[], mode: StreamMode): number => {
  let total = responseOverheadBytes;
  for (const part of parts) total += remembered(messageSizes[mode], part, () => addedUp(part, mode));
  return total;
};

const addedUp = (entries: readonly SnapshotEntry[], mode: StreamMode): number => {
  let total = 0;
  for (const { bytes, typeUrl, name, version } of entries) {
    const envelope = mode === "delta" ? name.length * 3 + version.length + anyOverheadBytes : 0;
    total += bytes.length + typeUrl.length + anyOverheadBytes + envelope;
  }
  return total;
};

export interface Fitted {
  /** What may go out; `undefined` where it is all or nothing, and all is too much. */
  readonly fitting: readonly SnapshotEntry[] | undefined;
  /** Those not told before. */
  readonly errors: readonly string[];
}

const noErrors: readonly string[] = [];

/** Keeps back what one message to this client cannot carry; the state remembers it for as long as it is so. */
export const fit = (
  state: TypeState,
  { entries, parts = [entries], removed }: Plan,
  mode: StreamMode,
  bytesMax: number | undefined,
): Fitted => {
  if (state.hasTooLarge) state.forgetTooLarge(removed);
  if (bytesMax === undefined) return { fitting: entries, errors: noErrors };
  const bytes = partsBytes(parts, mode);
  if (bytes <= bytesMax) {
    if (state.hasTooLarge) state.forgetTooLarge([wholeSetName, ...entries.map(({ name }) => name)]);
    return { fitting: entries, errors: noErrors };
  }
  const errors: string[] = [];
  const keepBack = (name: string, size: number): void => {
    const error = state.keepBack(name, size, bytesMax);
    if (error !== undefined) errors.push(error);
  };
  if (mode === "sotw" && state.fullState) {
    keepBack(wholeSetName, bytes);
    return { fitting: undefined, errors };
  }
  const fitting = entries.filter((entry) => {
    const alone = messageBytes([entry], mode);
    if (alone > bytesMax) keepBack(entry.name, alone);
    else state.forgetTooLarge([entry.name]);
    return alone <= bytesMax;
  });
  return { fitting, errors };
};

/** From here on a part that many streams are sent goes out alone, so that its bytes are made once for all. */
const sharedBytesMin = 32 * 1024;
const clusterUrl = resourceType("cluster").typeUrl;

/** The responses that a plan's resources are sent in. */
export const cut = (
  { typeUrl }: TypeState,
  fitting: readonly SnapshotEntry[],
  { entries, parts }: Plan,
  bytesMax: number,
): readonly (readonly SnapshotEntry[])[] => {
  // A client takes its first listeners for all there are; of clusters more may follow.
  if (typeUrl !== clusterUrl || fitting !== entries || !parts?.some((part) => isLarge(part))) {
    return split(fitting, bytesMax);
  }
  return parts.filter(({ length }) => length > 0).flatMap((part) => split(part, bytesMax));
};

const isLarge = (part: readonly SnapshotEntry[]): boolean =>
  remembered(contentSizes, part, () => part.reduce((sum, { bytes }) => sum + bytes.length, 0)) >= sharedBytesMin;

/** What a resource costs in a response beside its bytes. */
const entryOverheadBytes = 96;

const costOf = ({ bytes, name }: SnapshotEntry): number => bytes.length + name.length * 3 + entryOverheadBytes;

const costOfAll = (entries: readonly SnapshotEntry[]): number => {
  let total = 0;
  for (const entry of entries) total += costOf(entry);
  return total;
};

/** Cuts a response so that each part stays under the limit; one resource alone may still be over it. */
export const split = (entries: readonly SnapshotEntry[], bytesMax: number): readonly (readonly SnapshotEntry[])[] => {
  if (remembered(splitSizes, entries, () => costOfAll(entries)) <= bytesMax) return [entries];
  const parts: SnapshotEntry[][] = [[]];
  let size = 0;
  for (const entry of entries) {
    const cost = costOf(entry);
    if (size > 0 && size + cost > bytesMax) {
      parts.push([]);
      size = 0;
    }
    size += cost;
    parts.at(-1)?.push(entry);
  }
  return parts;
};
