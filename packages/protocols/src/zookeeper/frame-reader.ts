import { ZookeeperFormatError } from "./jute.ts";

/**
 * Cuts what a server sends into frames without their lengths. Each frame is the caller's own. Throws
 * ZookeeperFormatError for a length that is negative or over the bound, and after that takes nothing any more.
 */
export type ReadFrames = (bytes: Uint8Array) => readonly Buffer[];

const lengthBytes = 4;

/** No more is held than one frame and its length, however much of it the server announces. */
export const frameReader = (bytesMax: number): ReadFrames => {
  const length = Buffer.alloc(lengthBytes);
  let lengthHeld = 0;
  let parts: Buffer[] = [];
  /** Of the frame being read. */
  let missing = 0;
  let broken = false;

  const begin = (): void => {
    missing = length.readInt32BE(0);
    if (missing >= 0 && missing <= bytesMax) return;
    broken = true;
    throw new ZookeeperFormatError(
      missing < 0 ? `a frame's length is ${missing}` : `a frame of ${missing} bytes is over the bound of ${bytesMax}`,
    );
  };
  return (input) => {
    if (broken) throw new ZookeeperFormatError("the stream broke earlier");
    const frames: Buffer[] = [];
    let at = 0;
    while (at < input.length || (lengthHeld === lengthBytes && missing === 0)) {
      if (lengthHeld < lengthBytes) {
        length[lengthHeld++] = input[at++] as number;
        if (lengthHeld === lengthBytes) begin();
        continue;
      }
      const part = input.subarray(at, at + missing);
      parts.push(Buffer.from(part));
      at += part.length;
      missing -= part.length;
      if (missing > 0) break;
      frames.push(parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts));
      parts = [];
      lengthHeld = 0;
    }
    return frames;
  };
};
