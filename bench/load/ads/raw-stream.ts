/** One gRPC stream on a connection of its own, in HTTP/2 frames over a socket: little enough that thousands fit a core. */
import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls, type SecureContext } from "node:tls";

export interface RawTarget {
  readonly host: string;
  readonly port: number;
  readonly path: string;
  readonly tls?: SecureContext;
}

export interface RawEvents {
  /** A whole message, valid during the call only. */
  readonly message: (bytes: Buffer) => void;
  /** The server ended the stream, or the connection broke. */
  readonly ended: (reason: string) => void;
}

const frameHead = 9;
const messageHead = 5;
const [data, headers, reset, settings, ping, goAway, windowUpdate] = [0, 1, 3, 4, 6, 7, 8] as const;
const [ackFlag, endStream, padded] = [1, 1, 8];
const streamId = 1;
const frameBytesMax = 16_384;
const defaultWindow = 65_535;
/** As Envoy has them. */
const streamWindow = 16 * 1024 * 1024;
const connectionWindow = 24 * 1024 * 1024;

interface FrameHead {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
}

const frame = (type: number, flags: number, stream: number, payload: Buffer): Buffer => {
  const bytes = Buffer.allocUnsafe(frameHead + payload.length);
  bytes.writeUIntBE(payload.length, 0, 3);
  bytes[3] = type;
  bytes[4] = flags;
  bytes.writeUInt32BE(stream, 5);
  payload.copy(bytes, frameHead);
  return bytes;
};

const number32 = (value: number): Buffer => {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32BE(value);
  return bytes;
};

/** A literal header without indexing: by the static table's number of its name, or by name. */
const header = (name: number | string, value: string): Buffer => {
  const string = (one: string): Buffer => Buffer.concat([Buffer.from([one.length]), Buffer.from(one)]);
  if (typeof name === "string") return Buffer.concat([Buffer.from([0]), string(name), string(value)]);
  return Buffer.concat([Buffer.from(name < 15 ? [name] : [15, name - 15]), string(value)]);
};

const opening = ({ host, port, path, tls }: RawTarget): Buffer =>
  Buffer.concat([
    Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    frame(settings, 0, 0, Buffer.concat([Buffer.from([0, 4]), number32(streamWindow)])),
    frame(windowUpdate, 0, 0, number32(connectionWindow - defaultWindow)),
    frame(
      headers,
      4,
      streamId,
      Buffer.concat([
        Buffer.from([0x83, tls ? 0x87 : 0x86]),
        header(4, path),
        header(1, `${host}:${port}`),
        header(31, "application/grpc"),
        header("te", "trailers"),
      ]),
    ),
  ]);

/** A DATA frame, and how much of the windows it takes. */
export interface DataFrame {
  readonly bytes: Buffer;
  readonly windowBytes: number;
}

/** A message in its gRPC frame and DATA frames of at most 16 kB. */
export const dataFrames = (message: Buffer): readonly DataFrame[] => {
  const body = Buffer.allocUnsafe(messageHead + message.length);
  body[0] = 0;
  body.writeUInt32BE(message.length, 1);
  message.copy(body, messageHead);
  const frames: DataFrame[] = [];
  for (let at = 0; at < body.length; at += frameBytesMax) {
    const part = body.subarray(at, at + frameBytesMax);
    frames.push({ bytes: frame(data, 0, streamId, part), windowBytes: part.length });
  }
  return frames;
};

/** Every plain socket reads into this: what is in it is used up before the next read. */
const shared = Buffer.allocUnsafeSlow(256 * 1024);

export class RawStream {
  readonly #socket: Socket;
  readonly #events: RawEvents;
  /** A frame that is not all there yet. */
  #rest: Buffer | undefined;
  /** A message that is not all there yet. */
  #parts: Buffer[] = [];
  #partBytes = 0;
  readonly #unread = { stream: 0, connection: 0 };
  #mayStream = defaultWindow;
  #mayConnection = defaultWindow;
  #peerWindow = defaultWindow;
  readonly #waiting: DataFrame[] = [];
  #over = false;
  /** What is below TLS. */
  readonly #below: Socket | undefined;
  /** Everything read, as HTTP/2. */
  bytes = 0;
  /** Of TLS, until the server's side of the handshake was read. */
  handshakeBytes = 0;

