/**
 * How an entry of the cache stands in its file: a mark, the resource's JSON, and the same mark again. A mark names the
 * entry and has a checksum of its own, so one damaged bit costs at most one entry, and it is known which: an older
 * value of it, which the file may still have, is not taken for the present one. Checksums include the proxy's id: what
 * another proxy wrote is not read.
 */
import { hash } from "node:crypto";
import { type SubscribedKind, subscribedTypes } from "@weft/xds/resource";

export interface EntryMark {
  readonly kind: SubscribedKind;
  readonly name: string;
  /** Who gave it: `ads`, `api:…`. */
  readonly source: string;
  readonly version: string;
  /** Wall time at which it was known to be in force. */
  readonly atMs: number;
  /** It is there because it was asked for: nobody misses it when it goes. */
  readonly demanded: boolean;
  /** Other names that it was asked for by. */
  readonly aliases: readonly string[];
  /** Keys of entries that it is of no use without. */
  readonly needs: readonly string[];
  /** Bytes of the JSON and their checksum; there is no such resource any more when there are none. */
  readonly length: number;
  readonly sum: string;
}

/** An entry in a file. */
export interface LocatedEntry {
  readonly mark: EntryMark;
  /** Where its JSON begins. */
  readonly at: number;
  /** Bytes of it and its marks. */
  readonly size: number;
}

export interface ScannedFile {
  /** By key, the newest of each. Removals are among them. */
  readonly entries: ReadonlyMap<string, LocatedEntry>;
  /** Keys whose newest value is damaged. */
  readonly damaged: ReadonlySet<string>;
  /** Bytes that belong to nothing that can be told. */
  readonly unreadable: number;
  /** The file ends within an entry: the last write was never finished, or the file was cut off. */
  readonly cut: boolean;
}

const opening = ">".charCodeAt(0);
const closing = "<".charCodeAt(0);
const newline = "\n".charCodeAt(0);
const space = " ".charCodeAt(0);
const sumChars = 22;
/** The mark's character, its checksum, a space. */
const markAt = 1 + sumChars + 1;

export const entryKey = ({ kind, name }: Pick<EntryMark, "kind" | "name">): string => `${kind} ${name}`;

const checksum = (content: string | Uint8Array): string => hash("sha256", content, "base64url").slice(0, sumChars);

export const bodySum = (body: Uint8Array): string => checksum(body);

/** Binds marks to one proxy, and to the side of the JSON that they stand on. */
const markSum = (nodeId: string, side: ">" | "<", text: string): string => checksum(`${nodeId}\n${side}${text}`);

const printMark = (mark: EntryMark): string => {
  const { kind, name, source, version, length, sum, atMs, demanded, aliases, needs } = mark;
  return JSON.stringify([kind, name, source, version, length, sum, atMs, demanded ? 1 : 0, aliases, needs]);
};

const kinds: ReadonlySet<unknown> = new Set(subscribedTypes.map(({ kind }) => kind));
const areTexts = (value: unknown): value is readonly string[] =>
  Array.isArray(value) && value.every((one) => typeof one === "string");

const parseMark = (text: string): EntryMark | undefined => {
  const fields = JSON.parse(text) as readonly unknown[];
  const [kind, name, source, version, length, sum, atMs, demanded, aliases, needs] = fields;
  const texts = [name, source, version, sum];
  if (!kinds.has(kind) || !areTexts(texts) || !areTexts(aliases) || !areTexts(needs)) return undefined;
  if (!Number.isSafeInteger(length) || (length as number) < 0 || typeof atMs !== "number") return undefined;
  const [nameText = "", sourceText = "", versionText = "", sumText = ""] = texts;
  return {
    ...{ kind: kind as SubscribedKind, name: nameText, source: sourceText, version: versionText },
    ...{ length: length as number, sum: sumText, atMs, demanded: demanded === 1, aliases, needs },
  };
};

/** The bytes of an entry, with where its JSON begins among them. */
export const encodeEntry = (
  nodeId: string,
  mark: EntryMark,
  body: Uint8Array,
): { readonly bytes: Buffer; readonly at: number } => {
  const text = printMark(mark);
  const before = Buffer.from(`>${markSum(nodeId, ">", text)} ${text}\n`);
  const after = Buffer.from(`\n<${markSum(nodeId, "<", text)} ${text}\n`);
  return { bytes: Buffer.concat([before, body, after]), at: before.length };
};

