import type { Socket } from "node:net";
import { type PendingWrite, type WriteHandle, writeError, writeHandleOf, writePieces } from "./handle-writes.ts";
import { closeWithReset } from "./libc.ts";
import { bulkReadBytes, gatherBytes, lendBytesMin, queuedBytesMax, smallReadsMax, turnBytesMax } from "./limits.ts";
import type { OutputSource } from "./output-source.ts";
import type { SocketLoop } from "./socket-loop.ts";
import { copiedBytesMax, writeTogether } from "./stream-writes.ts";

/** Who owns a connection's bytes. Exactly one `onClose` ends every sequence of calls. */
export interface ConnectionHandler {
  /** `bytes` are only valid during the call. */
  onRead(bytes: Buffer): void;
  /** The peer ended its side; ours stays open until `end` or `destroy`. */
  onPeerEnd(): void;
  /** The kernel took what was queued; called only after the connection was congested. */
  onDrain(): void;
  onClose(error: NodeJS.ErrnoException | undefined): void;
}

const idleHandler: ConnectionHandler = { onRead() {}, onPeerEnd() {}, onDrain() {}, onClose() {} };

/**
 * One socket, plain or TLS, with gathered writes and byte counts. It outlives a TLS upgrade: the socket inside is
 * exchanged, the connection and its owner stay.
 */
export class Connection {
  handler: ConnectionHandler = idleHandler;
  /** With a source `write` and `space` are not used. */
  source: OutputSource | undefined = undefined;
  bytesIn = 0;
  bytesOut = 0;
  /** When it was opened, for an owner who wants to know; nothing here reads it. */
  openedMs = 0;
  /** With more than this waiting for the peer it is congested. */
  congestedAt = queuedBytesMax;
  /** True until the socket is closed. */
  open = true;
  readonly loop: SocketLoop;
  socket: Socket;
  private encrypted = false;
  /** The piece being filled and how far. */
  private piece: Buffer | undefined = undefined;
  private at = 0;
  /** Full pieces before it. */
  private full: Buffer[] | undefined = undefined;
  private fullBytes = 0;
  /** What the kernel (or TLS) still reads from; untouchable until it is done. */
  private inFlight: readonly Buffer[] | undefined = undefined;
  private inFlightBytes = 0;
  /** Somebody's read buffer among them. */
  private lent: Buffer | undefined = undefined;
  /** A read buffer of its own while much is read, which whoever writes what was read may keep meanwhile. */
  private ownRead: Buffer | undefined = undefined;
  private smallReads = smallReadsMax;
  /** What the last read went into, until it is asked what the next one goes into. */
  private lastInto: Buffer | undefined = undefined;
  private marked = false;
  private wasCongested = false;
  private ending = false;
  private error: NodeJS.ErrnoException | undefined = undefined;
  private readonly written: () => void;

  constructor(loop: SocketLoop, socket: Socket) {
    this.loop = loop;
    this.socket = socket;
    this.written = () => this.onWritten();
    this.attach(socket, false);
  }

  get remoteHost(): string {
    return this.socket.remoteAddress ?? "";
  }
  get remotePort(): number {
    return this.socket.remotePort ?? 0;
  }
  get localHost(): string {
    return this.socket.localAddress ?? "";
  }
  get localPort(): number {
    return this.socket.localPort ?? 0;
  }
  get isTls(): boolean {
    return this.encrypted;
  }

  /** More than the bound waits for the peer: the source of these bytes must pause until `onDrain`. */
  get congested(): boolean {
    if (!this.isOverBound()) return false;
    // Only what the kernel does not take counts: no second read is to come on top of what it has not been asked.
    if (this.inFlight === undefined) this.push();
    if (this.isOverBound()) {
      this.wasCongested = true;
      return true;
    }
    if (this.wasCongested) this.mark();
    return false;
  }
  get queuedBytes(): number {
    return this.inFlightBytes + this.fullBytes + this.at;
  }

  /** The bytes go out at the end of the turn, and are the caller's again at once. */
  write(bytes: Buffer): void {
    if (bytes.length >= lendBytesMin && this.writeLent(bytes)) return;
    let offset = 0;
    while (offset < bytes.length) {
      const piece = this.space(1);
      const n = Math.min(piece.length - this.at, bytes.length - offset);
      piece.set(n === bytes.length ? bytes : bytes.subarray(offset, offset + n), this.at);
      this.wrote(this.at + n);
      offset += n;
    }
  }

