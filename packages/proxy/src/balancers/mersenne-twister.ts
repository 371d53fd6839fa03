/** MT19937 (Matsumoto and Nishimura): the generator whose sequence other proxies shuffle hosts by. */
const size = 624;
const middle = 397;

/** Gives 32-bit numbers, the same for the same seed. */
export const mersenneTwister = (seed: number): (() => number) => {
  const state = new Uint32Array(size);
  state[0] = seed;
  for (let i = 1; i < size; i++) {
    const before = state[i - 1] as number;
    state[i] = Math.imul(1_812_433_253, before ^ (before >>> 30)) + i;
  }
  let at = size;
  const refill = (): void => {
    for (let i = 0; i < size; i++) {
      const mixed = ((state[i] as number) & 0x8000_0000) | ((state[(i + 1) % size] as number) & 0x7fff_ffff);
      const twisted = mixed & 1 ? 0x9908_b0df : 0;
      state[i] = (state[(i + middle) % size] as number) ^ (mixed >>> 1) ^ twisted;
    }
    at = 0;
  };
  return () => {
    if (at >= size) refill();
    let value = state[at++] as number;
    value ^= value >>> 11;
    value ^= (value << 7) & 0x9d2c_5680;
    value ^= (value << 15) & 0xefc6_0000;
    return (value ^ (value >>> 18)) >>> 0;
  };
};
