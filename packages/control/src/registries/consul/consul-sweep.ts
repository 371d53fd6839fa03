/** Reads services that have no query waiting on them: some at once, the others at a rate that spares Consul. */
import type { Polls } from "./consul-polls.ts";

export const sweepTickMs = 50;
/** 500 a second. */
export const sweepsPerTick = 25;
export const sweepsAtOnceMax = 32;

export interface Sweep {
  /** Before all others. */
  soon(names: Iterable<string>): void;
  late(names: Iterable<string>): void;
}

/** `fail` is told what `read` rejects with. */
export const createSweep = (
  polls: Polls,
  read: (name: string) => Promise<void>,
  fail: (error: unknown) => void,
): Sweep => {
  const first = new Set<string>();
  const rest = new Set<string>();
  /** Being read: an older answer after a newer one would look as if Consul went back. */
  const reading = new Set<string>();
  let ticking = false;

  const begin = (queue: Set<string>, most: number): void => {
    for (const name of queue) {
      if (reading.size >= sweepsAtOnceMax || most <= 0) return;
      if (reading.has(name)) continue;
      most--;
      queue.delete(name);
      rest.delete(name);
      reading.add(name);
      read(name).then(() => {
        reading.delete(name);
        begin(first, sweepsAtOnceMax);
      }, fail);
    }
  };
  const tick = (): void => {
    begin(first, sweepsAtOnceMax);
    begin(rest, sweepsPerTick);
    if (first.size === 0 && rest.size === 0) ticking = false;
    else polls.pause(sweepTickMs).then(tick, fail);
  };
  const start = (): void => {
    if (ticking) begin(first, sweepsAtOnceMax);
    else {
      ticking = true;
      tick();
    }
  };
  return {
    soon(names) {
      for (const name of names) first.add(name);
      if (first.size > 0) start();
    },
    late(names) {
      for (const name of names) rest.add(name);
      if (rest.size > 0) start();
    },
  };
};
