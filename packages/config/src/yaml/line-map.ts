/** Turns offsets into a text into lines and columns, both from 1. */
import type { SourcePosition } from "@weft/core/error";

export type LineMap = (offset: number) => SourcePosition;

export const lineMap = (text: string, file: string): LineMap => {
  const starts = [0];
  for (let at = text.indexOf("\n"); at !== -1; at = text.indexOf("\n", at + 1)) starts.push(at + 1);
  return (offset) => {
    let low = 0;
    let high = starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((starts[middle] ?? 0) <= offset) low = middle;
      else high = middle - 1;
    }
    return { file, line: low + 1, column: offset - (starts[low] ?? 0) + 1 };
  };
};
