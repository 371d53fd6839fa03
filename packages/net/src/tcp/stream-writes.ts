import type { Writable } from "node:stream";

/** Up to here a copy costs less than buffers that are held until the stream tells that it has taken them. */
export const copiedBytesMax = 4 * 1024;

/** Writes all pieces as one; `written` comes with the last of them. */
export const writeTogether = (stream: Writable, pieces: readonly Buffer[], written: (() => void) | undefined): void => {
  const last = pieces.length - 1;
  if (last > 0) stream.cork();
  for (let i = 0; i <= last; i++) {
    const piece = pieces[i] as Buffer;
    if (i === last && written !== undefined) stream.write(piece, written);
    else stream.write(piece);
  }
  if (last > 0) stream.uncork();
};
