/** Sixteen address bytes as text in RFC 5952's form: lower case, the longest run of zero groups shortened. */
export const formatGroups = (bytes: Buffer, at: number): string => {
  const groups = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(at + 2 * index));
  let bestStart = -1;
  let bestLength = 1;
  let start = 0;
  for (let index = 0; index <= 8; index++) {
    if (groups[index] === 0) continue;
    if (index - start > bestLength) {
      bestStart = start;
      bestLength = index - start;
    }
    start = index + 1;
  }
  const text = (list: readonly number[]): string => list.map((group) => group.toString(16)).join(":");
  if (bestStart < 0) return text(groups);
  return `${text(groups.slice(0, bestStart))}::${text(groups.slice(bestStart + bestLength))}`;
};
