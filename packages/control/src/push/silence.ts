/** Those that have not spoken yet, and what ends them: one timer for all, however many come at once. */
import type { Clock, SetTimer } from "@weft/core/world";

export interface Silence<S> {
  /** From now on it has so long to speak. */
  begin(one: S): void;
  /** It spoke, or is gone. */
  end(one: S): void;
}

export interface SilenceOptions<S> {
  readonly clock: Clock;
  readonly setTimer: SetTimer;
  readonly timeoutMs: number;
  readonly onTimeout: (one: S) => void;
}

export const createSilence = <S>({ clock, setTimer, timeoutMs, onTimeout }: SilenceOptions<S>): Silence<S> => {
  /** When each is late, in the order they came. */
  const silent = new Map<S, number>();
  let armed = false;
  const arm = (delayMs: number): void => {
    armed = true;
    setTimer(look, delayMs);
  };
  const look = (): void => {
    armed = false;
    const nowMs = clock.nowMs();
    for (const [one, lateMs] of silent) {
      if (nowMs < lateMs) {
        arm(lateMs - nowMs);
        return;
      }
      silent.delete(one);
      onTimeout(one);
    }
  };
  return {
    begin(one) {
      silent.set(one, clock.nowMs() + timeoutMs);
      // It stays set when nobody is silent any more: most speak at once, and the next one comes soon.
      if (!armed) arm(timeoutMs);
    },
    end: (one) => void silent.delete(one),
  };
};
