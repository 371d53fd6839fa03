/**
 * What the two sides of a sidecar know of the requests through its application, so that one failure is not repeated by
 * every hop before it. The side that serves the application says which requests are retries already; the side that
 * serves what the application asks says which ended in a failure. Both go by x-request-id, which applications pass on.
 * Memory is fixed, shared by all threads, and used without a lock: two that write one place at once lose an id, and an
 * id that is forgotten costs a retry, which its budget bounds.
 */
import type { HeaderList } from "@weft/protocols/http/headers";
import { nameHash } from "../workers/shared-table.ts";

/** Ids remembered of each sort; what comes beyond them takes the place of the one nearest its end. */
export const retryIdsMax = 4_096;
/** How long an application may take from a request to what it asks for it, and from that to its answer. */
const rememberedMs = 60_000;
const ways = 4;
const buckets = retryIdsMax / ways;

/** Says of an answer that what failed is further on: it was repeated there, or may not be. */
export const retriedHeader = "x-weft-retried";

// One sort of ids: 64 bits of each, until when it is remembered, and until when any is.
const hashA = 0;
const hashB = retryIdsMax;
const untils = retryIdsMax * 2;
const lastUntil = retryIdsMax * 3;
const sortCells = lastUntil + 2;
const bytes = 4 * 2 * sortCells + 8;

/** For all threads of a process. */
export const createRetryMemory = (): SharedArrayBuffer => new SharedArrayBuffer(bytes);

/** Tenths of a second, so that years fit; rounded up so that the first one is not that of an empty place. */
const tenthsOf = (ms: number): number => Math.ceil(ms / 100) + 1;

class RememberedIds {
  private readonly cells: Int32Array;

  constructor(memory: SharedArrayBuffer, sort: 0 | 1) {
    this.cells = new Int32Array(memory, 4 * sort * sortCells, sortCells);
  }
  /** One of them may be known; what nearly every request asks, and nothing else. */
  any(nowMs: number): boolean {
    const last = Atomics.load(this.cells, lastUntil);
    return last !== 0 && last > tenthsOf(nowMs);
  }
  add(id: string, nowMs: number): void {
    const { cells } = this;
    const [a, b] = nameHash(id);
    const first = ((a >>> 0) % buckets) * ways;
    let place = first + ((b >>> 0) % ways);
    for (let at = first; at < first + ways; at++) {
      if (Atomics.load(cells, hashA + at) === a && Atomics.load(cells, hashB + at) === b) {
        place = at;
        break;
      }
      if (Atomics.load(cells, untils + at) < Atomics.load(cells, untils + place)) place = at;
    }
    const until = tenthsOf(nowMs + rememberedMs);
    Atomics.store(cells, hashA + place, a);
    Atomics.store(cells, hashB + place, b);
    Atomics.store(cells, untils + place, until);
    Atomics.store(cells, lastUntil, until);
  }
  has(id: string, nowMs: number): boolean {
    if (!this.any(nowMs)) return false;
    const { cells } = this;
    const [a, b] = nameHash(id);
    const first = ((a >>> 0) % buckets) * ways;
    const now = tenthsOf(nowMs);
    for (let at = first; at < first + ways; at++) {
      if (Atomics.load(cells, hashA + at) !== a || Atomics.load(cells, hashB + at) !== b) continue;
      return Atomics.load(cells, untils + at) > now;
    }
    return false;
  }
}

/** One view of that memory; each thread has its own. Times are of the clock that all threads have in common. */
export class RetryChain {
  private readonly retries: RememberedIds;
  private readonly failures: RememberedIds;
  /** A moment after a request last failed that its application gave no id; 0 before any did. */
  private readonly unnamed: Float64Array;

  constructor(memory: SharedArrayBuffer) {
    this.retries = new RememberedIds(memory, 0);
    this.failures = new RememberedIds(memory, 1);
    this.unnamed = new Float64Array(memory, 4 * 2 * sortCells, 1);
  }
  /** The application is asked once more by the hop before. */
  noteRetry(id: string, nowMs: number): void {
    this.retries.add(id, nowMs);
  }
  /** The request is of the id of one that is a retry. */
  isRetry(headers: HeaderList, nowMs: number): boolean {
    if (!this.retries.any(nowMs)) return false;
    const id = headers.get("x-request-id");
    return id !== undefined && this.retries.has(id, nowMs);
  }
  /** The application's request of that id, or of none, was answered with a failure. */
  noteFailure(id: string | undefined, nowMs: number): void {
    if (id === undefined) this.unnamed[0] = nowMs + 1;
    else this.failures.add(id, nowMs);
  }
  /**
   * The application's own failure to answer that request may come of one that it asked. One without an id is taken to be
   * the reason for all it answers meanwhile.
   */
  hasFailedBeyond(id: string | undefined, startMs: number, nowMs: number): boolean {
    if ((this.unnamed[0] as number) > startMs) return true;
    return id !== undefined && this.failures.has(id, nowMs);
  }
}
