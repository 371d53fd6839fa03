/** What comes is kept until it is asked for, in order. */
export interface Queue<T> {
  put(item: T): void;
  next(): Promise<T>;
  /** Everyone who waits, or asks when nothing is left, is given the error. */
  fail(error: Error): void;
}

export const createQueue = <T>(): Queue<T> => {
  const items: T[] = [];
  const waiting: { resolve: (item: T) => void; reject: (error: Error) => void }[] = [];
  let failed: Error | undefined;
  return {
    put: (item) => {
      const first = waiting.shift();
      if (first) first.resolve(item);
      else items.push(item);
    },
    next: () =>
      new Promise((resolve, reject) => {
        const item = items.shift();
        if (item !== undefined) resolve(item);
        else if (failed) reject(failed);
        else waiting.push({ resolve, reject });
      }),
    fail: (error) => {
      failed = error;
      for (const { reject } of waiting.splice(0)) reject(error);
    },
  };
};
