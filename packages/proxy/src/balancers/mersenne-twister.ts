/** MT19937 (Matsumoto and Nishimura): the generator whose sequence other proxies shuffle hosts by. */
const size = 624;
const middle = 397;

export interface Twister {
  /** Begins the sequence of that seed. */
  readonly seed: (value: number) => void;
  /** 32-bit numbers, the same for the same seed. */
  readonly next: () => number;
}

/** May be seeded again and again, so that whoever needs many short sequences allocates one state. */
export const createTwister = (): Twister => {
  const state = new Uint32Array(size);
  let at = size;
  const seed = (value: number): void => {
    state[0] = value;
    for (let i = 1; i < size; i++) {
      const before = state[i - 1] as number;
      state[i] = Math.imul(1_812_433_253, before ^ (before >>> 30)) + i;
    }
    at = size;
  };
  const refill = (): void => {
    for (let i = 0; i < size; i++) {
      const mixed = ((state[i] as number) & 0x8000_0000) | ((state[(i + 1) % size] as number) & 0x7fff_ffff);
      const twisted = mixed & 1 ? 0x9908_b0df : 0;
      state[i] = (state[(i + middle) % size] as number) ^ (mixed >>> 1) ^ twisted;
    }
    at = 0;
  };
  const next = (): number => {
    if (at >= size) refill();
    let value = state[at++] as number;
    value ^= value >>> 11;
    value ^= (value << 7) & 0x9d2c_5680;
    value ^= (value << 15) & 0xefc6_0000;
    return (value ^ (value >>> 18)) >>> 0;
  };
  return { seed, next };
};

/** Gives 32-bit numbers, the same for the same seed. */
export const mersenneTwister = (seed: number): (() => number) => {
  const twister = createTwister();
  twister.seed(seed);
  return twister.next;
};
