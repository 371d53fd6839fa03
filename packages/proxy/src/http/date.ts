import type { Clock } from "@weft/core/world";

/** The Date header's value, made once a second. */
export const dateSource = (clock: Clock): (() => string) => {
  let untilMs = Number.NEGATIVE_INFINITY;
  let text = "";
  return () => {
    const now = clock.nowMs();
    if (now >= untilMs) {
      const wall = clock.wallMs();
      text = new Date(wall).toUTCString();
      untilMs = now + 1000 - (wall % 1000);
    }
    return text;
  };
};