/** The first line of a file: it says what the file is to whoever looks, and whose where nothing else can be read. */
export const formatHeader = (nodeId: string): string => `# weft discovery cache 1 ${JSON.stringify(nodeId)}\n`;

/** The proxy that a file says it is of; `undefined` where it does not say so. */
export const readHeader = (bytes: Buffer): string | undefined => {
  const end = bytes.indexOf(newline);
  const match = /^# weft discovery cache \d+ (".*")$/.exec(bytes.toString("utf8", 0, Math.max(0, end)));
  try {
    return match ? String(JSON.parse(match[1] ?? "")) : undefined;
  } catch {
    return undefined;
  }
};

interface FoundMark {
  readonly mark: EntryMark;
  readonly text: string;
  readonly opens: boolean;
  readonly start: number;
  readonly end: number;
}

/** Marks of this proxy whose checksums hold, in order. */
function* marksIn(bytes: Buffer, nodeId: string): Generator<FoundMark> {
  for (let start = 0; start < bytes.length; ) {
    const newlineAt = bytes.indexOf(newline, start);
    const end = newlineAt < 0 ? bytes.length : newlineAt;
    const first = bytes[start];
    if ((first === opening || first === closing) && bytes[start + markAt - 1] === space && end - start > markAt) {
      const text = bytes.toString("utf8", start + markAt, end);
      const opens = first === opening;
      const sum = bytes.toString("latin1", start + 1, start + 1 + sumChars);
      const mark = sum === markSum(nodeId, opens ? ">" : "<", text) ? parseMark(text) : undefined;
      if (mark) yield { mark, text, opens, start, end: Math.min(end + 1, bytes.length) };
    }
    start = end + 1;
  }
}

/** Whether the JSON that a mark speaks of is there. */
const isWhole = (bytes: Buffer, at: number, { length, sum }: EntryMark): boolean =>
  at >= 0 && at + length <= bytes.length && checksum(bytes.subarray(at, at + length)) === sum;

/** Reads what can be read of a file, whatever was done to it. */
export const scanEntries = (bytes: Buffer, nodeId: string): ScannedFile => {
  const entries = new Map<string, LocatedEntry>();
  const damaged = new Set<string>();
  const header = bytes.indexOf(newline) + 1;
  let known = bytes[0] === "#".charCodeAt(0) ? header : 0;
  let unreadable = 0;
  let cut = bytes.length > 0 && bytes[bytes.length - 1] !== newline;
  let open: { readonly text: string; readonly bodyAt: number } | undefined;

  const take = (found: FoundMark, at: number): void => {
    const { mark, text } = found;
    const key = entryKey(mark);
    const size = 2 * (markAt + Buffer.byteLength(text) + 1) + mark.length + 1;
    entries.delete(key);
    damaged.delete(key);
    if (isWhole(bytes, at, mark)) entries.set(key, { mark, at, size });
    else damaged.add(key);
  };
  const account = (from: number, to: number): void => {
    if (from > known) unreadable += from - known;
    known = Math.max(known, to);
  };

  for (const found of marksIn(bytes, nodeId)) {
    const { mark, text, opens, start, end } = found;
    if (opens) {
      const bodyEnd = end + mark.length + 1;
      // What ends before its JSON does was never written whole: what was there before holds.
      if (bodyEnd > bytes.length) {
        cut = true;
        account(start, bytes.length);
        continue;
      }
      take(found, end);
      account(start, bodyEnd);
      open = { text, bodyAt: end };
      continue;
    }
    const at = start - 1 - mark.length;
    // The closing mark of what was just read. One that stands alone lost its opening mark, and does as well.
    const paired = open !== undefined && open.text === text && start > open.bodyAt;
    if (!paired) take(found, at);
    account(paired ? start : Math.max(at, known), end);
    open = undefined;
  }
  account(bytes.length, bytes.length);
  return { entries, damaged, unreadable, cut };
};
