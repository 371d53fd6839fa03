import { quietSweepsMost } from "./limits.ts";

/** A stream that is lent to a request. */
export interface Lease {
  /** False: whom it was lent to knows nothing of it any more. */
  readonly held: boolean;
  /** Bytes that went over its connection so far, both ways. */
  readonly bytes: number;
  /** Takes it back without a word to anybody. */
  reclaim(): void;
}

export interface LeaseReport {
  /** Taken back: nobody held them. */
  readonly lost: number;
  /** Newly found to be held for long without a byte; they are left alone. */
  readonly quiet: number;
}

interface Watched {
  bytes: number;
  sweeps: number;
}

/** Finds leases that will never be returned. Looks now and then; costs a request nothing. */
export class LeaseWatch {
  private watched = new Map<Lease, Watched>();

  sweep(leases: Iterable<Lease>): LeaseReport {
    const still = new Map<Lease, Watched>();
    let lost = 0;
    let quiet = 0;
    for (const lease of leases) {
      if (!lease.held) {
        lost++;
        lease.reclaim();
        continue;
      }
      const before = this.watched.get(lease);
      const { bytes } = lease;
      const sweeps = before?.bytes === bytes ? before.sweeps + 1 : 0;
      if (sweeps === quietSweepsMost) quiet++;
      still.set(lease, { bytes, sweeps });
    }
    this.watched = still;
    return { lost, quiet };
  }
}
