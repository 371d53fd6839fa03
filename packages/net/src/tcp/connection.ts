import type { Socket } from "node:net";
import { closeWithReset } from "./libc.ts";
import { gatherBytes, queuedBytesMax, turnBytesMax } from "./limits.ts";
import type { SocketLoop } from "./socket-loop.ts";

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

/** Output that a codec holds itself: taken once per turn, when the kernel can take more. */
export interface OutputSource {
  takeOutput(): readonly Buffer[];
  /** What was taken is out; its buffers are the codec's again. */
  outputWritten(): void;
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
    if (this.inFlight === undefined || this.queuedBytes <= this.congestedAt) return false;
    this.wasCongested = true;
    return true;
  }
  get queuedBytes(): number {
    return this.inFlightBytes + this.fullBytes + this.at;
  }

  /** Copies the bytes; they go out at the end of the turn. */
  write(bytes: Uint8Array): void {
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
      if (this.fullBytes > turnBytesMax && this.inFlight === undefined) this.flush();
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
    if (!this.open || this.inFlight !== undefined || this.socket.connecting) return;
    const pieces = this.source === undefined ? this.takePieces() : this.source.takeOutput();
    if (pieces.length === 0) {
      if (this.ending) this.socket.end();
      return;
    }
    const { socket } = this;
    const last = pieces.length - 1;
    if (last > 0) socket.cork();
    for (let i = 0; i <= last; i++) {
      const piece = pieces[i] as Buffer;
      this.bytesOut += piece.length;
      this.inFlightBytes += piece.length;
      if (this.encrypted && i === last) socket.write(piece, this.written);
      else socket.write(piece);
    }
    if (last > 0) socket.uncork();
    if (this.encrypted) {
      this.inFlight = pieces;
      return;
    }
    if (socket.writableLength === 0) {
      this.inFlightBytes = 0;
      this.giveBack(pieces);
      if (this.ending) socket.end();
      return;
    }
    this.inFlight = pieces;
    socket.write(nothing, this.written);
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
  /** For sockets that are TLS from the start. Called by `tls/` only. */
  markEncrypted(): void {
    this.encrypted = true;
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
    for (const piece of pieces) this.loop.giveGather(Buffer.from(piece.buffer));
  }

  private onWritten(): void {
    const pieces = this.inFlight;
    if (pieces === undefined || !this.open) return;
    this.inFlight = undefined;
    this.inFlightBytes = 0;
    this.giveBack(pieces);
    this.flush();
    if (!this.wasCongested || this.congested) return;
    this.wasCongested = false;
    this.handler.onDrain();
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
      this.handler.onClose(this.error);
      this.handler = idleHandler;
    });
  }
}

const nothing = Buffer.alloc(0);
const noPieces: readonly Buffer[] = [];
