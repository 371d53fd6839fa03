interface Count {
  add(n: number): void;
  readonly value: number;
}

/** How the writing of lines goes. */
export interface LineCounts {
  /** Lines handed over, and those that were lost: the file did not take them fast enough, or at all. */
  readonly lines: Count;
  readonly dropped: Count;
  readonly writes: Count;
  readonly failedWrites: Count;
  readonly failedReopens: Count;
}

const count = (): Count => {
  let value = 0;
  return {
    add: (n) => {
      value += n;
    },
    get value() {
      return value;
    },
  };
};

/** Counts that nobody shows. */
export const ownLineCounts = (): LineCounts => ({
  lines: count(),
  dropped: count(),
  writes: count(),
  failedWrites: count(),
  failedReopens: count(),
});
