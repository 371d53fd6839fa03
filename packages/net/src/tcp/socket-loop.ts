import { freeGatherMax, gatherBytes, ownReadBuffersMax, readBufferBytes, sharedReadBytes } from "./limits.ts";

/** What has gathered output to hand to the kernel. */
export interface Flushable {
  flush(): void;
}

/**
 * What the sockets of one thread share: the read buffers, free gather pieces, and the end of the turn, when each
 * connection that has output is written once. One write per socket and turn is the largest saving there is.
 */
export class SocketLoop {
  readonly readBuffer = Buffer.allocUnsafeSlow(sharedReadBytes);
  /** False makes sockets use 'data' events: accepted sockets take `onread` only through an undocumented handle. */
  readonly useReadBuffer: boolean;
  /** False makes plaintext sockets write through their streams: past them only an undocumented handle writes. */
  readonly directWrites: boolean;
  /**
   * What is being read lies in this buffer, and whoever writes it on may keep the buffer until it is written: sets this
   * to `undefined` then, and gives it back.
   */
  lendable: Buffer | undefined = undefined;
  private readonly free: Buffer[] = [];
  private readonly freeReads: Buffer[] = [];
  private readsOut = 0;
  private dirty: Flushable[] = [];
  private spare: Flushable[] = [];
  private scheduled = false;
  private readonly flushAll: () => void;

  constructor(options: { readonly useReadBuffer?: boolean; readonly directWrites?: boolean } = {}) {
    this.useReadBuffer = options.useReadBuffer ?? true;
    this.directWrites = options.directWrites ?? true;
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

  /** A read buffer for one connection alone; `undefined` when as many as there may be are out. */
  takeReadBuffer(): Buffer | undefined {
    if (this.readsOut >= ownReadBuffersMax) return undefined;
    this.readsOut++;
    return this.freeReads.pop() ?? Buffer.allocUnsafeSlow(readBufferBytes);
  }

  /** Takes it back; the kernel must be done with it. */
  giveReadBuffer(buffer: Buffer): void {
    this.readsOut--;
    this.freeReads.push(buffer);
  }
}
