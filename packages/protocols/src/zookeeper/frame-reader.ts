import { ZookeeperFormatError } from "./jute.ts";
import { cutFrameBytes } from "./limits.ts";

/**
 * Cuts what a server sends into frames without their lengths. Each frame is the caller's own. Throws
 * ZookeeperFormatError for a length that is negative or over the bound, and after that takes nothing any more.
 */
export type ReadFrames = (bytes: Uint8Array) => readonly Buffer[];

export interface Frame {
  /** Of a frame over the bound its first `cutFrameBytes` only. */
  readonly bytes: Buffer;
  /** How long it was on the wire. */
  readonly length: number;
}

const lengthBytes = 4;

export const frameReader = (bytesMax: number): ReadFrames => {
  const read = cuttingFrameReader(bytesMax, bytesMax);
  return (input) => read(input).map(({ bytes }) => bytes);
};

/**
 * As `frameReader`, but only a frame over `skippedMax` breaks the stream: of others over `bytesMax` the head is given and the rest
 * passed over. No more is held than one frame and its length, however much of it the server announces.
 */
export const cuttingFrameReader = (bytesMax: number, skippedMax: number): ((bytes: Uint8Array) => readonly Frame[]) => {
  const length = Buffer.alloc(lengthBytes);
  let lengthHeld = 0;
  let parts: Buffer[] = [];
  /** Of the frame being read: all of it, what has to come yet, and what of that is kept. */
  let whole = 0;
  let missing = 0;
  let wanted = 0;
  let broken = false;

  const begin = (): void => {
    whole = length.readInt32BE(0);
    missing = whole;
    wanted = whole > bytesMax ? Math.min(bytesMax, cutFrameBytes) : whole;
    if (whole >= 0 && whole <= Math.max(bytesMax, skippedMax)) return;
    broken = true;
    throw new ZookeeperFormatError(
      whole < 0
        ? `a frame's length is ${whole}`
        : `a frame of ${whole} bytes is over the bound of ${Math.max(bytesMax, skippedMax)}`,
    );
  };
  return (input) => {
    if (broken) throw new ZookeeperFormatError("the stream broke earlier");
    const frames: Frame[] = [];
    let at = 0;
    while (at < input.length || (lengthHeld === lengthBytes && missing === 0)) {
      if (lengthHeld < lengthBytes) {
        length[lengthHeld++] = input[at++] as number;
        if (lengthHeld === lengthBytes) begin();
        continue;
      }
      const part = input.subarray(at, at + missing);
      const kept = part.subarray(0, wanted);
      if (kept.length > 0) parts.push(Buffer.from(kept));
      wanted -= kept.length;
      at += part.length;
      missing -= part.length;
      if (missing > 0) break;
      frames.push({ bytes: parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts), length: whole });
      parts = [];
      lengthHeld = 0;
    }
    return frames;
  };
};
