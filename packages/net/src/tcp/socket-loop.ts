import { freeGatherMax, gatherBytes, readBufferBytes } from "./limits.ts";

/** What has gathered output to hand to the kernel. */
export interface Flushable {
  flush(): void;
}

/**
 * What the sockets of one thread share: the read buffer, free gather pieces, and the end of the turn, when each
 * connection that has output is written once. One write per socket and turn is the largest saving there is.
 */
export class SocketLoop {
  readonly readBuffer = Buffer.allocUnsafeSlow(readBufferBytes);
  /** False makes sockets use 'data' events: accepted sockets take `onread` only through an undocumented handle. */
  readonly useReadBuffer: boolean;
  private readonly free: Buffer[] = [];
  private dirty: Flushable[] = [];
  private spare: Flushable[] = [];
  private scheduled = false;
  private readonly flushAll: () => void;

  constructor(options: { readonly useReadBuffer?: boolean } = {}) {
    this.useReadBuffer = options.useReadBuffer ?? true;
    this.flushAll = () => {
      this.scheduled = false;
      const list = this.dirty;
      this.dirty = this.spare;
      for (let i = 0; i < list.length; i++) (list[i] as Flushable).flush();
      list.length = 0;
      this.spare = list;
    };
  }

  /** Flushes `target` once at the end of this turn. The caller sees to it that it asks once. */
  mark(target: Flushable): void {
    this.dirty.push(target);
    if (this.scheduled) return;
    this.scheduled = true;
    setImmediate(this.flushAll);
  }

  takeGather(): Buffer {
    return this.free.pop() ?? Buffer.allocUnsafeSlow(gatherBytes);
  }

  /** Takes a piece back. The caller must be sure that the kernel is done with it. */
  giveGather(piece: Buffer): void {
    if (piece.length === gatherBytes && this.free.length < freeGatherMax) this.free.push(piece);
  }
}
