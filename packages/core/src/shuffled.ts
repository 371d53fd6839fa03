import type { Random } from "./world.ts";

/** The same things in an order that chance gives: each order is as likely as any other. */
export const shuffled = <T>(list: readonly T[], random: Random): readonly T[] => {
  const mixed = [...list];
  for (let at = mixed.length - 1; at > 0; at--) {
    const other = Math.floor(random() * (at + 1));
    [mixed[at], mixed[other]] = [mixed[other] as T, mixed[at] as T];
  }
  return mixed;
};
