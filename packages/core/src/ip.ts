/** Addresses in text form, without a socket library: pure code may not import one. */

const octet = "(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)";
const v4 = new RegExp(`^${octet}(?:\\.${octet}){3}$`);

export const isIPv4 = (text: string): boolean => v4.test(text);

/** RFC 4291 section 2.2, all three forms; no zone. */
export const isIPv6 = (text: string): boolean => parseIPv6(text) !== undefined;

/** The sixteen bytes, or `undefined`. */
export const parseIPv6 = (text: string): Uint8Array | undefined => {
  const halves = text.split("::");
  if (halves.length > 2 || text.length > 45) return undefined;
  const groups = halves.map((half) => (half === "" ? [] : half.split(":")));
  const last = groups.at(-1)?.at(-1);
  if (last?.includes(".")) {
    if (!isIPv4(last)) return undefined;
    const [a = 0, b = 0, c = 0, d = 0] = last.split(".").map(Number);
    groups.at(-1)?.splice(-1, 1, ((a << 8) | b).toString(16), ((c << 8) | d).toString(16));
  }
  const given = groups.reduce((count, group) => count + group.length, 0);
  if (halves.length === 1 ? given !== 8 : given > 7) return undefined;
  if (!groups.flat().every((group) => /^[0-9a-fA-F]{1,4}$/.test(group))) return undefined;
  const [head = [], tail = []] = groups;
  const words = [...head, ...new Array<string>(8 - given).fill("0"), ...tail].map((group) =>
    Number.parseInt(group, 16),
  );
  return Uint8Array.from(words.flatMap((word) => [word >> 8, word & 0xff]));
};

/** The four bytes, or `undefined`. */
export const parseIPv4 = (text: string): Uint8Array | undefined =>
  isIPv4(text) ? Uint8Array.from(text.split(".").map(Number)) : undefined;