  /** A buffer with at least `bytes` free from `position` on, for encoders that write in place; then call `wrote`. */
  space(bytes: number): Buffer {
    if (this.piece !== undefined && this.piece.length - this.at >= bytes) return this.piece;
    if (this.piece !== undefined) {
      this.full ??= [];
      this.full.push(this.piece.subarray(0, this.at));
      this.fullBytes += this.at;
      this.piece = undefined;
      this.at = 0;
      if (this.fullBytes > turnBytesMax && this.inFlight === undefined) this.push();
    }
    this.piece = bytes <= gatherBytes ? this.loop.takeGather() : Buffer.allocUnsafeSlow(bytes);
    this.at = 0;
    return this.piece;
  }
  get position(): number {
    return this.at;
  }
  /** The buffer of `space` is filled up to `position`. */
  wrote(position: number): void {
    this.at = position;
    this.mark();
  }
  /** There is something to flush at the end of the turn. */
  mark(): void {
    if (this.marked || !this.open) return;
    this.marked = true;
    this.loop.mark(this);
  }

  flush(): void {
    this.marked = false;
    this.push();
    if (!this.wasCongested || !this.open || this.isOverBound()) return;
    this.wasCongested = false;
    this.handler.onDrain();
  }

  pause(): void {
    this.socket.pause();
  }
  resume(): void {
    if (this.open) this.socket.resume();
  }

  /** Writes what is gathered, then ends our side. */
  end(): void {
    if (this.ending || !this.open) return;
    this.ending = true;
    this.flush();
  }
  /** Closes at once; what is not with the kernel yet is lost. */
  destroy(error?: NodeJS.ErrnoException): void {
    if (error !== undefined) this.error ??= error;
    this.socket.destroy();
  }
  /** Closes with RST where the transport can. */
  reset(): void {
    const { socket } = this;
    if (!this.encrypted && (socket.connecting || socket.remoteAddress !== undefined)) {
      socket.resetAndDestroy();
      return;
    }
    closeWithReset(socket);
    socket.destroy();
  }

  /** Bytes ahead of everything else on a connection that has just been made, ahead of its TLS too. */
  writeAhead(bytes: Buffer): void {
    this.bytesOut += bytes.length;
    this.socket.write(bytes);
  }
  /**
   * Exchanges the socket by its TLS wrapping; nothing may be queued. Without `withData` the caller passes on what is
   * read. Called by `tls/` only.
   */
  replaceSocket(socket: Socket, withData: boolean): void {
    this.socket = socket;
    this.encrypted = true;
    this.attach(socket, withData);
  }
  /** Takes a socket that is connected in place of one that never was. Called by `connectAny` only. */
  adoptSocket(socket: Socket): void {
    if (this.socket.isPaused()) socket.pause();
    this.socket = socket;
    this.attach(socket, !this.loop.useReadBuffer);
  }
  /** For sockets that are TLS from the start. Called by `tls/` only. */
  markEncrypted(): void {
    this.encrypted = true;
  }
  /** What to read into from now on; after a read `undefined` where that is what was read into. */
  nextReadBuffer(): Buffer | undefined {
    const { loop, lastInto } = this;
    this.lastInto = undefined;
    if (this.smallReads < smallReadsMax && this.open) this.ownRead ??= loop.takeReadBuffer();
    else this.dropOwnRead();
    const next = this.ownRead ?? loop.readBuffer;
    return next === lastInto ? undefined : next;
  }
  /** One read of the socket into a buffer of `nextReadBuffer`, which is to be asked afterwards. */
  receivedInto(buffer: Buffer, length: number): void {
    const { loop } = this;
    this.lastInto = buffer;
    if (length >= bulkReadBytes) this.smallReads = 0;
    else this.smallReads++;
    loop.lendable = this.ownRead;
    this.received(length === buffer.length ? buffer : buffer.subarray(0, length));
    if (loop.lendable === undefined) this.ownRead = undefined;
    loop.lendable = undefined;
  }
  /** One read of the socket, from `onread` or 'data'. */
  received(bytes: Buffer): void {
    this.bytesIn += bytes.length;
    this.handler.onRead(bytes);
  }

  private takePieces(): readonly Buffer[] {
    const tail = this.piece !== undefined && this.at > 0 ? this.piece.subarray(0, this.at) : undefined;
    if (tail === undefined && this.full === undefined) return noPieces;
    const pieces = this.full ?? [];
    if (tail !== undefined) pieces.push(tail);
    this.full = undefined;
    this.fullBytes = 0;
    this.piece = undefined;
    this.at = 0;
    return pieces;
  }

  private giveBack(pieces: readonly Buffer[]): void {
    if (this.source !== undefined) {
      this.source.outputWritten();
      return;
    }
    for (let i = 0; i < pieces.length; i++) {
      const { buffer } = pieces[i] as Buffer;
      if (buffer.byteLength === gatherBytes) this.loop.giveGather(Buffer.from(buffer));
    }
  }

  /** What was lent is held until it is written, however little of it is left: its reader is to wait. */
  private isOverBound(): boolean {
    return this.lent !== undefined || this.queuedBytes > this.congestedAt;
  }