  constructor(target: RawTarget, events: RawEvents) {
    this.#events = events;
    const { host, port, tls } = target;
    const first = opening(target);
    if (tls) {
      const below = connectTcp({ host, port, noDelay: true });
      this.#below = below;
      this.#socket = connectTls({
        ...{ socket: below, secureContext: tls, ALPNProtocols: ["h2"], checkServerIdentity: () => undefined },
      });
      this.#socket.once("secureConnect", () => {
        this.handshakeBytes = below.bytesRead;
      });
      below.once("error", (error) => this.#end(error.message));
      this.#socket.on("data", (chunk: Buffer) => this.#read(chunk));
    } else {
      this.#socket = connectTcp({
        host,
        port,
        noDelay: true,
        onread: {
          buffer: shared,
          callback: (length: number) => {
            this.#read(shared.subarray(0, length));
            return true;
          },
        },
      });
    }
    this.#socket.write(first);
    this.#socket.once("error", (error) => this.#end(error.message));
    this.#socket.once("close", () => this.#end("the connection was closed"));
  }

  /** Frames made by `dataFrames`; they may be given to several streams. */
  send(frames: readonly DataFrame[]): void {
    this.#waiting.push(...frames);
    this.#write();
  }

  /** Everything read from the wire: with the handshake and the records of TLS. */
  wireBytes(): number {
    return this.#below?.bytesRead ?? this.bytes;
  }

  close(): void {
    this.#over = true;
    this.#socket.destroy();
  }

  #write(): void {
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      if (next.windowBytes > this.#mayStream || next.windowBytes > this.#mayConnection) return;
      this.#mayStream -= next.windowBytes;
      this.#mayConnection -= next.windowBytes;
      this.#waiting.shift();
      this.#socket.write(next.bytes);
    }
  }

  #end(reason: string): void {
    if (this.#over) return;
    this.#over = true;
    this.#socket.destroy();
    this.#events.ended(reason);
  }

  #read(chunk: Buffer): void {
    this.bytes += chunk.length;
    const bytes = this.#rest ? Buffer.concat([this.#rest, chunk]) : chunk;
    let at = 0;
    while (bytes.length - at >= frameHead) {
      const length = bytes.readUIntBE(at, 3);
      const end = at + frameHead + length;
      if (end > bytes.length) break;
      const head = { type: bytes[at + 3] ?? 0, flags: bytes[at + 4] ?? 0, stream: bytes[at + 8] ?? 0 };
      this.#frame(head, bytes.subarray(at + frameHead, end));
      at = end;
    }
    this.#rest = at === bytes.length ? undefined : Buffer.from(bytes.subarray(at));
  }

  #frame({ type, flags, stream }: FrameHead, payload: Buffer): void {
    if (type === data) this.#data(payload, flags);
    else if (type === settings && (flags & ackFlag) === 0) this.#settings(payload);
    else if (type === ping && (flags & ackFlag) === 0) this.#socket.write(frame(ping, ackFlag, 0, payload));
    else if (type === windowUpdate) this.#widen(stream, payload.readUInt32BE(0));
    else if (type === reset) this.#end(`the stream was reset: ${payload.readUInt32BE(0)}`);
    else if (type === goAway) this.#end(`the server goes away: ${payload.readUInt32BE(4)}`);
    if ((type === data || type === headers) && (flags & endStream) !== 0) this.#end("the server ended the stream");
  }

  #settings(payload: Buffer): void {
    for (let at = 0; at + 6 <= payload.length; at += 6) {
      if (payload.readUInt16BE(at) !== 4) continue;
      const window = payload.readUInt32BE(at + 2);
      this.#mayStream += window - this.#peerWindow;
      this.#peerWindow = window;
    }
    this.#socket.write(frame(settings, ackFlag, 0, Buffer.alloc(0)));
    this.#write();
  }

  #widen(stream: number, by: number): void {
    if (stream === 0) this.#mayConnection += by;
    else this.#mayStream += by;
    this.#write();
  }

  #data(payload: Buffer, flags: number): void {
    this.#consume(payload.length);
    const content =
      (flags & padded) === 0 ? payload : payload.subarray(1, Math.max(1, payload.length - (payload[0] ?? 0)));
    if (this.#partBytes > 0) {
      this.#parts.push(Buffer.from(content));
      this.#partBytes += content.length;
      const [head] = this.#parts as [Buffer];
      if (head.length >= messageHead && this.#partBytes < messageHead + head.readUInt32BE(1)) return;
      const all = Buffer.concat(this.#parts);
      this.#parts = [];
      this.#partBytes = 0;
      this.#messages(all);
    } else this.#messages(content);
  }

  #messages(bytes: Buffer): void {
    let at = 0;
    while (bytes.length - at >= messageHead) {
      const end = at + messageHead + bytes.readUInt32BE(at + 1);
      if (end > bytes.length) break;
      this.#events.message(bytes.subarray(at + messageHead, end));
      at = end;
    }
    if (at === bytes.length) return;
    this.#parts = [Buffer.from(bytes.subarray(at))];
    this.#partBytes = bytes.length - at;
  }

  /** Gives windows back when half of them is used. */
  #consume(length: number): void {
    this.#unread.stream += length;
    this.#unread.connection += length;
    if (this.#unread.stream >= streamWindow / 2) {
      this.#socket.write(frame(windowUpdate, 0, streamId, number32(this.#unread.stream)));
      this.#unread.stream = 0;
    }
    if (this.#unread.connection >= connectionWindow / 2) {
      this.#socket.write(frame(windowUpdate, 0, 0, number32(this.#unread.connection)));
      this.#unread.connection = 0;
    }
  }
}
