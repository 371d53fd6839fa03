/**
 * Responses as gRPC messages. Streams that are sent the same resources under the same nonce, as the streams of one push
 * are, share one buffer: a change costs one encoding however many proxies it goes to.
 */
import { resourceTypeOfUrl } from "./resource.ts";
import { createResponseWriter } from "./response-writer.ts";
import type { SnapshotEntry } from "./snapshot.ts";
import type { StreamResponse } from "./stream-messages.ts";

export interface ResponseFrames {
  /** The framed message; not to be written to, for others hold it too. */
  frame(response: StreamResponse): Uint8Array;
  /** How many messages were encoded so far. */
  readonly encoded: number;
}

const bytesRememberedDefault = 32 * 1024 * 1024;
/** Messages remembered; those that are sent to several streams are so one soon after the other. */
const messagesMax = 512;
const latestMax = 32;
/** Different messages that look alike by nonce, sizes and first names. */
const variantsMax = 8;

type Said = Pick<SnapshotEntry, "name" | "version">;

interface Remembered {
  readonly response: Omit<StreamResponse, "entries"> & { readonly entries: readonly Said[] };
  readonly frame: Uint8Array;
}

export const createResponseFrames = (bytesRememberedMax: number = bytesRememberedDefault): ResponseFrames => {
  const write = createResponseWriter();
  const buckets = new Map<string, Remembered[]>();
  /** The last of each type, and of each of its parts: what the next stream of the same push is sent. */
  const latest = { delta: new Map<string, Remembered>(), sotw: new Map<string, Remembered>() };
  let bytes = 0;
  let encoded = 0;

  const forgetOldest = (): void => {
    for (const [key, bucket] of buckets) {
      if (bytes <= bytesRememberedMax && buckets.size <= messagesMax) return;
      buckets.delete(key);
      for (const { frame } of bucket) bytes -= frame.length;
    }
  };

  const frameOf = (response: StreamResponse): Uint8Array => {
    if (response.aliases) return write(response);
    const key = bucketOf(response);
    const bucket = buckets.get(key) ?? [];
    const known = bucket.find((other) => sameResponse(other.response, response));
    if (known) return known.frame;
    encoded++;
    const frame = write(response);
    if (frame.length > bytesRememberedMax) return frame;
    if (bucket.length >= variantsMax) bytes -= bucket.shift()?.frame.length ?? 0;
    // By what it says alone: the resources themselves, and their bytes, need not stay for that.
    bucket.push({ response: { ...response, entries: response.entries.map(nameAndVersion) }, frame });
    buckets.set(key, bucket);
    bytes += frame.length;
    forgetOldest();
    return frame;
  };

  return {
    frame(response) {
      const { mode, typeUrl, nonce } = response;
      const part = nonce.slice(nonce.indexOf("-"));
      const last = latest[mode].get(part);
      if (last?.response.nonce === nonce && sameResponse(last.response, response)) return last.frame;
      const frame = frameOf(response);
      const keeps = frame.length <= bytesRememberedMax && resourceTypeOfUrl(typeUrl) !== undefined;
      if (!keeps) return frame;
      if (latest[mode].size >= latestMax) latest[mode].clear();
      latest[mode].set(part, { response, frame });
      return frame;
    },
    get encoded() {
      return encoded;
    },
  };
};

const bucketOf = ({ mode, nonce, entries, removed }: StreamResponse): string =>
  [mode, nonce, entries.length, entries[0]?.name, entries.at(-1)?.version, removed.length, removed[0]].join("\0");

const nameAndVersion = ({ name, version }: Said): Said => ({ name, version });

const sameResponse = (a: Remembered["response"], b: StreamResponse): boolean =>
  a.version === b.version &&
  a.typeUrl === b.typeUrl &&
  (a.entries === b.entries || sameEntries(a.entries, b.entries)) &&
  a.removed.length === b.removed.length &&
  a.removed.every((name, i) => name === b.removed[i]);

const sameEntries = (a: readonly Said[], b: readonly Said[]): boolean =>
  a.length === b.length && a.every((entry, i) => entry === b[i] || sameContent(entry, b[i]));

const sameContent = (a: Said, b: Said | undefined): boolean => a.name === b?.name && a.version === b.version;
