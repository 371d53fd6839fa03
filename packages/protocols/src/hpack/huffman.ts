/**
 * The Huffman code of RFC 7541 appendix B, both ways. The code is canonical, so its lengths alone define it; decoding
 * walks a state table by half bytes (16 KiB, so it stays in the processor's first cache).
 */

/** Code length of each symbol 0-256 (256 is EOS), one base-36 digit each. */
const LENGTHS =
  "dnsssssssoussussssssssusssssssss6aacd68baa8b8666555666666678f6cad677777777777777777777" +
  "77878djde6f56565666577666567655677777fbedskmkkmmmnmnnnnnonoomnonnnnlmnmnnomlkmmnnlnmmo" +
  "lmnnllmlnmnnkmmmnmmnqqkjmnmpqqqrrqopjlqrrqrollqqsrrrkoklmllnmmppooqnqrqqrrrrrsrrrrrqu";
const EOS = 256;

const lengths = Uint8Array.from(LENGTHS, (digit) => Number.parseInt(digit, 36));

const codes = ((): Uint32Array => {
  const assigned = new Uint32Array(EOS + 1);
  const order = Array.from(lengths.keys()).sort((a, b) => lengths[a]! - lengths[b]! || a - b);
  let next = 0;
  let length = lengths[order[0]!]!;
  for (const symbol of order) {
    next *= 2 ** (lengths[symbol]! - length);
    length = lengths[symbol]!;
    assigned[symbol] = next++;
  }
  return assigned;
})();

// One entry of the state table: next state in bits 0-8, then these flags, then the symbol in bits 16-23.
const STATE_MASK = 0x1ff;
const ACCEPTS = 0x200;
const FAILS = 0x400;
const EMITS = 0x800;
const SYMBOL_SHIFT = 16;

interface TreeNode {
  readonly children: (TreeNode | undefined)[];
  symbol: number;
  state: number;
}

const stateTable = ((): Uint32Array => {
  const newNode = (): TreeNode => ({ children: [undefined, undefined], symbol: -1, state: 0 });
  const root = newNode();
  for (let symbol = 0; symbol <= EOS; symbol++) {
    let node = root;
    for (let bit = lengths[symbol]! - 1; bit >= 0; bit--) {
      const side = (codes[symbol]! >>> bit) & 1;
      node.children[side] ??= newNode();
      node = node.children[side]!;
    }
    node.symbol = symbol;
  }
  const inner: TreeNode[] = [root];
  for (let i = 0; i < inner.length; i++) {
    inner[i]!.state = i;
    for (const child of inner[i]!.children) if (child && child.symbol < 0) inner.push(child);
  }
  // Padding is at most 7 bits of the EOS code, which is all ones (RFC 7541 section 5.2).
  const accepting = new Set<TreeNode>([root]);
  for (let i = 0, node = root; i < 7; i++) {
    node = node.children[1]!;
    accepting.add(node);
  }
  const table = new Uint32Array(inner.length * 16);
  for (const start of inner) {
    for (let nibble = 0; nibble < 16; nibble++) table[start.state * 16 + nibble] = step(start, nibble, root, accepting);
  }
  return table;
})();

function step(start: TreeNode, nibble: number, root: TreeNode, accepting: ReadonlySet<TreeNode>): number {
  let node = start;
  let emitted = 0;
  for (let bit = 3; bit >= 0; bit--) {
    const child = node.children[(nibble >> bit) & 1];
    if (!child || child.symbol === EOS) return FAILS;
    if (child.symbol >= 0) {
      emitted = EMITS | (child.symbol << SYMBOL_SHIFT);
      node = root;
    } else {
      node = child;
    }
  }
  return emitted | (accepting.has(node) ? ACCEPTS : 0) | node.state;
}

let output: Buffer = Buffer.allocUnsafeSlow(4096);

/** The bytes the last `decodeHuffman` wrote; good until the next call. */
export const huffmanOutput = (): Buffer => output;

/**
 * Decodes `source[start, end)` into `huffmanOutput()` and returns the number of bytes, or -1 when the code is broken:
 * EOS inside, padding longer than 7 bits, or padding that is not all ones.
 */
export const decodeHuffman = (source: Buffer, start: number, end: number): number => {
  // The shortest code has 5 bits.
  const most = Math.ceil(((end - start) * 8) / 5);
  if (output.length < most) output = Buffer.allocUnsafeSlow(most);
  const into = output;
  let written = 0;
  let state = 0;
  let entry = ACCEPTS;
  for (let at = start; at < end; at++) {
    const byte = source[at]!;
    entry = stateTable[(state << 4) | (byte >> 4)]!;
    if (entry & EMITS) into[written++] = entry >>> SYMBOL_SHIFT;
    if (entry & FAILS) return -1;
    entry = stateTable[((entry & STATE_MASK) << 4) | (byte & 15)]!;
    if (entry & EMITS) into[written++] = entry >>> SYMBOL_SHIFT;
    if (entry & FAILS) return -1;
    state = entry & STATE_MASK;
  }
  return entry & ACCEPTS ? written : -1;
};

/** How many bytes `text` (one byte a character) takes in the Huffman code. */
export const huffmanLength = (text: string): number => {
  let bits = 0;
  for (let i = 0; i < text.length; i++) bits += lengths[text.charCodeAt(i)]!;
  return (bits + 7) >>> 3;
};

/** Writes `text` (one byte a character) in the Huffman code at `at` and returns the end. */
export const encodeHuffman = (out: Buffer, at: number, text: string): number => {
  let pending = 0;
  let bits = 0;
  let end = at;
  for (let i = 0; i < text.length; i++) {
    const symbol = text.charCodeAt(i);
    const length = lengths[symbol]!;
    let code = codes[symbol]!;
    let left = length;
    // A code of up to 28 bits beside up to 7 pending ones would not fit 32 bits: take it in two parts.
    if (left > 16) {
      left -= 16;
      pending = (pending << left) | (code >>> 16);
      bits += left;
      while (bits >= 8) {
        bits -= 8;
        out[end++] = pending >>> bits;
      }
      code &= 0xffff;
      left = 16;
      pending &= 0xff;
    }
    pending = (pending << left) | code;
    bits += left;
    while (bits >= 8) {
      bits -= 8;
      out[end++] = pending >>> bits;
    }
    pending &= 0xff;
  }
  if (bits > 0) out[end++] = (pending << (8 - bits)) | (0xff >>> bits);
  return end;
};
