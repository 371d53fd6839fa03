import { replayBytesMax } from "./limits.ts";

/** The request's body so far: what no upstream stream took yet, and what a retry would have to send again. */
export class BodyBuffer {
  bytes = 0;
  /** False once more came than is kept: the request cannot be sent again. */
  whole = true;
  /** How much is kept. */
  most = replayBytesMax;
  private readonly chunks: Buffer[] = [];

  get full(): boolean {
    return this.bytes >= this.most;
  }
  add(bytes: Buffer): void {
    this.chunks.push(Buffer.from(bytes));
    this.bytes += bytes.length;
  }
  /** Keeps for a retry what went upstream already, as long as there is room. */
  keep(bytes: Buffer): void {
    if (!this.whole) return;
    if (this.bytes + bytes.length > this.most) {
      this.drop();
      return;
    }
    this.add(bytes);
  }
  /** Nothing is kept from here on. */
  drop(): void {
    this.whole = false;
    this.chunks.length = 0;
    this.bytes = 0;
  }
  reset(): void {
    this.chunks.length = 0;
    this.bytes = 0;
    this.whole = true;
    this.most = replayBytesMax;
  }
  /** True when the stream took it all without congestion. */
  sendTo(write: (bytes: Buffer) => boolean): boolean {
    let free = true;
    for (const chunk of this.chunks) free = write(chunk);
    return free;
  }
}
