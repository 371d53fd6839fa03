/** Work to be done once per key: it waits in line, is with the server, or is asked for again meanwhile. */
export interface Job<What> {
  readonly key: string;
  readonly what: What;
  /** The list that is being read is not whole without it. */
  listed: boolean;
  sent: boolean;
  /** What comes may be old already: the same is asked once more. */
  again: boolean;
  /** What comes is about something that is gone. */
  stale: boolean;
}

export interface Jobs<What> {
  /** `listed`: `listingLeft` counts it until it is answered. */
  add(key: string, what: What, listed: boolean): void;
  /** The next in line, with no more than the window out. */
  take(): Job<What> | undefined;
  /** To be called before its answer is used. */
  done(job: Job<What>): void;
  /** Whatever is on its way for the key may be old already: it is asked for once more. */
  outdate(key: string): void;
  /** Whatever is on its way for the key is not to be used. */
  spoil(key: string): void;
  readonly listingLeft: number;
  clear(): void;
}

export const createJobs = <What>(windowMax: number): Jobs<What> => {
  /** Waiting or sent. */
  const jobs = new Map<string, Job<What>>();
  let line: Job<What>[] = [];
  let next = 0;
  let out = 0;
  let listingLeft = 0;

  const push = (job: Job<What>): void => {
    jobs.set(job.key, job);
    line.push(job);
  };
  return {
    add(key, what, listed) {
      const known = jobs.get(key);
      if (!known) push({ key, what, listed, sent: false, again: false, stale: false });
      else if (known.sent) known.again = true;
      if (!listed || known?.listed) return;
      if (known) known.listed = true;
      listingLeft++;
    },
    take() {
      const job = out < windowMax ? line[next] : undefined;
      if (!job) return undefined;
      next++;
      if (next === line.length) {
        line = [];
        next = 0;
      }
      job.sent = true;
      out++;
      return job;
    },
    done(job) {
      out--;
      jobs.delete(job.key);
      if (job.listed) listingLeft--;
      if (job.again) push({ ...job, listed: false, sent: false, again: false, stale: false });
    },
    outdate(key) {
      const job = jobs.get(key);
      if (job?.sent) job.again = true;
    },
    spoil(key) {
      const job = jobs.get(key);
      if (job?.sent) job.stale = true;
    },
    get listingLeft() {
      return listingLeft;
    },
    clear() {
      jobs.clear();
      line = [];
      next = 0;
      out = 0;
      listingLeft = 0;
    },
  };
};
