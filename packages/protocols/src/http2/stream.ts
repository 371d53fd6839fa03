import type { HeaderList } from "../http/headers.ts";

/**
 * One stream's record. Pooled across the connections of a thread: who holds one over a call that may end the stream asks
 * `is` before it believes it. An id is used once on its connection, so both together name one stream for ever.
 */
export class Http2Stream {
  id = 0;
  /** The connection it belongs to; undefined while it is free. */
  owner: object | undefined = undefined;
  /** Bytes the peer still lets us send. */
  sendWindow = 0;
  /** Bytes the peer may still send. */
  receiveWindow = 0;
  /** Delivered and not yet consumed. */
  unconsumed = 0;
  /** Consumed and not yet announced. */
  credit = 0;
  /** The application has seen it, so it must hear of its end. */
  exposed = false;
  /** CONNECT: each direction ends on its own, and there is no content-length. */
  tunnel = false;
  /** Client: the request was HEAD. */
  headRequest = false;
  /** The peer's (final) head has come. */
  headReceived = false;
  /** Our (final) head is out. */
  headSent = false;
  /** The peer has ended its side. */
  remoteEnded = false;
  /** The application has ended our side; it may still be queued. */
  localEnding = false;
  /** END_STREAM is out. */
  localEnded = false;
  /** What content-length said is still to come; -1 when unknown. */
  bodyLeft = -1;
  /** Waiting DATA, oldest first, from `queueAt` in the first chunk. */
  queue: Buffer[] | undefined = undefined;
  queueAt = 0;
  queuedBytes = 0;
  queuedTrailers: HeaderList | undefined = undefined;
  /** It stands in the line of streams that wait for the connection. */
  inLine = false;
  /** `data` said false. */
  wantsWritable = false;

  /** Whether it still is that stream of that connection. */
  is(owner: object, id: number): boolean {
    return this.id === id && this.owner === owner;
  }

  open(owner: object, id: number, sendWindow: number, receiveWindow: number): void {
    this.owner = owner;
    this.id = id;
    this.sendWindow = sendWindow;
    this.receiveWindow = receiveWindow;
    this.unconsumed = 0;
    this.credit = 0;
    this.exposed = false;
    this.tunnel = false;
    this.headRequest = false;
    this.headReceived = false;
    this.headSent = false;
    this.remoteEnded = false;
    this.localEnding = false;
    this.localEnded = false;
    this.bodyLeft = -1;
    this.clearQueue();
    this.inLine = false;
    this.wantsWritable = false;
  }

  clearQueue(): void {
    this.queue = undefined;
    this.queueAt = 0;
    this.queuedBytes = 0;
    this.queuedTrailers = undefined;
  }

  /** Nothing of ours waits to be sent. */
  get idle(): boolean {
    return this.queuedBytes === 0 && this.queuedTrailers === undefined && this.localEnding === this.localEnded;
  }
}