  /** Gives the kernel what is gathered, if it can take more. */
  private push(): void {
    const { socket } = this;
    if (!this.open || this.inFlight !== undefined || socket.connecting || socket.destroyed) return;
    const pieces = this.source === undefined ? this.takePieces() : this.source.takeOutput();
    if (pieces.length > 0) this.send(pieces);
    if (this.ending && this.inFlight === undefined) socket.end();
  }

  /** Writes from the read buffer where that is its connection's own. */
  private writeLent(bytes: Buffer): boolean {
    const { loop, socket } = this;
    const { lendable } = loop;
    if (lendable === undefined || lendable.buffer !== bytes.buffer || this.source !== undefined) return false;
    if (!this.open || this.inFlight !== undefined || socket.connecting || socket.destroyed) return false;
    if (this.writeHandle() === undefined) return false;
    this.send([...this.takePieces(), bytes]);
    // Written already, or its writing goes on.
    if (this.inFlight === undefined) return true;
    this.lent = lendable;
    loop.lendable = undefined;
    return true;
  }

  private writeHandle(): WriteHandle | undefined {
    return this.encrypted || !this.loop.directWrites ? undefined : writeHandleOf(this.socket);
  }

  private send(pieces: readonly Buffer[]): void {
    let bytes = 0;
    for (let i = 0; i < pieces.length; i++) bytes += (pieces[i] as Buffer).length;
    this.bytesOut += bytes;
    const handle = this.writeHandle();
    if (handle === undefined) {
      this.inFlightBytes = bytes;
      this.sendByStream(pieces, bytes);
      return;
    }
    const outcome = writePieces(handle, pieces);
    if (typeof outcome !== "number") {
      const left = handle.writeQueueSize ?? bytes;
      this.inFlight = this.keepUnwritten(pieces, bytes - left);
      this.inFlightBytes = left;
      this.await(outcome, this.inFlight);
      return;
    }
    if (outcome < 0) this.destroy(writeError(outcome));
    this.giveBack(pieces);
  }

  /** Of a write that has begun, the pieces of which something is left; those before them are free again. */
  private keepUnwritten(pieces: readonly Buffer[], written: number): readonly Buffer[] {
    if (this.source !== undefined) return pieces;
    let first = 0;
    for (let rest = written; first < pieces.length; first++) {
      rest -= (pieces[first] as Buffer).length;
      if (rest < 0) break;
    }
    if (first === 0) return pieces;
    this.giveBack(pieces.slice(0, first));
    return pieces.slice(first);
  }

  private await(write: PendingWrite, pieces: readonly Buffer[]): void {
    write.buffer = pieces;
    write.oncomplete = (status) => {
      if (status < 0 && this.open && !this.socket.destroyed) this.destroy(writeError(status));
      this.onWritten();
    };
    const { writeStatus } = write;
    if (typeof writeStatus === "number") write.oncomplete(writeStatus);
  }

  private sendByStream(pieces: readonly Buffer[], bytes: number): void {
    const { socket } = this;
    // TLS tells late what it has taken: of a little, a copy costs less than a codec's buffers that are held until then.
    if (this.encrypted && this.source !== undefined && bytes <= copiedBytesMax) {
      socket.write(Buffer.concat(pieces, bytes), this.written);
      this.giveBack(pieces);
      this.inFlight = noPieces;
      return;
    }
    writeTogether(socket, pieces, this.encrypted ? this.written : undefined);
    if (!this.encrypted && socket.writableLength === 0) {
      this.inFlightBytes = 0;
      this.giveBack(pieces);
      return;
    }
    this.inFlight = pieces;
    if (!this.encrypted) socket.write(nothing, this.written);
  }

  private onWritten(): void {
    const { lent, inFlight } = this;
    this.lent = undefined;
    if (lent !== undefined) this.loop.giveReadBuffer(lent);
    if (inFlight === undefined || !this.open) return;
    this.inFlight = undefined;
    this.inFlightBytes = 0;
    this.giveBack(inFlight);
    this.flush();
  }

  private dropOwnRead(): void {
    const { ownRead } = this;
    if (ownRead === undefined) return;
    this.ownRead = undefined;
    this.loop.giveReadBuffer(ownRead);
  }

  private attach(socket: Socket, withData: boolean): void {
    if (withData) socket.on("data", (bytes: Buffer) => this.received(bytes));
    socket.on("end", () => {
      if (this.socket === socket && this.open) this.handler.onPeerEnd();
    });
    socket.on("error", (error: NodeJS.ErrnoException) => {
      this.error ??= error;
    });
    socket.on("close", () => {
      if (this.socket !== socket || !this.open) return;
      this.open = false;
      this.piece = undefined;
      this.full = undefined;
      this.inFlight = undefined;
      this.dropOwnRead();
      this.handler.onClose(this.error);
      this.handler = idleHandler;
    });
  }
}

const nothing = Buffer.alloc(0);
const noPieces: readonly Buffer[] = [];
