/** MurmurHash2 for 64 bits (Appleby's variant A) with the seed that C++ libraries hash strings by. */
const mask = 0xffff_ffff_ffff_ffffn;
const multiplier = 0xc6a4_a793_5bd1_e995n;
const seed = 0xc70f_6907n;
const encoder = new TextEncoder();

const fold = (value: bigint): bigint => value ^ (value >> 47n);
const times = (value: bigint): bigint => (value * multiplier) & mask;

/** Little-endian, up to eight bytes. */
const word = (bytes: Uint8Array, from: number, count: number): bigint => {
  let value = 0n;
  for (let i = count - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[from + i] as number);
  return value;
};

/** The hash of a text's UTF-8 bytes. Runs at configuration time only, where rings ask for it. */
export const murmurHash2 = (text: string): bigint => {
  const bytes = encoder.encode(text);
  const whole = bytes.length & ~7;
  let hash = seed ^ times(BigInt(bytes.length));
  for (let at = 0; at < whole; at += 8) hash = times(hash ^ times(fold(times(word(bytes, at, 8)))));
  if (bytes.length > whole) hash = times(hash ^ word(bytes, whole, bytes.length - whole));
  return fold(times(fold(hash)));
};
