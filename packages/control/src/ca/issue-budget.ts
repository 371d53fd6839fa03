/** Signs per second, with a burst: a mesh that restarts whole is served, a flood is not. */
export interface IssueBudget {
  /** Takes one when there is one. */
  take(nowMs: number): boolean;
}

export const createIssueBudget = (perSecond: number, burst: number): IssueBudget => {
  let left = burst;
  let lastMs: number | undefined;
  return {
    take: (nowMs) => {
      left = Math.min(burst, left + (Math.max(0, nowMs - (lastMs ?? nowMs)) / 1000) * perSecond);
      lastMs = nowMs;
      if (left < 1) return false;
      left--;
      return true;
    },
  };
};
